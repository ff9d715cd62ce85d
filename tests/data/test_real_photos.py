"""The way from the real photos on disk to training records, with their labels as shipped."""

from pathlib import Path

import numpy as np
import pytest
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog
from detectron2.utils.env import seed_all_rng
from preparation.labels import LabelCounts, prepare_labels
from preparation.tables import coco_stuff_value_table

from zsk.config import add_zsk_config
from zsk.data.dataset_mapper import ZeroShotMapper
from zsk.data.label_files import read_label
from zsk.data.listing import read_stems
from zsk.data.register import register_zero_shot_split
from zsk.data.splits import get_split

STUFF = get_split("coco_stuff")


@pytest.fixture(scope="module")
def prepared(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LabelCounts]:
    root = tmp_path_factory.mktemp("zsk")
    counts = prepare_labels(
        sorted((real_data / "coco" / "stuffthingmaps" / "train2017").glob("*.png")),
        coco_stuff_value_table(),
        STUFF,
        joint_folder=root / "all",
        seen_folder=root / "seen",
    )
    return root, counts


@pytest.fixture
def photos(real_data: Path, prepared: tuple[Path, LabelCounts], empty_catalogs) -> list[dict]:
    """Records of all photos, with the labels that hold the unseen classes, too."""
    images = real_data / "coco" / "train2017"
    register_zero_shot_split("real", images, prepared[0] / "all", STUFF, training=True)
    return DatasetCatalog.get("real")


def test_counts(prepared: tuple[Path, LabelCounts]) -> None:
    root, counts = prepared
    assert counts.images == 100
    assert counts.images_without_seen == 1  # giraffes among trees and grass
    unseen_ids = np.flatnonzero(~np.array(STUFF.seen))
    assert counts.unseen_pixels == sum(
        int(np.isin(read_label(path), unseen_ids).sum()) for path in (root / "all").iterdir()
    )
    for path in (root / "seen").iterdir():
        assert not np.isin(read_label(path), unseen_ids).any(), path


def test_lists_cover_the_photos(checkout: Path, prepared: tuple[Path, LabelCounts]) -> None:
    root, _ = prepared
    train, val = (read_stems(checkout / "datasets" / f"photos_{p}.txt") for p in ("train", "val"))
    photos = sorted(path.stem for path in (root / "all").iterdir())
    assert val == photos[4::5]  # every fifth: nobody chose what to hold out
    assert train == [stem for stem in photos if stem not in val]


def test_training_sees_what_was_labelled_seen(photos: list[dict]) -> None:
    seed_all_rng(0)
    cfg = get_cfg()
    add_zsk_config(cfg)
    cfg.INPUT.MIN_SIZE_TRAIN = (160, 240, 320)
    cfg.INPUT.CROP.ENABLED, cfg.INPUT.CROP.SIZE = True, [128, 128]
    cfg.INPUT.SIZE_DIVISIBILITY = 128
    mapper = ZeroShotMapper(cfg, is_train=True, dataset_name="real")
    seen_names = set(STUFF.seen_only().names)
    for record in photos[:20]:
        stored = read_label(record["sem_seg_file_name"])
        in_photo = {STUFF.names[k] for k in np.unique(stored) if k != 255}
        mapped = mapper(record)
        assert mapped["image"].shape == (3, 128, 128)
        ids = [k for k in mapped["sem_seg"].unique().tolist() if k != 255]
        shown = {mapped["vocabulary"].names[k] for k in ids}
        assert shown <= in_photo & seen_names
        assert (mapped["height"], mapped["width"]) == stored.shape
