"""A fine-tuned CLIP sees photos at the size at which it learned to, or there is a warning."""

import json
import logging

import pytest
from detectron2.modeling import build_model
from tiny_head import tiny_config

from zsk.classification.build import build_encoder
from zsk.classification.photo_size import photo_sizes

BACKBONE = (
    "MODEL.BACKBONE.NAME build_clip_backbone MODEL.CLIP.REGION_MODE backbone "
    "MODEL.CLIP.BACKBONE_SCALE 0.5"
).split()
ONE_PASS = ["MODEL.CLIP.REGION_MODE", "one_pass", "MODEL.CLIP.ONE_PASS_SIZE"]


@pytest.fixture
def tuned(tiny_clip, tmp_path):
    """A CLIP file whose report says 96 pixels."""
    file = tmp_path / "tuned.pt"
    file.symlink_to(tiny_clip)
    file.with_suffix(".json").write_text(json.dumps({"one_pass_size": 96}))
    return file


def warnings_of(caplog, clip, *opts):
    caplog.clear()
    with caplog.at_level(logging.WARNING, "zsk"):
        build_model(
            tiny_config("MODEL.META_ARCHITECTURE", "ZSKNet", "MODEL.CLIP.NAME", clip, *opts)
        )
    return [record.getMessage() for record in caplog.records]


def test_one_pass_at_another_size_warns(caplog, tuned):
    assert warnings_of(caplog, str(tuned), *ONE_PASS, 96) == []
    assert warnings_of(caplog, str(tuned), *ONE_PASS, 104) == []  # 8 % more
    assert warnings_of(caplog, f"openai:{tuned}", *ONE_PASS, 128) == [
        f"MODEL.CLIP.NAME openai:{tuned} learned on photos whose shorter side has 96 pixels, but "
        "sees them with 128 (MODEL.CLIP.ONE_PASS_SIZE), where its names are worse: fine-tune it "
        "with --size 128, or change the size"
    ]
    (message,) = warnings_of(caplog, str(tuned), *ONE_PASS, 0)
    assert "sees them with 64 (" in message  # the side of the tiny CLIP's crops


def test_a_backbone_at_another_size_warns(caplog, tuned):
    encoder = build_encoder(str(tuned))
    own = ("MODEL.PIXEL_MEAN", list(encoder.pixel_mean), "MODEL.PIXEL_STD", list(encoder.pixel_std))
    assert warnings_of(caplog, str(tuned), *BACKBONE, *own, "INPUT.MIN_SIZE_TEST", 192) == []
    (message,) = warnings_of(caplog, str(tuned), *BACKBONE, *own, "INPUT.MIN_SIZE_TEST", 320)
    assert "sees them with 160 (INPUT.MIN_SIZE_TEST times MODEL.CLIP.BACKBONE_SCALE)" in message
    # crops of every mask are no whole photos
    crops = ("INPUT.MIN_SIZE_TEST", 320, "MODEL.CLIP.REGION_MODE", "crop")
    assert warnings_of(caplog, str(tuned), *BACKBONE, *own, *crops) == []


def test_weights_without_a_report_are_not_checked(caplog, tuned, tiny_clip):
    assert warnings_of(caplog, str(tiny_clip), *ONE_PASS, 128) == []
    for text in ("", "[]", "{}", '{"one_pass_size": null}'):
        tuned.with_suffix(".json").write_text(text)
        assert warnings_of(caplog, str(tuned), *ONE_PASS, 128) == []


def test_the_size_is_that_of_testing():
    cfg = tiny_config("INPUT.MIN_SIZE_TEST", 640, *ONE_PASS, 448)
    assert photo_sizes(cfg, 224) == [448]
    cfg.MODEL.CLIP.ONE_PASS_SIZE = 0
    assert photo_sizes(cfg, 224) == [224]
    cfg.merge_from_list(BACKBONE)
    assert photo_sizes(cfg, 224) == [320]
    cfg.INPUT.MIN_SIZE_TEST = 0  # photos stay as they are
    assert photo_sizes(cfg, 224) == []
    cfg.merge_from_list(["TEST.AUG.ENABLED", True, "TEST.AUG.MIN_SIZES", [0, 512, 768]])
    assert photo_sizes(cfg, 224) == [256, 384]
