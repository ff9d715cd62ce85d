"""Training without unreadable files: which image is taken instead, and the share that ends it."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from detectron2.config import CfgNode
from label_files import write_pairs
from PIL import Image
from training.segments import build_segment_loader

from zsk.config import default_config
from zsk.data.check import check_at_start
from zsk.data.images import read_image
from zsk.data.loader import build_test_loader, build_train_loader
from zsk.data.register import register_zero_shot_split
from zsk.data.samples import SeededSamples, SkippedFiles
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary

CLASSES = Vocabulary(("cat", "dog"), ("cat", "dog"), (True, False))


@pytest.fixture
def cfg(tmp_path: Path) -> CfgNode:
    """Ten photos a … j of the data set pets; the photo d and the label of e are damaged."""
    folders = write_pairs(tmp_path, dict.fromkeys("abcdefghij", np.zeros((20, 20), np.uint8)))
    (tmp_path / "photos" / "d.png").write_bytes(b"x")
    (tmp_path / "labels" / "e.png").write_bytes(b"x")
    register_zero_shot_split("pets", *folders, CLASSES, training=True)
    cfg = default_config()
    cfg.DATASETS.TRAIN, cfg.SEED = ("pets",), 1
    cfg.DATALOADER.NUM_WORKERS, cfg.SOLVER.IMS_PER_BATCH = 0, 2
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.SIZE_DIVISIBILITY = (20,), 0
    return cfg


def stems(batches) -> list[str]:
    return [record["image_id"] for batch in batches for record in batch]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_next_image_takes_the_place_and_files_are_counted(cfg, caplog, workers: int) -> None:
    cfg.DATALOADER.SKIP_UNREADABLE, cfg.DATALOADER.NUM_WORKERS = 0.2, workers
    loader = build_train_loader(cfg)
    shown = stems(itertools.islice(loader, 10))
    # two epochs: f stands for d and e, too
    assert sorted(shown) == sorted(2 * [*"abcfghij", "f", "f"])
    assert sorted(Path(photo).stem for photo in loader.files) == ["d", "e"]
    assert loader.summary() == "2 of 10 training images cannot be read"
    assert "skipped: image" in caplog.text and "skipped: label" in caplog.text
    resumed = build_train_loader(cfg, start_iter=4)
    assert stems(itertools.islice(resumed, 6)) == shown[8:]


def test_more_than_the_share_ends_the_run(cfg: CfgNode) -> None:
    cfg.DATALOADER.SKIP_UNREADABLE = 0.1
    with pytest.raises(UserError, match="2 of 10 .* than DATALOADER.SKIP_UNREADABLE 0.1 allows"):
        list(itertools.islice(build_train_loader(cfg), 10))
    cfg.DATALOADER.SKIP_UNREADABLE = 0.0  # the first one, as without the key
    with pytest.raises(UserError, match=r"(d|e).png cannot be read"):
        list(itertools.islice(build_train_loader(cfg), 10))


def test_nothing_is_skipped_in_evaluation_nor_for_another_reason(cfg, tmp_path: Path) -> None:
    cfg.DATALOADER.SKIP_UNREADABLE = 0.5
    for build in (lambda: build_test_loader(cfg, "pets"), lambda: build_segment_loader(cfg)):
        with pytest.raises(UserError, match="d.png cannot be read"):
            list(build())
    Image.fromarray(np.full((20, 20), 7, np.uint8)).save(tmp_path / "labels" / "a.png")
    with pytest.raises(UserError, match="a.png holds the id 7"):
        list(itertools.islice(build_train_loader(cfg), 10))


def test_the_check_at_start_lets_them_pass(cfg: CfgNode) -> None:
    with pytest.raises(UserError, match="d.png cannot be read"):
        check_at_start(["pets"])
    check_at_start(["pets"], skip_unreadable=True)


def test_no_image_at_all() -> None:
    records = [{"file_name": "no/a.png"}, {"file_name": "no/b.png"}]
    samples = SeededSamples(records, lambda record: read_image(record["file_name"]), 0, True)
    with pytest.raises(UserError, match="none of the 2 images can be read: .*no/a.png"):
        samples[0, 1]
    assert SkippedFiles([], 2, 0.5).summary() == "0 of 2 training images cannot be read"
