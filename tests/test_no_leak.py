"""No unseen class reaches the criterion, whatever the label files hold.

Drawn label maps have one column per value that a file may hold, so that a wrong id, a shifted one
and one that went under "ignore" by mistake all show.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage
from label_files import write_pairs
from tiny_head import Pixels
from torch import nn

from zsk.answer import PixelAnswer
from zsk.baselines.generative.cagnet_head import CaGNetHead
from zsk.baselines.generative.context_module import ContextModule
from zsk.baselines.generative.feature_classifier import FeatureClassifier
from zsk.baselines.generative.feature_generator import FeatureGenerator
from zsk.baselines.generative.zs3_head import ZS3Head
from zsk.baselines.per_pixel.aspp_sum import AsppSum
from zsk.baselines.per_pixel.known_classes import KnownClasses
from zsk.baselines.per_pixel.per_pixel_net import PerPixelNet
from zsk.baselines.per_pixel.pixel_head import PixelHead
from zsk.baselines.per_pixel.spnet_head import SPNetHead
from zsk.config import default_config
from zsk.data.builtin import register_all
from zsk.data.labels import read_joint_label
from zsk.data.loader import build_train_loader
from zsk.data.register import register_zero_shot_split
from zsk.data.split_file import register_split_file
from zsk.data.splits import get_split
from zsk.data.targets import UNNAMED
from zsk.data.vocabularies import get_vocabulary
from zsk.engine.self_training import SelfTraining
from zsk.vocabulary import IGNORE_LABEL, Vocabulary, ignore_label
from zsk.zsk_net import ZSKNet

OWN = """
name: own
train: {images: photos, labels: labels}
classes: [cow, cat, hen, dog]
unseen: [cow, hen]
label_values: {cat: 200, cow: 1, dog: 0, hen: 7}
"""


class Recorder(nn.Module):
    """In the criterion's place: keeps what it is given."""

    def forward(self, stages, segments, image_names):
        self.segments = segments
        return {}


class RecordingHead(SPNetHead):
    """Keeps the labels that its losses are given, and how many classes it scores."""

    def map_loss(self, logits, sem_seg, weights=None):
        self.num_classes, self.labels = logits.shape[1], sem_seg
        return super().map_loss(logits, sem_seg, weights)


class RecordingGenerator(FeatureGenerator):
    """Keeps the class vectors that it makes features of."""

    def forward(self, vectors, noise):
        self.vectors = vectors
        return super().forward(vectors, noise)


class OwnFeature(nn.Module):
    def forward(self, features):
        return features["pixels"]


class Blind(nn.Module):
    """In the place of backbone, head and text classifier: looks at nothing."""

    def forward(self, *inputs):
        if isinstance(inputs[0], Vocabulary):
            self.vocabulary = inputs[0]
        return {}

    def output_shape(self):
        return {}


def write_pair(folder: Path, values: list[int]) -> tuple[Path, Path]:
    """One photo and its label, four rows high; column i holds values[i]."""
    return write_pairs(folder, {"a": np.tile(np.array(values, dtype=np.uint8), (4, 1))})


def register_joint(folder: Path, split: str) -> Vocabulary:
    """The data set "joint", of a photo whose labels hold all classes, not only the seen ones."""
    vocabulary = get_split(split)
    folders = write_pair(folder, [*range(len(vocabulary)), IGNORE_LABEL])
    register_zero_shot_split("joint", *folders, vocabulary, training=True)
    return vocabulary


def train_config(dataset: str, height: int, width: int, batch: int) -> CfgNode:
    """Training on whole images as they are."""
    cfg = default_config()
    cfg.DATASETS.TRAIN = (dataset,)
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN = (height,), width
    cfg.INPUT.RANDOM_FLIP, cfg.INPUT.COLOR_AUG_SSD = "none", False
    cfg.INPUT.SIZE_DIVISIBILITY = 0
    cfg.DATALOADER.NUM_WORKERS, cfg.SOLVER.IMS_PER_BATCH = 0, batch
    cfg.SEED = 1
    return cfg


def recording_model() -> ZSKNet:
    """`criterion.segments` and `text_classifier.vocabulary` tell what training would have had."""
    blind = ("backbone", "sem_seg_head", "text_classifier", "region_encoder")
    parts = {"criterion": Recorder(), **{name: Blind() for name in blind}}
    return ZSKNet(**parts, pixel_mean=[0.0] * 3, pixel_std=[1.0] * 3).train()


