"""Every configuration below configs/ is read, and so is the definition of the tables."""

from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
import yaml
from benchmark.accuracy.definition import read_definition
from benchmark.accuracy.plan import Plan, supervised_systems
from benchmark.photo_folds import describe_split

from zsk.data.vocabularies import get_vocabulary
from zsk.evaluation.metrics import harmonic_mean
from zsk.load import load_config
from zsk.protocol import INDUCTIVE, TRANSDUCTIVE

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
TABLES = CONFIGS / "synthetic" / "tables.yaml"
COMPARED = CONFIGS / "synthetic" / "compared.yaml"
PHOTO_TABLES = CONFIGS / "embedded" / "tables.yaml"
ONE_NETWORK = [CONFIGS / "synthetic" / f"one_network{tower}.yaml" for tower in ("", "_vit")]
FOLDS = CONFIGS / "embedded" / "folds.yaml"
FILES = sorted(set(CONFIGS.rglob("*.yaml")) - {TABLES, COMPARED, PHOTO_TABLES, FOLDS, *ONE_NETWORK})


@pytest.fixture(autouse=True)
def no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))


@pytest.mark.parametrize("path", FILES, ids=[str(p.relative_to(CONFIGS)) for p in FILES])
def test_every_file_is_read_and_its_data_sets_are_known(path: Path) -> None:
    cfg = load_config(str(path))
    is_base = path.name.startswith("Base-")
    names = (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)
    assert names or is_base
    for name in names:
        get_vocabulary(name, trained_on=cfg.DATASETS.TRAIN)
    assert cfg.OUTPUT_DIR != "./output" or is_base  # runs keep apart
    # the background of VOC and of the synthetic objects is unlabelled: masks are kept off it
    background = any("voc_" in name or "objects" in name for name in cfg.DATASETS.TRAIN)
    learns = cfg.MODEL.META_ARCHITECTURE == "ZSKNet" and "training_free" not in path.parts
    assert not (background and learns and cfg.MODEL.CRITERION.IGNORE_AWARE)


# of ZS-MaskFormer, on both data sets; for the network, λ and the size of photos in the evaluation
# see test_the_configurations_of_trainings_build_the_published_network
PUBLISHED = {
    "MODEL.WEIGHTS": "detectron2://DeepLab/R-103.pkl",
    "MODEL.MASK_FORMER.DROPOUT": 0.1,
    "MODEL.CRITERION.FOCAL_WEIGHT": 20.0,
    "MODEL.CRITERION.NO_OBJECT_WEIGHT": 0.1,
    "MODEL.CRITERION.IGNORE_AWARE": False,
    "MODEL.CLIP.NAME": "ViT-B/16",
    "MODEL.ENSEMBLE.MODE": "ensemble",
    "DATASETS.PROMPT_NAMES": False,
    "SOLVER.BASE_LR": 0.0001,
    "SOLVER.BACKBONE_MULTIPLIER": 0.1,
    "SOLVER.WEIGHT_DECAY": 0.0001,
    "SOLVER.POLY_LR_POWER": 0.9,
    "SOLVER.CLIP_GRADIENTS.FULL_MODEL_NORM": 0.01,
    "INPUT.MIN_SIZE_TRAIN": tuple(range(320, 961, 64)),
}
PUBLISHED_VOC = {
    "MODEL.CLIP.PROMPT": "sculpture",
    "SOLVER.IMS_PER_BATCH": 16,
    "SOLVER.MAX_ITER": 20000,
    "INPUT.CROP.SIZE": [512, 512],
}
PUBLISHED_COCO_STUFF = {
    "MODEL.CLIP.PROMPT": "learned",
    "SOLVER.IMS_PER_BATCH": 32,
    "SOLVER.MAX_ITER": 60000,
    "INPUT.CROP.SIZE": [640, 640],
}


