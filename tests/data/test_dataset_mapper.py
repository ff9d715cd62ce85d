"""The mapper: shapes, the seen-only labels that training reads, and errors that name the file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.env import seed_all_rng
from PIL import Image

from zsk.config import add_zsk_config
from zsk.data.augmentations import eval_augmentations
from zsk.data.dataset_mapper import ZeroShotMapper
from zsk.data.register import register_zero_shot_split
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary

# ids 0 seen, 1 unseen, 2 seen: the seen-only ids are 0, –, 1
JOINT = Vocabulary(("cat", "cow", "dog"), ("cat", "brown cow", "dog"), (True, False, True))


@pytest.fixture(autouse=True)
def seeded_numpy() -> None:
    seed_all_rng(0)


def write_pair(folder: Path, label: np.ndarray, image_size: tuple[int, int] | None = None) -> dict:
    """A record with a grey photo of (height, width) `image_size`, and the label given."""
    height, width = image_size or label.shape
    Image.new("RGB", (width, height), (10, 20, 30)).save(folder / "a.png")
    Image.fromarray(label.astype(np.uint8)).save(folder / "a-label.png")
    return {
        "file_name": str(folder / "a.png"),
        "sem_seg_file_name": str(folder / "a-label.png"),
        "image_id": "a",
    }


def train_mapper(vocabulary: Vocabulary = JOINT) -> ZeroShotMapper:
    return ZeroShotMapper(is_train=True, vocabulary=vocabulary, augmentations=[])


def small_cfg() -> CfgNode:
    cfg = get_cfg()
    add_zsk_config(cfg)
    cfg.INPUT.MIN_SIZE_TRAIN = (16, 32)
    cfg.INPUT.MAX_SIZE_TRAIN = 100
    cfg.INPUT.MIN_SIZE_TEST = 20
    cfg.INPUT.MAX_SIZE_TEST = 30
    cfg.INPUT.CROP.ENABLED = True
    cfg.INPUT.CROP.SIZE = [24, 24]
    cfg.INPUT.CROP.SINGLE_CATEGORY_MAX_AREA = 0.75
    cfg.INPUT.SIZE_DIVISIBILITY = 24
    return cfg


@pytest.fixture
def pets(tmp_path: Path):
    """A registered data set; the mapper's from_config reads no more than its vocabulary."""
    register_zero_shot_split("pets", tmp_path, tmp_path, JOINT, training=True)
    yield "pets"
    DatasetCatalog.remove("pets")
    MetadataCatalog.remove("pets")


def test_training_labels_are_seen_only_whatever_the_file_holds(tmp_path: Path) -> None:
    record = write_pair(tmp_path, np.array([[0, 1, 2, 255]]))
    mapped = train_mapper()(record)
    assert mapped["sem_seg"].dtype == torch.int64
    assert mapped["sem_seg"].tolist() == [[0, 255, 1, 255]]
    assert mapped["vocabulary"] == JOINT.seen_only()
    assert mapped["vocabulary"].names == ("cat", "dog")


def test_training_record(tmp_path: Path) -> None:
    record = write_pair(tmp_path, np.zeros((3, 5)))
    before = dict(record)
    mapped = train_mapper()(record)
    assert record == before
    assert {key: mapped[key] for key in before} == before
    assert (mapped["height"], mapped["width"]) == (3, 5)
    assert mapped["image"].dtype == torch.uint8
    assert mapped["image"].shape == (3, 3, 5)
    assert mapped["image"][:, 0, 0].tolist() == [10, 20, 30]
    assert mapped["image"].is_contiguous() and mapped["sem_seg"].is_contiguous()


def test_image_without_a_seen_pixel_is_kept(tmp_path: Path) -> None:
    mapped = train_mapper()(write_pair(tmp_path, np.ones((4, 4))))
    assert (mapped["sem_seg"] == 255).all()


def test_one_pixel(tmp_path: Path) -> None:
    mapped = train_mapper()(write_pair(tmp_path, np.array([[2]])))
    assert mapped["image"].shape == (3, 1, 1)
    assert mapped["sem_seg"].tolist() == [[1]]


def test_test_record_has_the_joint_vocabulary_and_reads_no_label(tmp_path: Path) -> None:
    record = write_pair(tmp_path, np.zeros((10, 40)))
    Path(record["sem_seg_file_name"]).unlink()
    mapper = ZeroShotMapper(
        is_train=False, vocabulary=JOINT, augmentations=eval_augmentations(5, 100)
    )
    mapped = mapper(record)
    assert mapped["vocabulary"] is JOINT
    assert "sem_seg" not in mapped
    assert mapped["image"].shape == (3, 5, 20)
    assert (mapped["height"], mapped["width"]) == (10, 40)


def test_size_after_exif_rotation(tmp_path: Path) -> None:
    record = write_pair(tmp_path, np.zeros((7, 4)))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying, displayed standing: 7 high, 4 wide
    record["file_name"] = str(tmp_path / "a.jpg")
    Image.new("RGB", (7, 4)).save(record["file_name"], exif=exif)
    mapped = train_mapper()(record)
    assert (mapped["height"], mapped["width"]) == (7, 4)
    assert mapped["image"].shape == (3, 7, 4)


