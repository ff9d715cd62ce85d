"""The loaders: order, seeds, workers, and the choice of a few training images."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.env import seed_all_rng
from PIL import Image

from zsk.config import add_zsk_config
from zsk.data.loader import build_segment_loader, build_test_loader, build_train_loader
from zsk.data.register import register_zero_shot_split
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary

JOINT = Vocabulary(("cat", "cow", "dog"), ("cat", "cow", "dog"), (True, False, True))
# what each of the five label files is filled with: b and d hold no seen pixel
LABELS = {"a": 0, "b": 1, "c": 2, "d": 255, "e": 0}


@pytest.fixture
def pets(tmp_path: Path) -> Iterator[str]:
    for folder in ("photos", "labels"):
        (tmp_path / folder).mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    for stem, label_id in LABELS.items():
        Image.fromarray(noise).save(tmp_path / "photos" / f"{stem}.png")
        Image.new("L", (30, 20), label_id).save(tmp_path / "labels" / f"{stem}.png")
    names = ("pets", "pets_again", "pets_other")
    other = Vocabulary(JOINT.names, JOINT.names, (True, True, False))
    for name, vocabulary in zip(names, (JOINT, JOINT, other)):
        register_zero_shot_split(
            name, tmp_path / "photos", tmp_path / "labels", vocabulary, training=True
        )
    yield "pets"
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def small_cfg(*train: str) -> CfgNode:
    cfg = get_cfg()
    add_zsk_config(cfg)
    cfg.INPUT.MIN_SIZE_TRAIN = (16, 32)
    cfg.INPUT.CROP.ENABLED = True
    cfg.INPUT.CROP.SIZE = [16, 16]
    cfg.INPUT.SIZE_DIVISIBILITY = 16
    cfg.INPUT.MIN_SIZE_TEST = 10
    cfg.DATASETS.TRAIN = train
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.SOLVER.IMS_PER_BATCH = 2
    cfg.SEED = 3
    return cfg


def batches(cfg: CfgNode, count: int) -> list[list[dict]]:
    seed_all_rng(cfg.SEED)
    return list(itertools.islice(build_train_loader(cfg), count))


def test_seed_fixes_images_and_augmentation(pets: str) -> None:
    cfg = small_cfg(pets)
    first, second = batches(cfg, 3), batches(cfg, 3)
    for one, two in zip(itertools.chain(*first), itertools.chain(*second)):
        assert one["image_id"] == two["image_id"]
        assert torch.equal(one["image"], two["image"])
        assert torch.equal(one["sem_seg"], two["sem_seg"])
    cfg.SEED = 4
    ids = [record["image_id"] for record in itertools.chain(*first)]
    assert ids != [record["image_id"] for record in itertools.chain(*batches(cfg, 3))]


def test_an_epoch_shows_every_image_once(pets: str) -> None:
    shown = [record["image_id"] for record in itertools.chain(*batches(small_cfg(pets), 5))]
    assert sorted(shown[:5]) == sorted(shown[5:]) == list(LABELS)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_gets_the_images_that_come_then(pets: str, workers: int) -> None:
    cfg = small_cfg(pets)
    cfg.DATALOADER.NUM_WORKERS = workers
    whole = [[r["image_id"] for r in batch] for batch in batches(cfg, 7)]
    # with several workers this holds where the start is a multiple of their number, as 4 is of 2
    resumed = itertools.islice(build_train_loader(cfg, start_iter=4), 3)
    assert [[r["image_id"] for r in batch] for batch in resumed] == whole[4:]


def test_no_unseen_id_leaves_the_loader(pets: str) -> None:
    labels = {
        record["image_id"]: set(record["sem_seg"].unique().tolist()) - {255}
        for record in itertools.chain(*batches(small_cfg(pets), 5))
    }
    # cow is gone, dog has moved up to id 1
    assert labels == {"a": {0}, "b": set(), "c": {1}, "d": set(), "e": {0}}


def test_several_data_sets_share_one_vocabulary(pets: str) -> None:
    shown = itertools.chain(*batches(small_cfg("pets", "pets_again"), 5))
    assert sorted(record["image_id"] for record in shown) == sorted([*LABELS, *LABELS])
    with pytest.raises(UserError, match="'pets' and 'pets_other', whose classes differ"):
        build_train_loader(small_cfg("pets", "pets_other"))


def test_no_training_data_set() -> None:
    with pytest.raises(UserError, match="DATASETS.TRAIN is empty"):
        build_train_loader(small_cfg())


def test_test_loader_goes_through_all_images_in_order(pets: str) -> None:
    loaded = list(build_test_loader(small_cfg(), pets))
    assert [[record["image_id"] for record in batch] for batch in loaded] == [[s] for s in LABELS]
    assert all(record["image"].shape == (3, 10, 15) for (record,) in loaded)
    assert all(record["vocabulary"] == JOINT for (record,) in loaded)


def test_workers(pets: str) -> None:
    cfg = small_cfg(pets)
    cfg.DATALOADER.NUM_WORKERS = 2
    assert len(batches(cfg, 2)[1]) == 2
    assert [r["image_id"] for (r,) in build_test_loader(cfg, pets)] == list(LABELS)


def test_a_worker_reports_the_file(pets: str, tmp_path: Path) -> None:
    (tmp_path / "photos" / "c.png").write_bytes(b"x")
    cfg = small_cfg(pets)
    cfg.DATALOADER.NUM_WORKERS = 1
    with pytest.raises(UserError, match="c.png cannot be read"):
        list(build_test_loader(cfg, pets))


@pytest.mark.parametrize("batch", [3, 0])
def test_a_batch_that_two_processes_cannot_share(pets: str, monkeypatch, batch: int) -> None:
    monkeypatch.setattr("detectron2.utils.comm.get_world_size", lambda: 2)
    cfg = small_cfg(pets)
    cfg.SOLVER.IMS_PER_BATCH = batch
    with pytest.raises(UserError, match=f"IMS_PER_BATCH is {batch}, which 2 processes"):
        build_train_loader(cfg)


def test_segments_come_from_whole_images_and_seen_classes_alone(pets):
    cfg = small_cfg(pets)
    batches = list(build_segment_loader(cfg))
    ids = [sorted(record["sem_seg"].unique().tolist()) for (record,) in batches]
    assert ids == [[0], [255], [1], [255], [0]]  # cat, cow is unseen, dog, unlabelled, cat
    for (record,) in batches:
        # 20 × 30 with the shorter side at 10, as in testing: no view, no padding
        assert record["image"].shape == (3, 10, 15) and record["sem_seg"].shape == (10, 15)
        assert record["vocabulary"].names == ("cat", "dog")
    assert torch.equal(batches[0][0]["image"], next(iter(build_test_loader(cfg, pets)))[0]["image"])


def test_a_few_of_the_images_are_drawn_with_the_seed(pets):
    def stems(*arguments):
        loader = build_segment_loader(small_cfg(pets), *arguments)
        return [Path(record["file_name"]).stem for (record,) in loader]

    few = stems(2, 0)
    assert len(set(few)) == 2 and stems(2, 0) == few
    assert {tuple(sorted(stems(2, seed))) for seed in range(9)} > {tuple(sorted(few))}
    assert stems(5) == stems(9) == sorted(LABELS)


def test_segments_of_no_data_set():
    with pytest.raises(UserError, match="DATASETS.TRAIN is empty"):
        build_segment_loader(small_cfg())


@pytest.mark.parametrize("workers", [0, 2])
def test_test_images_in_batches(pets: str, workers: int) -> None:
    cfg = small_cfg()
    cfg.TEST.IMS_PER_BATCH = 2
    cfg.DATALOADER.NUM_WORKERS = workers
    loaded = [[r["image_id"] for r in batch] for batch in build_test_loader(cfg, pets)]
    assert loaded == [["a", "b"], ["c", "d"], ["e"]]
    cfg.TEST.IMS_PER_BATCH = 0
    with pytest.raises(UserError, match="TEST.IMS_PER_BATCH is 0"):
        build_test_loader(cfg, pets)


def test_two_processes_share_the_test_images(pets: str, monkeypatch) -> None:
    monkeypatch.setattr("detectron2.utils.comm.get_world_size", lambda: 2)
    cfg = small_cfg()
    cfg.TEST.IMS_PER_BATCH = 2
    shares = []
    for rank in (0, 1):
        monkeypatch.setattr("detectron2.utils.comm.get_rank", lambda rank=rank: rank)
        shares.append([[r["image_id"] for r in batch] for batch in build_test_loader(cfg, pets)])
    assert shares == [[["a", "b"], ["c"]], [["d", "e"]]]
