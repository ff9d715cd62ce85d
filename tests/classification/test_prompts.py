from zsk.classification.prompts import TEMPLATES, get_templates


def test_the_lists_are_those_of_the_source(real_data):
    assert TEMPLATES["single"] == ("a photo of a {}.",)
    assert TEMPLATES["sculpture"] == ("a sculpture of a {}.",)
    for name, file in (("imagenet", "clip_imagenet_templates.txt"), ("vild", "vild_templates.txt")):
        lines = (real_data / "names" / file).read_text().splitlines()
        assert sorted(get_templates(name)) == sorted(lines)