@pytest.mark.parametrize(
    "file, published",
    [
        ("voc-11k-15/zs_maskformer_R101_bs16_20k.yaml", PUBLISHED_VOC),
        ("coco-stuff-164k-156/zs_maskformer_R101_bs32_60k.yaml", PUBLISHED_COCO_STUFF),
    ],
)
def test_zs_maskformer_is_configured_as_published(file: str, published: dict[str, Any]) -> None:
    cfg = load_config(str(CONFIGS / file))
    values = {key: reduce(getitem, key.split("."), cfg) for key in PUBLISHED | published}
    assert values == PUBLISHED | published


@pytest.mark.parametrize("quick", [pytest.param(False, marks=pytest.mark.slow), True])
def test_all_rows_of_the_tables_resolve(quick: bool, tmp_path: Path) -> None:
    definition = read_definition(TABLES, quick=quick, seeds=[1])
    plan = Plan(definition, tmp_path)
    assert len(plan.trials) == len(definition.selected_rows()) > 0
    for trial in plan.trials:
        kind = "objects" if trial.row.table.endswith("objects") else "stuff"
        assert trial.dataset == f"synthetic_{kind}_zs_val"
    assert supervised_systems(definition) == {"MaskFormer", "K-Net"}
    # rows that only differ in their evaluation share one training
    assert len({trial.train.folder for trial in plan.trials if trial.train}) < len(plan.trials)


def test_reported_numbers_satisfy_the_formula_of_hiou() -> None:
    """A number that was copied wrong does not; each is rounded to 0.1."""
    tables = read_definition(COMPARED).tables
    reported = [row.reported for table in tables for row in table.rows if row.reported]
    assert reported
    for numbers in reported:
        expected = harmonic_mean(numbers["seen"], numbers["unseen"])
        assert numbers["hIoU"] == pytest.approx(expected, abs=0.15), numbers


def test_the_compared_systems_resolve(tmp_path: Path) -> None:
    """Labels of a teacher, and they alone, make a row transductive; no row has a leak."""
    trials = Plan(read_definition(COMPARED, seeds=[1]), tmp_path).trials
    for trial in trials:
        taught = "+" in trial.row.system or trial.row.start is not None
        assert trial.protocol == (TRANSDUCTIVE if taught else INDUCTIVE)
    assert {t.dataset for t in trials} == {f"synthetic_{k}_zs_val" for k in ("stuff", "objects")}


def test_the_tables_of_photos_resolve(tmp_path: Path) -> None:
    definition = read_definition(PHOTO_TABLES)
    trials = Plan(definition, tmp_path).trials
    assert len(trials) == 9 and {trial.dataset for trial in trials} == {"photos_zs_val"}
    assert not supervised_systems(definition)


def test_the_folds_of_the_photos_resolve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "output" / "folds").mkdir(parents=True)
    for name in (f"{kind}_{fold}" for kind in ("fold", "pasted") for fold in range(1, 6)):
        split = yaml.safe_dump(describe_split(name, "photos", tmp_path / "coco"))
        (tmp_path / "output" / "folds" / f"{name}.yaml").write_text(split)
    definition = read_definition(FOLDS)
    trials = Plan(definition, tmp_path).trials
    assert len(trials) == 11 * 5 and not supervised_systems(definition)
    for trial in trials:  # a seed is a fold
        kind, part, _ = trial.cfg.DATASETS.TRAIN[0].split("_")
        assert int(part) == trial.seed and trial.dataset == f"{kind}_{part}_val"
    pasted = [trial.dataset.startswith("pasted") for trial in trials[::5]]
    assert pasted == [False, True, False, False, *7 * [True]]


@pytest.mark.parametrize("path", ONE_NETWORK, ids=lambda path: path.stem)
def test_the_tables_of_one_network_resolve(path: Path, tmp_path: Path) -> None:
    definition = read_definition(path, seeds=[1])
    assert len(Plan(definition, tmp_path).trials) == len(definition.selected_rows()) > 0
