"""tools/convert_weights.py: what it writes suits a user's own split file, and replaces nothing."""

import numpy as np
import pytest
import torch
import yaml
from published_states import maskformer, zeros, zsseg, zsseg_adapter
from tiny_clip import make_tiny_clip, save_tiny_clip

from zsk.classification.clip_encoder import ClipEncoder
from zsk.classification.learned_prompts import load_prompts
from zsk.cli import convert
from zsk.conversion.knet import PARTS
from zsk.data.splits import get_split
from zsk.errors import UserError
from zsk.load import default_vocabulary, load_config
from zsk.proposals.build import build_stage
from zsk.segmenter import Segmenter

SMALL = (32, 1, 5, 48)  # width, layers, queries, feed-forward
ADE = get_split("ade20k_150").names
KNET = "decode_head.kernel_update_head.0."


def converted(folder, state, *options, name="ours"):
    """The YAML of the state in a folder."""
    folder.mkdir(exist_ok=True)
    torch.save(state, folder / "published.pt")
    target = folder / f"{name}.pth"
    convert.main([str(folder / "published.pt"), str(target), *map(str, options)])
    return target.with_suffix(".yaml")


def own_split(folder, classes, **keys):
    """The options of an evaluation on a split of one's own."""
    file = folder / "mine.yaml"
    part = {"images": "photos", "labels": "labels"}
    content = {"name": "my", "classes": list(classes), "val": part, **keys}
    file.write_text(yaml.safe_dump(content, allow_unicode=True))
    return ["DATASETS.SPLIT_FILE", str(file), "DATASETS.TEST", "('my_val',)"]


def refusal_of(*arguments):
    with pytest.raises(UserError) as refusal:
        convert.main([str(argument) for argument in arguments])
    return str(refusal.value)


def test_maskformer_evaluates_on_a_split_of_its_classes(tmp_path):
    file, names = converted(tmp_path, maskformer(head=SMALL)), get_split("ade20k_150").names
    cfg = load_config(str(file))
    assert cfg.DATASETS.SPLIT_FILE == "" and cfg.OUTPUT_DIR == "output/ours"
    assert default_vocabulary(cfg).names == names
    vocabulary = default_vocabulary(load_config(str(file), own_split(tmp_path, names)))
    assert vocabulary.names == names and all(vocabulary.seen)


def test_models_of_other_classes_stand_side_by_side(tmp_path):
    for name in ("first", "sec.ond"):
        names = tmp_path / "names.txt"
        names.write_text(f"cat, dog, {name} class")
        state = maskformer(classes=3, head=SMALL)
        file = converted(tmp_path / name, state, "--names", names, name=name)
        assert default_vocabulary(load_config(str(file))).names == ("cat", "dog", f"{name} class")
    cfg = load_config(str(file), own_split(tmp_path, ["cat", "dog", "horse"]))
    assert default_vocabulary(cfg).names == ("cat", "dog", "horse")


@pytest.mark.parametrize(
    "classes, sides", [(19, (1024, 2048)), (65, (2048, 2048)), (7, (512, 2048))]
)
def test_photos_have_the_size_of_the_published_tests(tmp_path, capsys, classes, sides):
    names = tmp_path / "names.txt"
    names.write_text("".join(f"class {number}\n" for number in range(classes)))
    file = converted(tmp_path, maskformer(classes=classes, head=SMALL), "--names", names)
    inputs = yaml.safe_load(file.read_text())["INPUT"]
    assert (inputs["MIN_SIZE_TEST"], inputs["MAX_SIZE_TEST"]) == sides
    unknown = "which one a model of 7 classes was published with is not known here"
    assert (unknown in capsys.readouterr().out) == (classes == 7)


def test_maskformer_of_ade20k_is_loaded_and_labels(tmp_path):
    file = converted(tmp_path, maskformer(head=SMALL))
    segmenter = Segmenter(file, device="cpu", opts=["INPUT.MIN_SIZE_TEST", "64"])
    found = segmenter(np.zeros((64, 64, 3), np.uint8), segmenter.vocabulary(ADE))
    assert found.names == ADE


def test_zsseg_takes_prompt_names_of_a_split_and_says_what_it_assumes(tmp_path, tiny_clip, capsys):
    file = converted(tmp_path, zsseg(make_tiny_clip().state_dict()), "--clip", tiny_clip)
    printed = capsys.readouterr().out
    for key in ("TEST.VOTES_AT photo", "MIN_SIZE_TEST 512", "ENSEMBLE.EMPTY one", "CROP_ANTIALIAS"):
        assert f"{key}" in printed
    assert "DATASETS.PROMPT_NAMES False" in printed
    split = own_split(tmp_path, ["cat", "ball"], prompt_names={"ball": "red ball"})
    assert default_vocabulary(load_config(str(file), split)).prompt_names == ("cat", "red ball")


def test_stages_of_k_net_train_on_a_split_of_ones_own(tmp_path, stage, monkeypatch):
    clip = save_tiny_clip(tmp_path / "clip.pt")
    monkeypatch.chdir(tmp_path)
    file = converted(tmp_path, stage, "--clip", "openai:./clip.pt")
    assert "_BASE_" not in yaml.safe_load(file.read_text())
    part = {"images": "photos", "labels": "labels"}
    options = own_split(tmp_path, ["cat", "dog"], unseen=["dog"], train=part)
    cfg = load_config(str(file), [*options, "DATASETS.TRAIN", "('my_train',)"])
    assert cfg.MODEL.SEM_SEG_HEAD.CLASSIFIER == "text" and cfg.OUTPUT_DIR == "output/ours"
    assert cfg.MODEL.CLIP.NAME == f"openai:{clip}"


