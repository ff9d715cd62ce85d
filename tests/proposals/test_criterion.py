"""The training criterion: published numbers, images without a segment, bad costs, autocast."""

import numpy as np
import pytest
import torch
from tiny_head import make_criterion

from zsk.data.targets import SegmentBatch, segments_from_sem_seg
from zsk.proposals.outputs import ScoredProposals


def proposals(batch=1, count=1, classes=1, size=(1, 2)):
    """Leaf tensors of zeros."""
    return ScoredProposals(
        torch.zeros(batch, count, classes + 1, requires_grad=True),
        torch.zeros(batch, count, *size, requires_grad=True),
    )


def run(criterion, stages, *label_maps):
    segments = [segments_from_sem_seg(torch.tensor(rows)) for rows in label_maps]
    return criterion(stages, segments, [f"{i}.jpg" for i in range(len(segments))])


def values(losses):
    return {name: loss.item() for name, loss in losses.items()}


@pytest.mark.parametrize("ignore_aware", [True, False])
def test_an_image_without_a_segment_has_mask_losses_of_zero_in_the_graph(ignore_aware):
    stages = [proposals(2, 3), proposals(2, 3)]
    nothing = [[255, 255]]
    losses = run(make_criterion(ignore_aware=ignore_aware), stages, nothing, nothing)
    for name, loss in losses.items():
        assert loss.requires_grad
        assert (loss.item() == 0.0) == ("class" not in name)
    sum(losses.values()).backward()
    for stage in stages:
        assert stage.pred_masks.grad.abs().sum() == 0
        assert stage.pred_logits.grad.abs().sum() > 0  # they all learn no object


@pytest.mark.parametrize("part", ["pred_logits", "pred_masks"])
def test_costs_that_are_not_finite_name_the_image(part):
    stage = proposals(2)
    with torch.no_grad():
        getattr(stage, part)[1].view(-1)[0] = float("nan")
    with pytest.raises(FloatingPointError, match="matching costs are not finite for image 1.jpg"):
        run(make_criterion(), [stage], [[0, 0]], [[0, 0]])


def test_losses_are_float32_under_autocast():
    stage = ScoredProposals(torch.randn(1, 3, 3), torch.randn(1, 3, 4, 4).bfloat16())
    labels = [[0, 0, 1, 1]] * 4
    with torch.autocast("cpu", torch.bfloat16):
        under = values(run(make_criterion(), [stage], labels))
    stage = ScoredProposals(stage.pred_logits, stage.pred_masks.float())
    assert under == values(run(make_criterion(), [stage], labels))


def test_half_precision_counts_pixels_exactly():
    """Two masks on 65,792 pixels of one class, more than float16 holds; one is unmatched."""
    logits = torch.tensor([[[2.0, 1.0, 0.0]] * 2])
    stage = ScoredProposals(logits, torch.full((1, 2, 257, 256), 9.0))
    labels = [[0] * 256] * 257
    with torch.autocast("cpu", torch.float16):
        under = values(run(make_criterion(region_purity=0.7), [stage], labels))
    assert under == values(run(make_criterion(region_purity=0.7), [stage], labels))


def test_losses_and_matching_are_maskformers(real_data):
    """Of the last layer: 100 masks of 32x40, labels of 128x160 with a padded border."""
    file = real_data / "golden" / "maskformer_r50_ade.npz"
    if not file.is_file():
        pytest.skip(f"the published system's numbers are not there ({file})")
    golden = np.load(file)
    arrays = (torch.from_numpy(golden[f"out_pred_{name}"]) for name in ("logits", "masks"))
    stage = ScoredProposals(*arrays)
    labels = torch.from_numpy(golden["in_target_map"]).long()
    segments = [segments_from_sem_seg(rows) for rows in labels]
    criterion = make_criterion(ignore_aware=False)
    found = values(criterion([stage], segments, ["a", "b"]))
    expected = dict(zip(golden["out_loss_names"].tolist(), golden["out_losses"].tolist()))
    assert found == {
        "loss_class": pytest.approx(expected["loss_ce"], rel=1e-5),
        "loss_focal": pytest.approx(20 * expected["loss_mask"], rel=1e-5),
        "loss_dice": pytest.approx(expected["loss_dice"], rel=1e-5),
    }
    batch = SegmentBatch.from_images(segments)
    batch = batch._replace(valid=torch.ones_like(batch.valid)).resized((32, 40))
    (matches,) = criterion.matcher([stage], [batch], ["a", "b"])
    classes = [golden["in_target_labels_0"], golden["in_target_labels_1"]]
    theirs = {
        (image, query, int(classes[image][target]))
        for image in (0, 1)
        for query, target in zip(
            golden[f"out_matched_queries_{image}"][-1].tolist(),
            golden[f"out_matched_targets_{image}"][-1].tolist(),
        )
    }
    images, queries, found_segments = matches
    ours = zip(images.tolist(), queries.tolist(), batch.labels[found_segments].tolist())
    assert set(ours) == theirs and len(theirs) == 13
