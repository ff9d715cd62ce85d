"""Columns of a learned classifier by class vectors, in any order; strangers are refused."""

import re
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from tiny_head import tiny_config

from zsk.baselines.per_pixel.known_classes import KnownClasses, known_classes
from zsk.data.builtin import register_builtin
from zsk.engine.start_checks import check_test_names, warn_of_phases
from zsk.errors import UserError


def test_columns_in_any_order_and_strangers():
    classes = KnownClasses(torch.eye(4)[:3], torch.tensor([True, False, True]))
    assert classes.columns(torch.eye(4)[[2, 0]]).tolist() == [2, 0]
    assert classes.columns(torch.eye(4)[:0]).tolist() == []
    with pytest.raises(UserError, match="3 classes of its training only, and 1 of the 2 names"):
        classes.columns(torch.eye(4)[[3, 1]])


def test_labels_of_some_classes_become_those_of_all():
    sem_seg = torch.tensor([[0, 255, 2, 1]])
    classes = KnownClasses(torch.eye(4), torch.ones(4, dtype=torch.bool))
    assert classes.labels(sem_seg, torch.eye(4)[[0, 1, 3]]).tolist() == [[0, 255, 3, 1]]
    many = KnownClasses(torch.eye(300), torch.ones(300, dtype=torch.bool))
    assert many.labels(sem_seg, torch.eye(300)[[0, 1, 299]]).tolist() == [[0, 65535, 299, 1]]


def test_columns_in_mixed_precision():
    """In bfloat16 the cosine of a row with itself can be 0.996, and that of near ones 1."""
    vectors = F.normalize(torch.randn(40, 300, generator=torch.Generator().manual_seed(0)), dim=1)
    vectors[1] = F.normalize(vectors[0] + 0.06 * vectors[2], dim=0)  # a cosine of 0.998
    classes = KnownClasses(vectors, torch.ones(40, dtype=torch.bool))
    with torch.autocast("cpu", torch.bfloat16):
        assert classes.columns(vectors).tolist() == list(range(40))


def test_which_classes_are_seen_is_no_matter_of_a_checkpoint():
    """Two splits of the same classes have the same vectors."""
    flags = torch.tensor([True, False])
    other = KnownClasses(torch.eye(2), ~flags)
    other.load_state_dict(KnownClasses(torch.eye(2), flags).state_dict())
    assert other.seen.tolist() == [False, True]
    # the same classes in another order: cat, dog, cow of the checkpoint are cow, cat, dog here
    here = KnownClasses(torch.eye(3)[[2, 0, 1]], torch.tensor([False, True, True]))
    here.load_state_dict(KnownClasses(torch.eye(3), torch.ones(3, dtype=torch.bool)).state_dict())
    assert here.seen.tolist() == [True, True, False]


def test_two_classes_with_one_vector_are_refused():
    register_builtin()
    cfg = tiny_config("DATASETS.TRAIN", ("voc_zs_train",))
    vectors = torch.eye(20)
    vectors[4] = vectors[3]
    with pytest.raises(UserError, match="'boat' and 'bottle' have the same vector"):
        known_classes(cfg, lambda vocabulary: vectors)
    assert len(known_classes(cfg, lambda vocabulary: torch.eye(20))) == 20


def test_names_of_the_evaluation_are_known_before_the_training():
    register_builtin()
    cfg = tiny_config("DATASETS.TRAIN", ("voc_zs_train",), "DATASETS.TEST", ("voc_zs_val",))
    classes = KnownClasses(torch.eye(20), torch.ones(20, dtype=torch.bool))
    head = SimpleNamespace(names_known_classes=True, classes=classes)
    model = SimpleNamespace(sem_seg_head=head, text_classifier=lambda words: torch.eye(20))
    check_test_names(cfg, model)
    model.text_classifier = lambda words: torch.eye(21)[1:, 1:].roll(1, 0) - 1
    with pytest.raises(UserError, match="20 of the 20 names given are none of them"):
        check_test_names(cfg, model)
    cfg.TEST.PROPOSAL_RECALL, cfg.TEST.TILES = True, 64
    with pytest.raises(UserError, match="TEST.PROPOSAL_RECALL is about one look"):
        check_test_names(cfg, model)
    cfg.TEST.PROPOSAL_RECALL, cfg.TEST.TILES = False, 0
    cfg.TEST.VOCABULARY, cfg.DATASETS.TEST = "seen", ("voc_20b_val",)
    with pytest.raises(UserError, match="classes of voc_20b_val stand for several words"):
        check_test_names(cfg, SimpleNamespace())


@pytest.mark.parametrize(
    "head, start, words",
    [
        ("CaGNetHead", 0, "START is 0: the features stay"),
        ("CaGNetHead", 90, "train from iteration 110 on .*, but the training ends after"),
        ("ZS3Head", 100, "train from iteration 100 on"),
        ("ZS3Head", 90, ""),
        ("CaGNetHead", 70, ""),
        ("SPNetHead", 0, ""),
    ],
)
def test_a_training_without_one_of_its_phases_is_told(caplog, head, start, words):
    opts = ("MODEL.SYNTHESIS.START", start, "MODEL.SYNTHESIS.PERIOD", 20, "SOLVER.MAX_ITER", 100)
    warn_of_phases(tiny_config("MODEL.SEM_SEG_HEAD.NAME", head, *opts))
    assert bool(caplog.messages) == bool(words)
    assert re.search(words, " ".join(caplog.messages))
