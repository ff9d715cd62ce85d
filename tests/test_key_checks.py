"""Every configuration key works, or another value than its default is refused."""

from pathlib import Path

import pytest
from detectron2.config import get_cfg
from detectron2.projects.deeplab import add_deeplab_config

from zsk.config import default_config
from zsk.errors import UserError
from zsk.load import load_config
from zsk.settings.key_checks import all_keys, check_training_size
from zsk.settings.key_limits import CONDITIONS, FIXED
from zsk.settings.key_table import RULES

KEYS = all_keys(default_config())
SELF_TRAINING = ("SELF_TRAINING.ENABLED", True)
SHARE = (*SELF_TRAINING, "SELF_TRAINING.FILTER", "share")
STEPS = ("SOLVER.LR_SCHEDULER_NAME", "WarmupMultiStepLR", "SOLVER.STEPS")
ZS3 = ["MODEL.META_ARCHITECTURE", "PerPixelNet", "MODEL.SEM_SEG_HEAD.NAME", "ZS3Head"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("VERSION: 2\n")
    return path


def message_of(config: Path, *opts: object) -> str:
    with pytest.raises(UserError) as raised:
        load_config(str(config), list(map(str, opts)))
    assert "\n" not in str(raised.value)
    return str(raised.value)


def another(value: object) -> object:
    """A value of the same type, as an option."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, list | tuple):
        return [*value, *value] or ["x"]
    return value + 1 if isinstance(value, int | float) else "other"


def test_the_table_has_every_key_of_ours_and_none_that_does_not_exist() -> None:
    detectron2 = get_cfg()
    add_deeplab_config(detectron2)
    assert set(KEYS) - set(all_keys(detectron2)) <= set(RULES) <= set(KEYS)
    for start in (*FIXED, *(key for condition in CONDITIONS for key in condition.keys)):
        assert any(key.startswith(start) for key in KEYS), start
    assert {condition.switch for condition in CONDITIONS} <= set(RULES)
    for condition in CONDITIONS:
        values = condition.values.removeprefix("not ").split()
        named = isinstance(KEYS[condition.switch], str)
        assert not named or all(map(RULES[condition.switch].allows, values)), condition
    assert all(rule.allows(KEYS[key]) for key, rule in RULES.items())


def test_every_other_key_of_detectron2_is_refused_with_a_reason(config: Path) -> None:
    fixed = {key: value for key, value in KEYS.items() if key not in RULES and value is not None}
    assert len(fixed) > 100
    for key, value in fixed.items():
        if key == "VERSION":
            continue
        message = message_of(config, key, another(value))
        assert f"options: {key} is " in message and "; take it out" in message, key


@pytest.mark.parametrize(
    "opts, words",
    [
        (["MODEL.SEM_SEG_HEAD.IGNORE_VALUE", 0], "is always 255: label_values"),
        (["MODEL.META_ARCHITECTURE", "GeneralizedRCNN"], "has to be ZSKNet, PerPixelNet or"),
        (["MODEL.BACKBONE.NAME", "resnet"], "has to be a registered backbone"),
        (["MODEL.SEM_SEG_HEAD.NAME", "SPNetHead"], "SPNetHead has no masks, which .* ZSKNet takes"),
        (["MODEL.DEVICE", None], "MODEL.DEVICE is None, but has to be cuda"),
        (["MODEL.DEVICE", "gpu"], "has to be cuda, cuda:0 or cpu"),
        (["MODEL.KERNELS.NUM_KERNELS", 0], "has to be a whole number >= 1"),
        (["MODEL.KERNELS.NUM_STAGES", -1], "has to be a whole number >= 0"),
        (["MODEL.KERNELS.GATHER_ACTIVATION", "sigmod"], "one of 'sigmoid', 'softmax'"),
        (["MODEL.CRITERION.CLASS_WEIGHT", "1e999"], "is inf, but has to be a finite number >= 0"),
        (["MODEL.ENSEMBLE.LAMBDA", 1.5], "has to be a finite number >= 0 and <= 1"),
        (["MODEL.SEM_SEG_HEAD.NORM", "LN"], "has to be one of '', 'BN', 'SyncBN'"),
        (["MODEL.CLIP.FURTHER_THRESHOLDS", [1.0]], "each a finite number > 0 and < 1"),
        (["DATALOADER.SKIP_UNREADABLE", 1.0], "has to be a finite number >= 0 and < 1"),
        (["MODEL.CLIP.NAME", None], "MODEL.CLIP.NAME is None"),
        (["INPUT.MIN_SIZE_TRAIN", ()], "has to be a list of 1 or more entries"),
        (["INPUT.CROP.SIZE", [0, 5]], "a list of 2 entries, each a whole number >= 1"),
        (["SOLVER.STEPS", (20, 10)], "an ascending list of iterations"),
        (["SOLVER.REFERENCE_WORLD_SIZE", 3], "a multiple of SOLVER.REFERENCE_WORLD_SIZE 3"),
        (["MODEL.FPN.NORM", "GN"], "belongs to Detectron2's models of boxes"),
        ([*STEPS, "(5, 9)", "SOLVER.MAX_ITER", 9], "SOLVER.STEPS [5, 9] has SOLVER.MAX_ITER 9"),
        (["MODEL.BACKBONE.NAME", "build_resnet_fpn_backbone"], "without a feature pyramid"),
        (["INPUT.MIN_SIZE_TRAIN_SAMPLING", "range", "INPUT.MIN_SIZE_TRAIN", [9]], "takes two"),
        (["INPUT.MIN_SIZE_TRAIN_SAMPLING", "range", "INPUT.MIN_SIZE_TRAIN", [9, 8]], "takes two"),
        (
            ["TEST.CELL_STRIDE", 8, "TEST.AUG.ENABLED", True],
            "TEST.CELL_STRIDE is 8 and TEST.AUG.ENABLED is True",
        ),
        (
            [*ZS3, *SELF_TRAINING, "DATASETS.LEAK_UNSEEN_LAYOUT", True],
            "SELF_TRAINING.ENABLED and DATASETS.LEAK_UNSEEN_LAYOUT are True",
        ),
        ([*ZS3, "MODEL.SYNTHESIS.DROPOUT", [0.1, 0.1]], "is [0.1, 0.1], but .* give one dropout"),
        *((["TEST.TILES", side], "has to be 0, or a whole number >= 64") for side in (-1, 1, 63)),
        ([*SELF_TRAINING, "SELF_TRAINING.FILTER", "rank"], "AMOUNT is 0.25, but .* rank takes a w"),
        ([*SHARE, "SELF_TRAINING.AMOUNT", 1.5], "AMOUNT is 1.5, but .* share takes a share, at mo"),
        ([*SHARE, "SELF_TRAINING.AMOUNT", 0.0], "has to be a finite number > 0"),
    ],
)
def test_a_value_that_cannot_be(config: Path, opts: list[object], words: str) -> None:
    message = message_of(config, *opts)
    assert all(part in message for part in words.split(" .* "))


@pytest.mark.parametrize(
    "opts, words",
    [
        (["INPUT.MIN_SIZE_TRAIN", "(32, 640)"], "MIN_SIZE_TRAIN allows training images of 32"),
        (["INPUT.MAX_SIZE_TRAIN", 1], "MAX_SIZE_TRAIN allows training images of 1 pixels"),
        (
            ["INPUT.CROP.ENABLED", True, "INPUT.CROP.SIZE", "[8, 64]"],
            "INPUT.CROP.SIZE allows training images of 8 pixels, but the network has a stride of "
            "32: give at least 33",
        ),
    ],
)
def test_training_images_of_one_cell(config: Path, opts: list[object], words: str) -> None:
    opts = ["INPUT.MIN_SIZE_TRAIN", "(640,)", "INPUT.SIZE_DIVISIBILITY", 0, *opts]
    cfg = load_config(str(config), list(map(str, opts)))
    with pytest.raises(UserError) as raised:
        check_training_size(cfg, 32)
    assert words in str(raised.value)
    cfg.INPUT.SIZE_DIVISIBILITY = 64  # they are padded
    check_training_size(cfg, 32)


@pytest.mark.parametrize(
    "opts, needs",
    [
        (["MODEL.ENSEMBLE.LAMBDA", 0.5, "MODEL.ENSEMBLE.MODE", "head"], "MODE is ensemble"),
        (["MODEL.CLIP.MASK_THRESHOLD", 0.3, "MODEL.ENSEMBLE.MODE", "head"], "MODE is not head"),
        (["MODEL.MASK_FORMER.DIM", 8], "NAME is not DynamicKernelHead or TextFCNHead"),
        (["MODEL.KERNELS.NUM_STAGES", 0, "MODEL.KERNELS.NUM_HEADS", 4], "NUM_STAGES is not 0"),
        (["MODEL.SEM_SEG_HEAD.ASPP_CHANNELS", 32], "IN_FEATURES has 1 entries"),
        (["DATASETS.LEAK_UNSEEN_LAYOUT", True], "MODEL.SEM_SEG_HEAD.NAME is ZS3Head"),
        (["TEST.TILES", 512, "TEST.VOTES_AT", "photo"], "TEST.VOTES_AT is result"),
        (["MODEL.SEM_SEG_HEAD.IN_FEATURES", [], "MODEL.SEM_SEG_HEAD.NORM", "BN"], "has not 0 entr"),
        (
            ["MODEL.META_ARCHITECTURE", "PerPixelNet", "MODEL.SEM_SEG_HEAD.CLASSIFIER", "none"],
            "META_ARCHITECTURE is not PerPixelNet",
        ),
        ([*ZS3, "MODEL.SEM_SEG_HEAD.NORM", "BN"], "MODEL.SEM_SEG_HEAD.FINE_FEATURE is not ''"),
        (["SELF_TRAINING.FILTER", "share"], "SELF_TRAINING.ENABLED is True"),
        ([*SELF_TRAINING, "SELF_TRAINING.AMOUNT", 0.5], "SELF_TRAINING.FILTER is share or rank"),
    ],
)
def test_a_key_that_another_switches_off(config: Path, opts: list[object], needs: str) -> None:
    assert "nothing reads it unless " in message_of(config, *opts)
    assert needs in message_of(config, *opts)


def test_the_file_is_judged_before_the_options(config: Path) -> None:
    """MODE head on the command line leaves the LAMBDA of a file without a meaning, rightly."""
    config.write_text(
        "MODEL: {ENSEMBLE: {LAMBDA: 0.5}}\nTEST: {AUG: {ENABLED: False, FLIP: False}}"
    )
    load_config(str(config), ["MODEL.ENSEMBLE.MODE", "head"])
    config.write_text("MODEL: {ENSEMBLE: {LAMBDA: 0.5, MODE: head}}")
    assert f"config file {config}: MODEL.ENSEMBLE.LAMBDA is 0.5" in message_of(config)


def test_a_file_and_an_option_that_exclude_each_other(config: Path) -> None:
    """Tiles are merged at the size of the result: votes at the photo's size are of no meaning."""
    config.write_text("TEST: {VOTES_AT: photo}")
    assert "TEST.TILES is 512, but nothing reads it" in message_of(config, "TEST.TILES", 512)
    config.write_text("TEST: {TILES: 512}")
    assert "TEST.TILES is 0" in message_of(config, "TEST.VOTES_AT", "photo")


def test_the_configuration_that_a_training_wrote_is_read_again(config: Path) -> None:
    """Also with a value that nothing reads."""
    written = load_config("configs/coco-stuff-164k-156/zsk_R101_bs8_240k.yaml")
    written.MODEL.TIMM.NAME = "resnet18"
    config.write_text(written.dump())
    assert all_keys(load_config(str(config))) == all_keys(written)
    written.INPUT.CROP.TYPE = "relative"
    config.write_text(written.dump())
    assert "INPUT.CROP.TYPE is 'relative', but it is always absolute" in message_of(config)
