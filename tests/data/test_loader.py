"""The loaders: order, seeds, resuming, workers, processes, and the choice of a few images."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from detectron2.utils.env import seed_all_rng
from label_files import write_pairs
from training.segments import build_segment_loader

from zsk.config import default_config
from zsk.data.loader import build_test_loader, build_train_loader
from zsk.data.register import register_zero_shot_split
from zsk.engine.settings import changes, training_settings
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary

JOINT = Vocabulary(("cat", "cow", "dog"), ("cat", "cow", "dog"), (True, False, True))
# what each of the five label files is filled with: b and d hold no seen pixel
LABELS = {"a": 0, "b": 1, "c": 2, "d": 255, "e": 0}


@pytest.fixture(autouse=True)
def pets(tmp_path: Path) -> None:
    """The data sets pets, pets_again and, with other seen classes, pets_other."""
    filled = {stem: np.full((20, 30), label_id, np.uint8) for stem, label_id in LABELS.items()}
    folders = write_pairs(tmp_path, filled)
    other = Vocabulary(JOINT.names, JOINT.names, (True, True, False))
    for name, vocabulary in (("pets", JOINT), ("pets_again", JOINT), ("pets_other", other)):
        register_zero_shot_split(name, *folders, vocabulary, training=True)


def small_cfg(*train: str, workers: int = 0) -> CfgNode:
    cfg = default_config()
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TEST = (16, 32), 10
    cfg.INPUT.CROP.ENABLED, cfg.INPUT.CROP.SIZE = True, [16, 16]
    cfg.INPUT.SIZE_DIVISIBILITY = 16
    cfg.DATASETS.TRAIN = train
    cfg.DATALOADER.NUM_WORKERS, cfg.SOLVER.IMS_PER_BATCH = workers, 2
    cfg.SEED = 3
    return cfg


def batches(cfg: CfgNode, count: int) -> list[list[dict]]:
    seed_all_rng(cfg.SEED)
    return list(itertools.islice(build_train_loader(cfg), count))


def test_a_loader_draws_nothing_where_it_is_opened() -> None:
    """A self-training opens it within its first iteration, whose draws a resumed one repeats."""
    seed_all_rng(3)
    before = torch.get_rng_state()
    next(iter(build_train_loader(small_cfg("pets"))))
    assert torch.equal(torch.get_rng_state(), before)


def ids(loaded) -> list[list[str]]:
    return [[record["image_id"] for record in batch] for batch in loaded]


def views(loaded) -> list[list[tuple[str, bytes]]]:
    return [[(r["image_id"], r["image"].numpy().tobytes()) for r in batch] for batch in loaded]


def test_an_epoch_shows_every_image_once_and_no_unseen_id() -> None:
    shown = list(itertools.chain(*batches(small_cfg("pets"), 5)))
    stems = [record["image_id"] for record in shown]
    assert sorted(stems[:5]) == sorted(stems[5:]) == list(LABELS)
    labels = {r["image_id"]: set(r["sem_seg"].unique().tolist()) - {255} for r in shown}
    assert all(r["image"].shape == (3, 16, 16) for r in shown)
    # cow is gone, dog has moved up to id 1
    assert labels == {"a": {0}, "b": set(), "c": {1}, "d": set(), "e": {0}}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_gets_the_images_and_views_that_come_then(workers: int) -> None:
    whole = batches(small_cfg("pets"), 7)
    cfg = small_cfg("pets", workers=workers)
    np.random.seed(99)
    resumed = list(itertools.islice(build_train_loader(cfg, start_iter=3), 4))
    assert views(resumed) == views(whole[3:])


def test_views_depend_on_seed_and_position_alone(monkeypatch) -> None:
    """Two processes show in every iteration what one shows; the caller's draws stay its own."""
    cfg = small_cfg("pets")
    whole = views(batches(cfg, 5))
    monkeypatch.setattr("detectron2.utils.comm.get_world_size", lambda: 2)
    shares = []
    for rank in range(2):
        monkeypatch.setattr("detectron2.utils.comm.get_rank", lambda: rank)
        shares.append(views(batches(cfg, 5)))
        drawn = np.random.rand()
        seed_all_rng(cfg.SEED)
        assert drawn == np.random.rand()
    assert [first + second for first, second in zip(*shares)] == whole
    seen = [view for batch in whole for view in batch]
    assert len({name for name, _ in seen}) == 5 < len(set(seen))  # a new view at every showing