def losses_of_pixels(
    head: PixelHead, vectors: torch.Tensor, vocabulary: Vocabulary, scales: Sequence[float] = (1.0,)
) -> dict[str, torch.Tensor]:
    """Of a system without masks, on the photo "joint"; row k of `vectors` (K,E) is class k's."""
    net = PerPixelNet(
        backbone=Pixels(),
        sem_seg_head=head,
        dense_clip=None,
        text_classifier=lambda words: vectors[[vocabulary.names.index(n) for n in words.names]],
        scales=scales,
        pixel_mean=[0.0] * 3,
        pixel_std=[1.0] * 3,
    )
    batch = next(iter(build_train_loader(train_config("joint", 4, len(vocabulary) + 1, batch=1))))
    with EventStorage():
        return net.train()(batch)


def at_the_criterion(dataset: str, width: int, recolor: float = 0.0) -> tuple[list, set[int]]:
    """((name or None, columns of its mask) of each segment, valid columns) of the only image."""
    cfg = train_config(dataset, 4, width, batch=1)
    cfg.INPUT.RECOLOR = recolor
    model = recording_model()
    model(next(iter(build_train_loader(cfg))))
    (segments,) = model.criterion.segments
    names = model.text_classifier.vocabulary.names  # what the head's scores stand for
    found = [
        (None if label == UNNAMED else names[label], mask.all(dim=0).nonzero()[:, 0].tolist())
        for label, mask in zip(segments.labels.tolist(), segments.masks)
    ]
    assert int(segments.masks.sum()) == 4 * sum(len(one) for _, one in found)  # no stray pixel
    assert torch.equal(segments.valid, segments.masks.any(dim=0))
    return found, set(segments.valid.all(dim=0).nonzero()[:, 0].tolist())


@pytest.mark.parametrize("split, num_seen", [("voc", 15), ("coco_stuff", 156)])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_benchmark(tmp_path: Path, split: str, num_seen: int, share: float) -> None:
    """A segment that recolouring took the name of is a seen class's, too."""
    vocabulary = register_joint(tmp_path, split)
    found, valid = at_the_criterion("joint", len(vocabulary) + 1, share)
    seen = [k for k in range(len(vocabulary)) if vocabulary.seen[k]]
    assert len(found) == num_seen
    assert sorted(columns for _, columns in found) == [[k] for k in seen]
    assert all(name in (None, vocabulary.names[k]) for name, (k,) in found)
    assert valid == set(seen)
    unnamed = sum(name is None for name, _ in found)
    assert 0 < unnamed < num_seen if share == 0.5 else unnamed == share * num_seen


@pytest.mark.parametrize("split, num_seen", [("voc", 15), ("coco_stuff", 156)])
def test_systems_without_masks(tmp_path: Path, split: str, num_seen: int) -> None:
    """The labels of the loss are ids of seen classes, in their columns, or ignored."""
    vocabulary, head = register_joint(tmp_path, split), RecordingHead(OwnFeature())
    vectors = torch.eye(3)[torch.arange(len(vocabulary)) % 3]
    losses = losses_of_pixels(head, vectors, vocabulary, scales=(1.0, 0.5))
    assert losses["loss_sem_seg"] > 0 and head.num_classes == num_seen
    seen = [k for k in range(len(vocabulary)) if vocabulary.seen[k]]
    expected = torch.full((head.labels.shape[-1],), ignore_label(num_seen))
    expected[seen] = torch.arange(num_seen)
    assert torch.equal(head.labels[0], expected.expand(4, -1))


class Columns(nn.Module):
    """A teacher for four rows of pixels: the best class of column i is the i-th, over and over."""

    def look(self, images):
        return images

    def answer(self, look, vocabulary, size):
        scores = torch.eye(len(vocabulary))[:, torch.arange(size[1]) % len(vocabulary)]
        scores = (scores + 0.1)[:, None].expand(-1, size[0], -1)
        return PixelAnswer(lambda top, bottom: scores[:, top:bottom], size, len(vocabulary))