@pytest.fixture
def stage(checkout, tmp_path, monkeypatch):
    """The first stage of K-Net."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    cfg = load_config(str(checkout / "configs/coco-stuff-164k-156/knet_R101_bs8_240k.yaml"))
    cfg.MODEL.KERNELS.DIM = 32
    state = {}
    for name, tensor in build_stage(cfg).state_dict().items():
        theirs, ours = next((t, o) for t, o in PARTS.items() if name.startswith(o))
        state[KNET + theirs + name.removeprefix(ours)] = tensor
    return state


def test_nothing_is_replaced(tmp_path):
    source, target = tmp_path / "a.pth", tmp_path / "ours.pth"
    names = tmp_path / "ours_classes.yaml"
    names.write_text("cat, dog, sofa")
    torch.save(maskformer(classes=3, head=SMALL), source)
    before = source.read_bytes()
    (tmp_path / "x").mkdir()
    target.symlink_to(source)
    for path in (target, tmp_path / "x" / ".." / "a.pth"):
        assert "is an input: give another TARGET" in refusal_of(source, path, "--overwrite")
    target.unlink()
    given = (source, target, "--names", names)
    said = refusal_of(*given, "--overwrite")
    assert "ours_classes.yaml would be written, but is an input" in said
    names = names.rename(tmp_path / "names.txt")
    target.with_suffix(".yaml").write_text("mine")
    assert "ours.yaml exists: give another TARGET, or --overw" in refusal_of(*given[:3], names)
    assert target.with_suffix(".yaml").read_text() == "mine" and not target.exists()
    convert.main([str(argument) for argument in (*given[:3], names, "--overwrite")])
    assert f"{target} exists" in refusal_of(*given[:3], names)
    assert source.read_bytes() == before
    said = refusal_of(source, "/proc/k.pth", "--names", names)
    assert "/proc/k.pth cannot be written" in said


def test_the_files_of_a_conversion_replace_old_ones_together(tmp_path, monkeypatch):
    """New weights beside an old configuration would score wrong."""

    def full(content, path):
        raise UserError(f"{path} cannot be written: the disk is full")

    source, target = tmp_path / "a.pth", tmp_path / "ours.pth"
    torch.save(maskformer(head=SMALL), source)
    target.write_text("old")
    monkeypatch.setattr("zsk.conversion.files._save_yaml", full)
    said = refusal_of(source, target, "--overwrite")
    assert said == f"{target.with_suffix('.yaml')} cannot be written: the disk is full"
    assert target.read_text() == "old" and sorted(tmp_path.iterdir()) == [source, target]


def test_a_file_of_coop_as_its_trainer_saves_it(tmp_path, tiny_clip, capsys):
    """With the state of a schedule that holds its successor, and that its optimizer, as objects."""
    context = torch.nn.Parameter(torch.randn(4, 64))
    optimizer = torch.optim.SGD([context], 0.1, momentum=0.9)
    context.sum().backward()
    optimizer.step()
    successor = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)
    start = ClipEncoder(str(tiny_clip)).embed_tokens("")[0]
    state = {"ctx": context.detach(), "token_prefix": start.half().expand(3, 1, -1)}
    state["token_suffix"] = zeros(3, 72, 64)
    saved = {"state_dict": state, "epoch": 50, "optimizer": optimizer.state_dict()}
    saved["scheduler"] = {"successor": successor, "last_epoch": 50}
    torch.save(saved, tmp_path / "model.pth.tar-50")
    command = (tmp_path / "model.pth.tar-50", tmp_path / "prompts.pth", "--clip", tiny_clip)
    convert.main([str(word) for word in command])
    assert "4 vectors before, 0 after the name, and the dot" in capsys.readouterr().out
    prompts = load_prompts("learned", str(tmp_path / "prompts.pth"), ClipEncoder(str(tiny_clip)))
    assert torch.equal(prompts.prefix, context.detach())
    for other in (start.expand(3, 1, -1) + 0.1, zeros(3, 1, 512), zeros(0)):
        state["token_prefix"] = other
        torch.save(saved, tmp_path / "model.pth.tar-50")
        said = refusal_of(*command, "--overwrite")
        assert "its start token (token_prefix) is not that of" in said and "another CLIP" in said


def test_prompts_of_regions(tmp_path, tiny_clip, capsys):
    both = {}
    for value, adapter in ((1.0, "clip_adapter."), (2.0, "_region_clip_adapter.")):
        both |= zsseg_adapter(adapter, make_tiny_clip().state_dict())
        both[f"{adapter}prompt_learner.prefix_prompt"] = torch.full((2, 64), value)
        both[f"{adapter}prompt_learner.dot_signal"] = zeros(1, 64)
    converted(tmp_path, both, "--clip", tiny_clip, name="both")
    assert "2 vectors before, 0 after the name, and the dot" in capsys.readouterr().out
    regions = {name: tensor for name, tensor in both.items() if name.startswith("_region")}
    converted(tmp_path, regions, "--clip", tiny_clip, name="regions")
    for name, value in {"both": 1, "both_region_prompt": 2, "regions": 2}.items():
        prompts = load_prompts(
            "learned", str(tmp_path / f"{name}.pth"), ClipEncoder(str(tiny_clip))
        )
        assert (prompts.prefix == value).all()
