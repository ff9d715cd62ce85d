"""The objective of masks: the loss by hand, what is trained, what is left out, and resuming."""

import itertools

import pytest
import torch
from clip.model import CLIP
from torch.nn import functional as F
from training import mask_aware
from training.student import OnePassStudent, train_student

from zsk.classification.clip_encoder import ClipEncoder
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary

TEXT = F.normalize(torch.eye(4, 32) + 0.2, dim=1)
HELD_OUT = torch.tensor([False, False, True, False])
VIT, RESNET = (5, 128, 16), ((1, 1, 1, 1), 8, None)  # layers, one before the masked; width; patch


@pytest.fixture(scope="module", params=[VIT, RESNET], ids=["vit", "resnet"])
def encoder(request, tmp_path_factory):
    file = tmp_path_factory.mktemp("clip") / "tiny.pt"
    torch.manual_seed(0)
    torch.save(CLIP(32, 64, *request.param, 77, 49408, 64, 1, 1).state_dict(), file)
    return ClipEncoder(str(file), one_pass_size=96)


def record(seed, left_out=2):
    """Stripes of class 0, of no label, of class 1 and of the class that is held out."""
    colours = torch.rand(4, 3, generator=torch.Generator().manual_seed(seed)) * 255
    image = colours.T[:, None].repeat_interleave(16, dim=2).repeat(1, 48, 1)
    sem_seg = torch.tensor([0, 255, 1, left_out]).repeat_interleave(16).repeat(48, 1)
    words = Vocabulary.from_words(list("abcd"))
    return {"image": image.to(torch.uint8), "sem_seg": sem_seg, "vocabulary": words}


def train(encoder, steps=12, left_out=2, killed_at=None, **options):
    student = OnePassStudent(encoder)
    mask_aware.train_attention_and_norms(student.visual)
    loss_of = mask_aware.loss_by_masks(student, encoder, TEXT, HELD_OUT, mask_aware.true_masks)

    def batches_from(step):
        for i in itertools.count(step):
            if i == killed_at:
                raise KeyboardInterrupt
            yield [record(i, left_out), record(100 + i, left_out)]

    options = {"steps": steps, "learning_rate": 0.002, "seed": 0, **options}
    return student, train_student(student, loss_of, batches_from, **options)


def test_overlaps_by_hand():
    segments = torch.tensor([[[1, 1, 0, 0]], [[0, 0, 0, 0]]]).bool()
    regions = torch.tensor([[[1, 1, 0, 0]], [[0, 1, 1, 0]], [[0, 0, 0, 0]]]).bool()
    expected = torch.tensor([[1.0, 1 / 3, 0.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(mask_aware.overlaps(regions, segments), expected)


def test_the_loss_by_hand():
    """Overlaps 0.2, 0.6, 0.4 of class 1 become 0, 1, 0.5; those of class 0 hardly differ."""
    probabilities = torch.tensor([[0.9, 0.1], [0.3, 0.7], [0.5, 0.5]])
    iou = torch.tensor([[0.50, 0.52, 0.51], [0.2, 0.6, 0.4]])
    loss = mask_aware.mask_aware_loss(probabilities, torch.tensor([0, 1]), iou)
    assert loss.item() == pytest.approx((0.1**2 / 2 + 0.3**2 / 2 + 0) / 3)
    assert mask_aware.mask_aware_loss(probabilities, torch.tensor([0]), iou[:1]) is None
    assert mask_aware.mask_aware_loss(probabilities[:0], torch.tensor([0, 1]), iou[:, :0]) is None
    assert mask_aware.mask_aware_loss(probabilities, torch.tensor([]).long(), iou[:0]) is None


def test_only_attention_and_norms_learn_and_the_loss_falls(encoder):
    before = {k: p.clone() for k, p in OnePassStudent(encoder).visual.named_parameters()}
    student, losses = train(encoder, steps=25)
    changed = {k for k, p in student.visual.named_parameters() if not torch.equal(p, before[k])}
    allowed = ("attn.", "attnpool.", "ln_", "bn", "downsample.1.")
    assert changed and all(any(part in key for part in allowed) for key in changed)
    assert any("attn" in key for key in changed) and any("n_" in k or "bn" in k for k in changed)
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_a_class_that_is_held_out_changes_nothing(encoder):
    first, again = train(encoder, steps=3), train(encoder, steps=3, left_out=255)
    assert first[1] == again[1]
    for ours, theirs in zip(first[0].parameters(), again[0].parameters()):
        assert torch.equal(ours, theirs)


def test_a_stopped_training_goes_on_bit_by_bit(encoder, tmp_path):
    state = tmp_path / "state.pth"
    expected, losses = train(encoder, steps=6)
    with pytest.raises(KeyboardInterrupt):
        train(encoder, steps=6, killed_at=5, state_file=state, save_every=2)
    assert state.exists()
    resumed, rest = train(encoder, steps=6, state_file=state, save_every=2)
    assert rest == losses
    for ours, theirs in zip(resumed.parameters(), expected.parameters()):
        assert torch.equal(ours, theirs)


def test_a_state_of_another_training_is_refused(encoder, tmp_path):
    state = tmp_path / "state.pth"
    train(encoder, steps=2, state_file=state, save_every=2)
    for changed in ({"steps": 3}, {"learning_rate": 0.1}, {"seed": 9}, {"settings": {"clip": "b"}}):
        with pytest.raises(UserError, match="is the state of another training"):
            train(encoder, **{"steps": 2, "state_file": state, **changed})
    torch.save({"student": {}, "optimizer": {}, "schedule": {}}, state)
    with pytest.raises(UserError, match="is the state of another training"):
        train(encoder, state_file=state)


def test_naming_by_hand(encoder):
    """The student sees class 0 everywhere: of the learned classes 0 and 1, one of two is right."""
    rows = TEXT[:1].expand(3, -1)
    found = mask_aware.naming(lambda *_: rows, encoder, [record(0)], TEXT, HELD_OUT)
    assert found == (0.5, 0.0)
