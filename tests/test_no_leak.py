"""No unseen class reaches the criterion, whatever the label files hold.

Tried with both benchmarks, a data set of one's own and the synthetic world. The
drawn label maps have one column per value that a file may hold, so that a wrong id, a shifted one
and one that went under "ignore" by mistake all show. Letters: K classes, S of them seen.
"""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from PIL import Image
from torch import nn

from zsk.config import add_zsk_config
from zsk.data.builtin import register_all
from zsk.data.labels import read_joint_label
from zsk.data.loader import build_train_loader
from zsk.data.register import get_vocabulary, register_zero_shot_split
from zsk.data.split_file import register_split_file
from zsk.data.splits import get_split
from zsk.data.targets import UNNAMED
from zsk.vocabulary import IGNORE_LABEL, Vocabulary
from zsk.zsk_net import ZSKNet

pytestmark = pytest.mark.usefixtures("empty_catalogs")

OWN = """
name: own
train: {images: photos, labels: labels}
classes: [cow, cat, hen, dog]
unseen: [cow, hen]
label_values: {cat: 200, cow: 1, dog: 0, hen: 7}
"""
OWN_VALUES = {0: "dog", 1: "cow", 7: "hen", 200: "cat"}


class Recorder(nn.Module):
    """In the criterion's place: keeps what it is given."""

    def forward(self, stages, segments, image_names):
        self.segments = segments
        return {}


class Blind(nn.Module):
    """In the place of backbone, head and text classifier: looks at nothing."""

    def forward(self, *inputs):
        if isinstance(inputs[0], Vocabulary):
            self.vocabulary = inputs[0]
        return []


def write_pair(folder: Path, values: list[int]) -> None:
    """One photo and its label, four rows high; column i holds values[i]."""
    for name in ("photos", "labels"):
        (folder / name).mkdir()
    label = np.tile(np.array(values, dtype=np.uint8), (4, 1))
    Image.fromarray(label).save(folder / "labels" / "a.png")
    Image.new("RGB", label.shape[::-1]).save(folder / "photos" / "a.png")


def train_config(dataset: str, height: int, width: int, batch: int) -> CfgNode:
    """Training on whole images as they are."""
    cfg = get_cfg()
    add_zsk_config(cfg)
    cfg.DATASETS.TRAIN = (dataset,)
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN = (height,), width
    cfg.INPUT.RANDOM_FLIP, cfg.INPUT.COLOR_AUG_SSD = "none", False
    cfg.INPUT.SIZE_DIVISIBILITY = 0
    cfg.DATALOADER.NUM_WORKERS, cfg.SOLVER.IMS_PER_BATCH = 0, batch
    cfg.SEED = 1
    return cfg


def recording_model() -> ZSKNet:
    """`criterion.segments` and `text_classifier.vocabulary` tell what training would have had."""
    model = ZSKNet(
        backbone=Blind(),
        sem_seg_head=Blind(),
        criterion=Recorder(),
        text_classifier=Blind(),
        region_encoder=Blind(),
        pixel_mean=[0.0] * 3,
        pixel_std=[1.0] * 3,
    )
    return model.train()


def at_the_criterion(dataset: str, width: int) -> tuple[dict[str, list[int]], set[int]]:
    """(name → columns of its mask, valid columns) of the only image, as training has them."""
    batch = next(iter(build_train_loader(train_config(dataset, 4, width, batch=1))))
    model = recording_model()
    model(batch)
    (segments,) = model.criterion.segments
    names = model.text_classifier.vocabulary.names  # what the head's scores stand for
    columns = {
        names[label]: mask.all(dim=0).nonzero()[:, 0].tolist()
        for label, mask in zip(segments.labels.tolist(), segments.masks)
    }
    assert int(segments.masks.sum()) == 4 * sum(map(len, columns.values()))  # no stray pixel
    assert torch.equal(segments.valid, segments.masks.any(dim=0))
    return columns, set(segments.valid.all(dim=0).nonzero()[:, 0].tolist())


@pytest.mark.parametrize("split, num_seen", [("voc", 15), ("coco_stuff", 156)])
def test_benchmark(tmp_path: Path, split: str, num_seen: int) -> None:
    """Training is pointed at labels that hold all classes, instead of the seen-only ones."""
    vocabulary = get_split(split)
    write_pair(tmp_path, [*range(len(vocabulary)), IGNORE_LABEL])
    register_zero_shot_split(
        "joint", tmp_path / "photos", tmp_path / "labels", vocabulary, training=True
    )
    columns, valid = at_the_criterion("joint", len(vocabulary) + 1)
    seen = [k for k in range(len(vocabulary)) if vocabulary.seen[k]]
    assert len(columns) == num_seen
    assert columns == {vocabulary.names[k]: [k] for k in seen}
    assert valid == set(seen)


def test_a_split_file_with_values_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "split.yaml").write_text(OWN)
    write_pair(tmp_path, list(range(256)))
    (dataset,) = register_split_file(tmp_path / "split.yaml")
    columns, valid = at_the_criterion(dataset, 256)
    assert columns == {"dog": [0], "cat": [200]}
    assert valid == {0, 200}


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_recoloured_segments_are_of_seen_classes(tmp_path: Path, share: float) -> None:
    """A segment without a name has a mask of a seen class's pixels, and no other pixel is valid."""
    vocabulary = get_split("voc")
    write_pair(tmp_path, [*range(len(vocabulary)), IGNORE_LABEL])
    register_zero_shot_split(
        "joint", tmp_path / "photos", tmp_path / "labels", vocabulary, training=True
    )
    cfg = train_config("joint", 4, len(vocabulary) + 1, batch=1)
    cfg.INPUT.RECOLOR = share
    model = recording_model()
    model(next(iter(build_train_loader(cfg))))
    (segments,) = model.criterion.segments
    seen = [k for k in range(len(vocabulary)) if vocabulary.seen[k]]
    columns = [mask.all(dim=0).nonzero()[:, 0].tolist() for mask in segments.masks]
    assert sorted(columns) == [[k] for k in seen]
    assert segments.valid.all(dim=0).nonzero()[:, 0].tolist() == seen
    unnamed = segments.labels == UNNAMED
    assert unnamed.all() if share == 1.0 else 0 < int(unnamed.sum()) < len(seen)


@pytest.mark.parametrize("kind, num_unseen", [("stuff", 8), ("objects", 6)])
def test_the_synthetic_world(small_world: Path, kind: str, num_unseen: int) -> None:
    """A mask is its seen class's pixels, and no other pixel is valid."""
    register_all(small_world)
    cfg = train_config(f"synthetic_{kind}_zs_train", 96, 96, batch=15)
    joint = get_vocabulary(cfg.DATASETS.TRAIN[0])
    model, met = recording_model(), torch.zeros(len(joint), dtype=torch.bool)
    for batch in itertools.islice(build_train_loader(cfg), 2):
        model(batch)
        names = model.text_classifier.vocabulary.names
        for record, segments in zip(batch, model.criterion.segments):
            truth = torch.from_numpy(read_joint_label(record))
            present = truth[truth != IGNORE_LABEL].unique().long()
            met[present] = True
            labels = [joint.names.index(names[k]) for k in segments.labels.tolist()]
            assert labels == [k for k in present.tolist() if joint.seen[k]]
            for label, mask in zip(labels, segments.masks):
                assert torch.equal(mask, truth == label)
            assert torch.equal(segments.valid, segments.masks.any(dim=0))
    # scenes did show the unseen ones: that none came through is not for want of them
    assert met.all() and joint.seen.count(False) == num_unseen
