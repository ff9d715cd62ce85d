"""Every configuration below configs/ is read, and so is the definition of the tables."""

from pathlib import Path

import pytest
from benchmark.accuracy.definition import read_definition
from benchmark.accuracy.plan import Plan, supervised_systems

from zsk.data.register import get_vocabulary
from zsk.load import load_config

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
TABLES = CONFIGS / "synthetic" / "tables.yaml"
PHOTO_TABLES = CONFIGS / "embedded" / "tables.yaml"
FILES = sorted(set(CONFIGS.rglob("*.yaml")) - {TABLES, PHOTO_TABLES})


@pytest.fixture(autouse=True)
def no_data(tmp_path: Path, empty_catalogs: None, monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.parametrize("quick", [False, True])
def test_all_rows_of_the_tables_resolve(quick: bool, tmp_path: Path) -> None:
    definition = read_definition(TABLES, quick=quick, seeds=[1])
    plan = Plan(definition, tmp_path)
    assert len(plan.trials) == len(definition.selected_rows()) > 0
    for trial in plan.trials:
        kind = "objects" if trial.row.table == "objects" else "stuff"
        assert trial.dataset == f"synthetic_{kind}_zs_val"
    assert supervised_systems(definition) == {"MaskFormer", "K-Net"}
    # rows that only differ in their evaluation share one training
    assert len({trial.train.folder for trial in plan.trials if trial.train}) < len(plan.trials)


def test_the_tables_of_photos_resolve(tmp_path: Path) -> None:
    definition = read_definition(PHOTO_TABLES)
    trials = Plan(definition, tmp_path).trials
    assert len(trials) == 9 and {trial.dataset for trial in trials} == {"photos_zs_val"}
    assert not supervised_systems(definition)
