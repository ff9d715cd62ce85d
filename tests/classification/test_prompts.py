import pytest

from zsk.classification.prompts import TEMPLATES, build_prompts, get_templates
from zsk.errors import UserError


def test_a_name_replaces_the_braces_and_nothing_else():
    assert build_prompts("hot dog", ("a {}.", "{}")) == ("a hot dog.", "hot dog")
    assert build_prompts("{0} {x}", ("a {}.",)) == ("a {0} {x}.",)


def test_the_lists_are_those_of_the_source(real_data):
    assert TEMPLATES["single"] == ("a photo of a {}.",)
    assert TEMPLATES["sculpture"] == ("a sculpture of a {}.",)
    for name, file in (("imagenet", "clip_imagenet_templates.txt"), ("vild", "vild_templates.txt")):
        lines = (real_data / "names" / file).read_text().splitlines()
        assert sorted(get_templates(name)) == sorted(lines)


def test_an_unknown_name():
    with pytest.raises(UserError, match="'vlid'.*single, sculpture, imagenet, vild"):
        get_templates("vlid")
