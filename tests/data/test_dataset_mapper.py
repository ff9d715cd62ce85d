"""The mapper: shapes, the seen-only labels of training, recoloured segments without a name."""

from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from numpy.random import default_rng
from PIL import Image

from zsk.config import default_config
from zsk.data.dataset_mapper import MEANS, ZeroShotMapper, recolor_segments
from zsk.data.register import register_zero_shot_split
from zsk.vocabulary import Vocabulary

# ids 0 seen, 1 unseen, 2 seen: the seen-only ids are 0, –, 1
JOINT = Vocabulary(("cat", "cow", "dog"), ("cat", "brown cow", "dog"), (True, False, True))
# two classes and an unlabelled column; class 3 is a checkerboard of 90 and 110
LABELS = np.array([[3, 3, 5, 255]] * 4)
IMAGE = np.full((4, 4, 3), 100, dtype=np.uint8)
IMAGE[:, :2] += np.where(np.indices((4, 2)).sum(axis=0) % 2, 10, 246).astype(np.uint8)[..., None]


def write_pair(folder: Path, label: np.ndarray) -> dict:
    """A record with a grey photo, and the label given."""
    Image.new("RGB", label.shape[::-1], (10, 20, 30)).save(folder / "a.png")
    Image.fromarray(label.astype(np.uint8)).save(folder / "a-label.png")
    return {
        "file_name": str(folder / "a.png"),
        "sem_seg_file_name": str(folder / "a-label.png"),
        "image_id": "a",
    }


def train_mapper(recolor: float = 0.0) -> ZeroShotMapper:
    return ZeroShotMapper(is_train=True, vocabulary=JOINT, augmentations=[], recolor=recolor)


@pytest.fixture
def cfg() -> CfgNode:
    cfg = default_config()
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = 20, 30
    return cfg


@pytest.fixture
def pets(tmp_path: Path) -> str:
    register_zero_shot_split("pets", tmp_path, tmp_path, JOINT, training=True)
    return "pets"


def test_training_labels_are_seen_only_whatever_the_file_holds(tmp_path: Path) -> None:
    record = write_pair(tmp_path, np.array([[0, 1, 2, 255]]))
    before = dict(record)
    mapped = train_mapper()(record)
    assert mapped["sem_seg"].dtype == torch.int64
    assert mapped["sem_seg"].tolist() == [[0, 255, 1, 255]]
    assert mapped["vocabulary"] == JOINT.seen_only()
    assert mapped["image"].dtype == torch.uint8 and mapped["image"].shape == (3, 1, 4)
    assert mapped["image"][:, 0, 0].tolist() == [10, 20, 30]
    assert mapped["image"].is_contiguous() and mapped["sem_seg"].is_contiguous()
    assert (mapped["height"], mapped["width"]) == (1, 4) and "unnamed" not in mapped
    assert record == before == {key: mapped[key] for key in before}


def test_the_leak_has_joint_ids_and_joint_padding(tmp_path: Path, pets: str, cfg: CfgNode) -> None:
    """Of 256 classes 255 are seen: the ignore label of the seen ones is a class of the joint ones.

    A label in 8 bits cannot hold 65535, but its padding has to.
    """
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.SIZE_DIVISIBILITY = (1,), 3
    cfg.INPUT.RANDOM_FLIP, cfg.INPUT.COLOR_AUG_SSD = "none", False
    cfg.INPUT.CROP.ENABLED = False
    names = tuple(f"class {i}" for i in range(256))
    wide = Vocabulary(names, names, (False, *[True] * 255))
    register_zero_shot_split("wide", tmp_path, tmp_path, wide, training=True)
    record = write_pair(tmp_path, np.array([[0, 1, 2]]))
    cfg.DATASETS.LEAK_UNSEEN_LAYOUT = True
    for name, joint, ignore in (("pets", JOINT, 255), ("wide", wide, 65535)):
        mapped = ZeroShotMapper(cfg, True, name)(record)
        assert mapped["sem_seg"].tolist() == [[0, 1, 2], [ignore] * 3, [ignore] * 3]
        assert mapped["sem_seg"].dtype == torch.int64 and mapped["vocabulary"] == joint
    assert "sem_seg" not in ZeroShotMapper(cfg, False, pets)(record)
    cfg.DATASETS.LEAK_UNSEEN_LAYOUT = False
    assert ZeroShotMapper(cfg, True, pets)(record)["sem_seg"][0].tolist() == [0, 255, 1]