def test_id_outside_the_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a-label.png holds the id 3, .* 0–2"):
        train_mapper()(write_pair(tmp_path, np.array([[0, 3, 255]])))


def test_sizes_that_differ(tmp_path: Path) -> None:
    record = write_pair(tmp_path, np.zeros((3, 5)), image_size=(3, 6))
    with pytest.raises(UserError, match=r"a-label.png is 5×3 pixels but its image .*a.png is 6×3"):
        train_mapper()(record)


def test_nothing_seen_cannot_train() -> None:
    with pytest.raises(UserError, match="none of the 1 classes"):
        train_mapper(Vocabulary(("cow",), ("cow",), (False,)))


def test_from_config_trains_at_the_crop_size(tmp_path: Path, pets: str) -> None:
    label = np.zeros((40, 60))
    label[:, 30:] = 1
    record = write_pair(tmp_path, label)
    mapper = ZeroShotMapper(small_cfg(), is_train=True, dataset_name=pets)
    for _ in range(10):
        mapped = mapper(record)
        assert mapped["image"].shape == (3, 24, 24)
        assert mapped["sem_seg"].shape == (24, 24)
        # cow (id 1) is unseen: neither its id nor dog's shifted one may appear
        assert set(mapped["sem_seg"].unique().tolist()) <= {0, 255}


def test_from_config_tests_at_the_test_size(tmp_path: Path, pets: str) -> None:
    mapper = ZeroShotMapper(small_cfg(), is_train=False, dataset_name=pets)
    # shortest side 20 would make the longest 40; 30 limits it
    assert mapper(write_pair(tmp_path, np.zeros((40, 80))))["image"].shape == (3, 15, 30)


def test_prompt_names_can_be_switched_off(pets: str) -> None:
    cfg = small_cfg()
    assert ZeroShotMapper(cfg, False, pets).vocabulary.prompt_names[1] == "brown cow"
    cfg.DATASETS.PROMPT_NAMES = False
    assert ZeroShotMapper(cfg, False, pets).vocabulary.prompt_names[1] == "cow"


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("RANDOM_FLIP", "vertical", "RANDOM_FLIP is 'vertical'"),
        ("SIZE_DIVISIBILITY", 32, "not a multiple"),
        ("CROP.SIZE", [0.9, 0.9], r"CROP.SIZE is \[0.9, 0.9\]: .* whole pixels"),
    ],
)
def test_bad_keys(pets: str, key: str, value: Any, message: str) -> None:
    cfg = small_cfg()
    *parents, last = key.split(".")
    node = cfg.INPUT
    for parent in parents:
        node = node[parent]
    node[last] = value
    with pytest.raises(UserError, match=message):
        ZeroShotMapper(cfg, is_train=True, dataset_name=pets)


def test_unregistered_data_set() -> None:
    with pytest.raises(UserError, match="'nothing' is not registered"):
        ZeroShotMapper(small_cfg(), is_train=True, dataset_name="nothing")


def test_test_time_options_reach_evaluation_only(pets: str, tmp_path: Path) -> None:
    """Only the seen names compete, and augmented views are made of the photo as it is."""
    record = write_pair(tmp_path, np.full((40, 80), 1))
    cfg = small_cfg()
    assert ZeroShotMapper(cfg, False, pets)(record)["image"].shape == (3, 15, 30)
    cfg.TEST.VOCABULARY, cfg.TEST.AUG.ENABLED = "seen", True
    mapped = ZeroShotMapper(cfg, False, pets)(record)
    assert mapped["vocabulary"] == JOINT.seen_only() and "sem_seg" not in mapped
    assert mapped["image"].shape == (3, 40, 80)
    assert ZeroShotMapper(cfg, True, pets)(record)["image"].shape == (3, 24, 24)
    cfg.TEST.VOCABULARY = "all"
    with pytest.raises(UserError, match="TEST.VOCABULARY is 'all'"):
        ZeroShotMapper(cfg, False, pets)


def test_recoloured_segments_lose_their_names(tmp_path: Path) -> None:
    record = write_pair(tmp_path, np.array([[0, 1, 2, 255]]))
    mapper = ZeroShotMapper(is_train=True, vocabulary=JOINT, augmentations=[], recolor=1.0)
    mapped = mapper(record)
    assert mapped["sem_seg"].tolist() == [[255, 255, 255, 255]]
    assert mapped["unnamed"].tolist() == [[0, 255, 1, 255]]  # the unseen class is none of them
    assert mapped["unnamed"].dtype == torch.int64
    assert mapped["image"][:, 0, 1].tolist() == [10, 20, 30]  # and its pixels stay
    assert mapped["image"][:, 0, 0].tolist() != [10, 20, 30]


def test_without_recolouring_nothing_is_unnamed(tmp_path: Path) -> None:
    assert "unnamed" not in train_mapper()(write_pair(tmp_path, np.array([[0, 1]])))


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_outside_0_to_1_is_refused(share: float) -> None:
    with pytest.raises(UserError, match="INPUT.RECOLOR"):
        ZeroShotMapper(is_train=True, vocabulary=JOINT, augmentations=[], recolor=share)
