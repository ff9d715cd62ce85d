"""Batches that a teacher completes: padding, recoloured segments, views, wide ids, refusals."""

import numpy as np
import pytest
import torch
from label_files import write_pairs

from zsk.answer import PixelAnswer
from zsk.config import default_config
from zsk.data.builtin import register_builtin
from zsk.data.dataset_mapper import ZeroShotMapper
from zsk.data.pseudo_labels import Rule
from zsk.data.register import register_zero_shot_split
from zsk.engine.self_training import SelfTraining
from zsk.engine.settings import changes, training_settings
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary

NAMES = ("red", "green", "blue")
VOCABULARY = Vocabulary(NAMES, NAMES, (False, True, False))
RED, GREEN, BLUE, GREY = (200, 0, 0), (0, 200, 0), (0, 0, 200), (90, 90, 90)


class Colours(torch.nn.Module):
    """A teacher that scores each class by the pixel's channel; keeps the images that it is given.

    Of enlarged images it takes red for blue.
    """

    def __init__(self, size: int = 10**6) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.size, self.images = size, []

    def look(self, images):
        assert not self.training and not self.weight.requires_grad
        self.images += images
        return images

    def answer(self, look, vocabulary, size):
        assert vocabulary.names == VOCABULARY.names
        assert look.dtype == torch.uint8
        pixels = look.float() / 255
        if max(look.shape[-2:]) > self.size:
            pixels = pixels.flip(0)
        rows = torch.linspace(0, look.shape[1] - 1, size[0]).round().long()
        columns = torch.linspace(0, look.shape[2] - 1, size[1]).round().long()
        pixels = pixels[:, rows][:, :, columns]
        return PixelAnswer(lambda top, bottom: pixels[:, top:bottom], size, 3)


def record(rows, labels, **more):
    """An image of colours, its seen ids (255: none), unpadded."""
    image = torch.tensor(rows, dtype=torch.uint8).permute(2, 0, 1)
    found = {"image": image, "sem_seg": torch.tensor(labels), "vocabulary": VOCABULARY.seen_only()}
    return {**found, "unpadded": tuple(image.shape[-2:]), "file_name": "a.jpg", **more}


def labelled(one, teacher=None, rule=Rule(), views=((1.0, False),)):
    (batch,) = SelfTraining([[one]], teacher or Colours(), VOCABULARY, rule, views)
    return batch[0]


def test_pixels_without_a_label_get_the_best_unseen_class() -> None:
    """The seen class, id 0 of one, is id 1 of three; a green pixel has no seen label to keep."""
    given = record([[GREEN, RED, BLUE, (50, 200, 60)]], [[0, 255, 255, 255]])
    found = labelled(given)
    assert found["sem_seg"].tolist() == [[1, 0, 2, 2]]
    assert found["vocabulary"] == VOCABULARY and found["file_name"] == "a.jpg"
    assert "label_weights" not in found and torch.equal(found["image"], given["image"])
    assert given["sem_seg"].tolist() == [[0, 255, 255, 255]]
    # where a seen class is the best, the pixel stays without one
    assert labelled(given, rule=Rule(1))["sem_seg"].tolist() == [[1, 0, 2, 255]]


def test_padding_and_recoloured_segments_are_not_labelled() -> None:
    rows = [[RED, RED, GREY], [RED, RED, GREY], [GREY] * 3]
    given = record(rows, [[255] * 3] * 3, unpadded=(2, 2))
    unnamed = torch.tensor([[255, 0, 255], [255] * 3, [255] * 3])
    teacher = Colours()
    found = labelled({**given, "unnamed": unnamed}, teacher, Rule(anneal=1.0))
    assert found["sem_seg"].tolist() == [[0, 255, 255], [0, 0, 255], [255] * 3]
    assert found["unnamed"].tolist() == [[255, 1, 255], [255] * 3, [255] * 3]
    assert [tuple(image.shape) for image in teacher.images] == [(3, 2, 2)]
    assert found["label_weights"].dtype == torch.float32
    assert found["label_weights"].tolist() == [[1.0] * 3] * 3