def test_several_data_sets_share_one_vocabulary() -> None:
    shown = itertools.chain(*ids(batches(small_cfg("pets", "pets_again"), 5)))
    assert sorted(shown) == sorted([*LABELS, *LABELS])
    for build in (build_train_loader, build_segment_loader):
        with pytest.raises(UserError, match="'pets' and 'pets_other', whose classes differ"):
            build(small_cfg("pets", "pets_other"))
        with pytest.raises(UserError, match="DATASETS.TRAIN is empty"):
            build(small_cfg())


@pytest.mark.parametrize("build", [build_train_loader, build_segment_loader])
def test_fewer_training_images_are_the_same_for_every_seed_and_among_more(build) -> None:
    def shown(count: int, seed: int = 3) -> list[str]:
        cfg = small_cfg("pets")
        cfg.DATASETS.TRAIN_IMAGES, cfg.SEED, cfg.SOLVER.IMS_PER_BATCH = count, seed, 1
        epoch = itertools.islice(build(cfg), count or len(LABELS))
        return sorted(itertools.chain(*ids(epoch)))

    assert shown(0) == shown(5) == list(LABELS)
    few, more = shown(2), shown(4)
    assert len(set(few)) == 2 and len(set(more)) == 4 and set(few) < set(more)
    assert more != list(LABELS)[:4]  # a list is often sorted by what it shows
    assert shown(2, seed=7) == few
    given = small_cfg("pets")
    given.DATASETS.TRAIN_IMAGES = 2
    saved = training_settings(small_cfg("pets"), processes=1)
    assert changes(saved, training_settings(given, 1)) == "DATASETS.TRAIN_IMAGES 2 (was 0)"
    with pytest.raises(UserError, match="TRAIN_IMAGES is 6, but pets has 5 images: give 5 or"):
        shown(6)


@pytest.mark.parametrize("batch", [3, 0])
def test_a_batch_that_two_processes_cannot_share(monkeypatch, batch: int) -> None:
    monkeypatch.setattr("detectron2.utils.comm.get_world_size", lambda: 2)
    cfg = small_cfg("pets")
    cfg.SOLVER.IMS_PER_BATCH = batch
    with pytest.raises(UserError, match=f"IMS_PER_BATCH is {batch}, which 2 processes"):
        build_train_loader(cfg)


@pytest.mark.parametrize("workers", [0, 2])
def test_testing_goes_through_all_images_in_order(workers: int) -> None:
    cfg = small_cfg(workers=workers)
    loaded = list(build_test_loader(cfg, "pets"))
    assert ids(loaded) == [[stem] for stem in LABELS]
    assert all(record["image"].shape == (3, 10, 15) for (record,) in loaded)
    assert all(record["vocabulary"] == JOINT for (record,) in loaded)
    assert "cells" not in loaded[0][0]
    cfg.TEST.CELL_STRIDE = 4  # of the photo in the network: 10 × 15 pixels in 3 × 4 cells
    assert [record["cells"] for (record,) in build_test_loader(cfg, "pets")] == [(3, 4)] * 5
    cfg.TEST.IMS_PER_BATCH = 2
    assert ids(build_test_loader(cfg, "pets")) == [["a", "b"], ["c", "d"], ["e"]]


def test_a_worker_reports_the_file(tmp_path: Path) -> None:
    (tmp_path / "photos" / "c.png").write_bytes(b"x")
    with pytest.raises(UserError, match="c.png cannot be read"):
        list(build_test_loader(small_cfg(workers=1), "pets"))


def test_segments_come_from_whole_images_and_seen_classes_alone() -> None:
    loaded = list(build_segment_loader(small_cfg("pets")))
    found = [sorted(record["sem_seg"].unique().tolist()) for (record,) in loaded]
    assert found == [[0], [255], [1], [255], [0]]  # cat, cow is unseen, dog, unlabelled, cat
    for (record,) in loaded:
        # 20 × 30 with the shorter side at 10, as in testing: no view, no padding
        assert record["image"].shape == (3, 10, 15) and record["sem_seg"].shape == (10, 15)
        assert record["vocabulary"].names == ("cat", "dog")


def test_a_few_of_the_images_are_drawn_with_the_seed() -> None:
    def stems(*arguments: int) -> list[str]:
        return [*itertools.chain(*ids(build_segment_loader(small_cfg("pets"), *arguments)))]

    few = stems(2, 0)
    assert len(set(few)) == 2 and stems(2, 0) == few
    assert len({tuple(stems(2, seed)) for seed in range(9)}) > 1
    assert stems(5) == stems(9) == sorted(LABELS)