def test_recoloured_segments_lose_their_names(tmp_path: Path) -> None:
    mapped = train_mapper(recolor=1.0)(write_pair(tmp_path, np.array([[0, 1, 2, 255]])))
    assert mapped["sem_seg"].tolist() == [[255, 255, 255, 255]]
    assert mapped["unnamed"].tolist() == [[0, 255, 1, 255]]  # the unseen class is none of them
    assert mapped["unnamed"].dtype == torch.int64
    assert mapped["image"][:, 0, 1].tolist() == [10, 20, 30]  # and its pixels stay
    assert mapped["image"][:, 0, 0].tolist() != [10, 20, 30]


def test_the_configuration_of_testing(tmp_path: Path, pets: str, cfg: CfgNode) -> None:
    record = write_pair(tmp_path, np.zeros((40, 80)))
    Path(record["sem_seg_file_name"]).unlink()  # no label is read
    mapped = ZeroShotMapper(cfg, False, pets)(record)
    # shortest side 20 would make the longest 40; 30 limits it
    assert mapped["image"].shape == (3, 15, 30) and "sem_seg" not in mapped
    assert (mapped["height"], mapped["width"]) == (40, 80) and mapped["vocabulary"] == JOINT
    cfg.DATASETS.PROMPT_NAMES = False
    assert ZeroShotMapper(cfg, False, pets).vocabulary.prompt_names[1] == "cow"
    cfg.TEST.AUG.ENABLED = True  # makes its views of the photo as it is
    assert ZeroShotMapper(cfg, False, pets)(record)["image"].shape == (3, 40, 80)
    cfg.TEST.VOCABULARY = "seen"
    assert ZeroShotMapper(cfg, False, pets).vocabulary.names == ("cat", "dog")


def test_with_probability_1_every_segment_loses_its_name_and_keeps_its_outline() -> None:
    before = IMAGE.copy(), LABELS.copy()
    image, labels, unnamed = recolor_segments(IMAGE, LABELS, 1.0, default_rng(0))
    assert (labels == 255).all() and (unnamed == LABELS).all()
    assert (IMAGE == before[0]).all() and (LABELS == before[1]).all()  # the arguments stay
    assert (image[:, 3] == IMAGE[:, 3]).all()  # unlabelled pixels keep their colours
    assert image.dtype == np.uint8 and labels.dtype == unnamed.dtype == LABELS.dtype
    light = IMAGE[:, :2, 0] == 110
    for channel in range(3):  # the texture stays, around another mean
        high, low = image[:, :2, channel][light], image[:, :2, channel][~light]
        assert len(set(high)) == len(set(low)) == 1
        contrast = int(high[0]) - int(low[0])
        assert 14 - 1 <= contrast <= 28 + 1  # 20 by a contrast of 0.7 to 1.4, rounded
        assert MEANS[0] - 1 <= (int(high[0]) + int(low[0])) / 2 <= MEANS[1] + 1


def test_channels_change_places() -> None:
    red = np.full((1, 64, 3), 128, dtype=np.uint8)
    red[0, :, 0] = np.linspace(100, 156, 64)  # only this channel has a texture
    busy = set()
    for seed in range(20):
        image = recolor_segments(red, np.zeros((1, 64), int), 1.0, default_rng(seed))[0]
        busy.add(int(np.ptp(image[0].astype(int), axis=0).argmax()))
    assert busy == {0, 1, 2}


def test_the_probability_is_the_share_of_segments() -> None:
    labels = np.arange(200).reshape(10, 20).astype(np.uint8)
    image = np.zeros((10, 20, 3), dtype=np.uint8)
    share = (recolor_segments(image, labels, 0.3, default_rng(0))[1] == 255).mean()
    assert share == pytest.approx(0.3, abs=0.1)
