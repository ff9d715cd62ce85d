"""The world's data sets: names, vocabularies, checks, loading in worker processes."""

import importlib
import itertools
import pickle
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from detectron2.config import CfgNode, get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from zsk.config import add_zsk_config
from zsk.data.builtin import register_all, register_synthetic
from zsk.data.images import read_image
from zsk.data.loader import build_train_loader
from zsk.data.register import get_vocabulary, registered_names
from zsk.data.startup_check import LABELS_AT_START, check_at_start
from zsk.data.synthetic import files
from zsk.data.synthetic.classes import object_vocabulary, stuff_vocabulary

NAMES = [
    f"synthetic_{kind}_{ending}"
    for kind in ("objects", "stuff")
    for ending in ("supervised_train", "zs_train", "zs_val")
]


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """Only the synthetic data sets; the catalogs are left as they were."""
    saved = dict(DatasetCatalog), dict(MetadataCatalog)
    for catalog in (DatasetCatalog, MetadataCatalog):
        catalog.clear()
    register_synthetic()
    yield
    for catalog, content in zip((DatasetCatalog, MetadataCatalog), saved):
        catalog.clear()
        catalog.update(content)


def train_config(dataset: str, batch: int = 2, workers: int = 0) -> CfgNode:
    """Scenes as they are, unturned."""
    cfg = get_cfg()
    add_zsk_config(cfg)
    cfg.DATASETS.TRAIN = (dataset,)
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN = (96,), 96
    cfg.INPUT.FORMAT = "RGB"
    cfg.INPUT.RANDOM_FLIP, cfg.INPUT.COLOR_AUG_SSD = "none", False
    cfg.INPUT.CROP.ENABLED, cfg.INPUT.SIZE_DIVISIBILITY = False, 0
    cfg.DATALOADER.NUM_WORKERS, cfg.SOLVER.IMS_PER_BATCH = workers, batch
    cfg.SEED = 1
    return cfg


def test_twice_is_fine_and_all_data_sets_include_them(tmp_path: Path) -> None:
    register_synthetic()
    assert registered_names() == NAMES
    register_all(tmp_path)
    assert set(NAMES) < set(registered_names())


@pytest.mark.parametrize(
    "kind, vocabulary", [("stuff", stuff_vocabulary()), ("objects", object_vocabulary())]
)
def test_splits(kind: str, vocabulary) -> None:
    for ending in ("zs_train", "zs_val"):
        assert get_vocabulary(f"synthetic_{kind}_{ending}") == vocabulary
    supervised = get_vocabulary(f"synthetic_{kind}_supervised_train")
    assert supervised.names == vocabulary.names and all(supervised.seen)
    flags = [MetadataCatalog.get(n).training for n in NAMES if kind in n]
    assert flags == [True, True, False]
    train, val = (DatasetCatalog.get(f"synthetic_{kind}_zs_{part}") for part in ("train", "val"))
    assert train == DatasetCatalog.get(f"synthetic_{kind}_supervised_train")
    assert (len(train), len(val)) == (3000, 80)
    assert train[0]["sem_seg_file_name"] == f"synthetic:train/{kind}/00000.png"


def test_the_check_at_start_renders_a_few_labels_only() -> None:
    files._render.cache_clear()
    start = time.process_time()
    check_at_start(["synthetic_stuff_zs_train", "synthetic_stuff_zs_val"])
    assert time.process_time() - start < 5  # about 0.3 s where nothing else runs
    assert files._render.cache_info().misses == 2 * LABELS_AT_START


def test_the_data_check_counts_and_draws(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys
) -> None:
    monkeypatch.syspath_prepend(checkout / "tools")
    monkeypatch.setitem(files.PARTS, "val", (2, 4))
    sheet = tmp_path / "sheet.png"
    tool = importlib.import_module("check_dataset")
    assert tool.main(["synthetic_objects_zs_val", "--workers", "1", "--sheet", str(sheet)]) == 0
    told = capsys.readouterr().out
    assert "synthetic_objects_zs_val: 4 images" in told
    assert "no problems in synthetic_objects_zs_val" in told
    assert Image.open(sheet).mode == "RGB"


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_gets_the_scenes_also_in_other_processes(workers: int) -> None:
    cfg = train_config("synthetic_stuff_zs_train", workers=workers)
    batches = list(itertools.islice(build_train_loader(cfg), 3))
    assert len({record["file_name"] for batch in batches for record in batch}) == 6
    for record in itertools.chain(*batches):
        expected = read_image(record["file_name"]).transpose(2, 0, 1)
        assert np.array_equal(record["image"].numpy(), expected)


def test_records_survive_pickling() -> None:
    record = DatasetCatalog.get("synthetic_objects_zs_val")[5]
    assert pickle.loads(pickle.dumps(record)) == record