def test_unseen_labels_of_self_training_are_the_teachers_alone(tmp_path: Path) -> None:
    """The pixels of unseen classes get other labels on disk, other unseen ones or none: no change.

    dog and cat are seen; the teacher's best unseen class is cow, but hen in hen's columns.
    """
    values = list(range(256))
    found = []
    for name, cow, hen in (("as it is", 1, 7), ("exchanged", 7, 1), ("none", 255, 254)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "split.yaml").write_text(OWN.replace("name: own", f"name: own_{len(found)}"))
        write_pair(folder, [{1: cow, 7: hen}.get(value, value) for value in values])
        (dataset,) = register_split_file(folder / "split.yaml")
        joint = get_vocabulary(dataset)
        loader = build_train_loader(train_config(dataset, 4, 256, batch=1))
        model = recording_model()
        model(next(iter(SelfTraining(loader, Columns(), joint))))
        (segments,) = model.criterion.segments
        names = [model.text_classifier.vocabulary.names[label] for label in segments.labels]
        assert names == ["cow", "cat", "hen", "dog"] == list(joint.names)
        found.append(segments)
    cow, cat, hen, dog = (mask.all(dim=0).nonzero()[:, 0].tolist() for mask in found[0].masks)
    assert (dog, cat) == ([0], [200]) and found[0].valid.all()
    assert hen == [column for column in values if column % 4 == 2]
    assert cow == [column for column in values[1:] if column % 4 != 2 and column != 200]
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other))


@pytest.mark.parametrize("split, num_seen", [("voc", 15), ("coco_stuff", 156)])
def test_systems_that_generate_features(tmp_path: Path, split: str, num_seen: int) -> None:
    """Beside photos, features of seen classes alone are made, one for each of their cells."""
    vocabulary = register_joint(tmp_path, split)
    count = len(vocabulary)
    head = CaGNetHead(
        AsppSum("pixels", 3, 4, [1]),
        ContextModule(4, 2),
        RecordingGenerator(count, 4, [4], 4, [0.0]),
        FeatureClassifier(4, count),
        KnownClasses(torch.eye(count), vocabulary.seen_mask),
        **{"start": 1, "period": 1, "samples": 4},
        **{"unseen_factor": 10.0, "generated_weight": 1.0},
    )
    losses_of_pixels(head, torch.eye(count), vocabulary)
    made = head.generator.vectors.sum(dim=0)  # of unit vectors of one entry each
    assert torch.equal(made, 4.0 * vocabulary.seen_mask) and made.count_nonzero() == num_seen


class RecordingLayouts(nn.Module):
    """Keeps the layouts of real features that it is given, and those that it is to fill."""

    def losses(self, features, layout, vectors, class_logits):
        self.real = layout
        return {"loss_mmd": features.new_zeros(())}

    def fill(self, layout, vectors):
        self.filled = layout
        return vectors.new_zeros(int((layout >= 0).sum()), 3)


@pytest.mark.parametrize("split", ["voc", "coco_stuff"])
def test_generated_features(tmp_path: Path, split: str) -> None:
    """Real features are of seen classes, and generated ones lie in their cells only."""
    vocabulary = register_joint(tmp_path, split)
    vectors = torch.eye(len(vocabulary))
    generator, classes = RecordingLayouts(), KnownClasses(vectors, vocabulary.seen_mask)
    head = ZS3Head(OwnFeature(), generator, classes, dim=3, start=0, unseen_factor=1.0)
    losses_of_pixels(head, vectors, vocabulary)
    expected = torch.arange(len(vocabulary) + 1)
    expected[:-1][~vocabulary.seen_mask] = expected[-1] = -1
    assert torch.equal(generator.real[0], expected.expand(4, -1))
    assert torch.equal(generator.filled >= 0, generator.real >= 0)


@pytest.mark.parametrize("leak", [False, True])
def test_joint_ids_are_in_training_records_with_the_one_key_for_it_alone(
    tmp_path: Path, leak: bool
) -> None:
    """VOC's unseen classes are 15 to 19 of 20, so that id 15 and above do not appear."""
    register_joint(tmp_path, "voc")
    cfg = train_config("joint", 4, 21, batch=1)
    assert cfg.DATASETS.LEAK_UNSEEN_LAYOUT is False
    cfg.DATASETS.LEAK_UNSEEN_LAYOUT = leak
    (record,) = next(iter(build_train_loader(cfg)))
    unseen = [15, 16, 17, 18, 19] if leak else [IGNORE_LABEL] * 5
    expected = torch.tensor([*range(15), *unseen, IGNORE_LABEL])
    assert torch.equal(record["sem_seg"], expected.expand(4, -1))
    assert len(record["vocabulary"]) == (20 if leak else 15)


def test_a_split_file_with_values_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "split.yaml").write_text(OWN)
    write_pair(tmp_path, list(range(256)))
    (dataset,) = register_split_file(tmp_path / "split.yaml")
    found, valid = at_the_criterion(dataset, 256)
    assert dict(found) == {"dog": [0], "cat": [200]} and len(found) == 2
    assert valid == {0, 200}


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