def test_settings_of_the_teachers_labels_are_those_of_a_training() -> None:
    """Without a teacher they belong to the evaluation."""
    register_builtin()
    for enabled in (True, False):
        before, after = default_config(), default_config()
        for cfg in (before, after):
            cfg.DATASETS.TRAIN, cfg.SELF_TRAINING.ENABLED = ("voc_zs_train",), enabled
        after.MODEL.ENSEMBLE.LAMBDA, after.TEST.VOTES_AT = 0.9, "masks"
        told = changes(training_settings(before, 1), training_settings(after, 1))
        wanted = "MODEL.ENSEMBLE.LAMBDA 0.9 (was 0.7), TEST.VOTES_AT masks (was result)"
        assert told == (wanted if enabled else "")


def test_the_mapper_tells_the_size_without_padding(tmp_path) -> None:
    """A photo of 20 x 30, crops of 16 x 40: the crop is 16 x 30 and its padding 10 wide."""
    photos, labels = write_pairs(tmp_path, {"a": np.full((20, 30), 255, np.uint8)})
    register_zero_shot_split("one", photos, labels, VOCABULARY, training=True)
    cfg = default_config()
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.CROP.ENABLED = (20,), True
    cfg.INPUT.COLOR_AUG_SSD = False
    one = {"file_name": f"{photos}/a.png", "sem_seg_file_name": f"{labels}/a.png"}
    for crop, divisibility, size in (([16, 40], 8, (16, 40)), ([16, 40], 0, (16, 30))):
        cfg.INPUT.CROP.SIZE, cfg.INPUT.SIZE_DIVISIBILITY = crop, divisibility
        mapped = ZeroShotMapper(cfg, is_train=True, dataset_name="one")(one)
        assert mapped["image"].shape[1:] == size and mapped["unpadded"] == (16, 30)
        found = labelled(mapped)["sem_seg"]
        assert (found[:16, :30] != 255).all() and (found[:, 30:] == 255).all()


def test_views_are_turned_back_and_have_to_agree() -> None:
    given = record([[RED, BLUE, GREEN, RED], [RED, BLUE, GREEN, BLUE]], [[255] * 4] * 2)
    views = [(1.0, False), (1.0, True)]
    assert labelled(given, views=views)["sem_seg"].tolist() == [[0, 2, 255, 0], [0, 2, 255, 2]]
    teacher = Colours()
    views += [(1.5, False), (1.5, True)]
    found = labelled(given, teacher, views=views)
    assert [tuple(image.shape[1:]) for image in teacher.images] == [(2, 4), (2, 4), (3, 6), (3, 6)]
    assert torch.equal(teacher.images[3], teacher.images[2].flip(-1))
    assert found["sem_seg"][:, [0, 3]].tolist() == [[0, 0], [0, 2]]
    # a view that names other classes leaves nothing
    assert (labelled(given, Colours(size=5), views=views)["sem_seg"] == 255).all()


def test_ids_that_need_16_bits() -> None:
    """255 seen classes and one more: the ignore label grows with them."""
    names = tuple(f"class {i}" for i in range(256))
    wide = Vocabulary(names, names, (False, *[True] * 255))

    class First(Colours):
        def answer(self, look, vocabulary, size):
            scores = torch.zeros(256, *size)
            scores[0, :, 0] = 0.5
            return PixelAnswer(lambda top, bottom: scores[:, top:bottom], size, 256)

    one = record([[RED, RED, RED]], [[255, 254, 255]], vocabulary=wide.seen_only())
    (batch,) = SelfTraining([[one]], First(), wide)
    assert batch[0]["sem_seg"].tolist() == [[0, 255, 65535]]


def test_labels_and_weights_can_be_learned_from() -> None:
    """Nothing is left of the teacher's inference mode."""
    found = labelled(record([[RED, BLUE]], [[255, 255]]), rule=Rule(anneal=5.0))
    logits = torch.zeros(1, 3, 1, 2, requires_grad=True)
    losses = torch.nn.functional.cross_entropy(logits, found["sem_seg"][None], reduction="none")
    (losses * found["label_weights"]).sum().backward()
    assert logits.grad.any()


def test_the_fingerprint_is_of_the_weights() -> None:
    teachers = [Colours() for _ in range(3)]
    with torch.no_grad():
        teachers[2].weight += 1e-7
    prints = [SelfTraining([], teacher, VOCABULARY).fingerprint() for teacher in teachers]
    assert prints[0] == prints[1] != prints[2]


def test_what_cannot_be_labelled_is_refused() -> None:
    with pytest.raises(UserError, match="every class of DATASETS.TRAIN is seen"):
        SelfTraining([], Colours(), VOCABULARY.seen_only())
