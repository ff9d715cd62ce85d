"""Merging looks: by hand."""

import torch

from zsk.classification.looks import merge_looks

LN3 = torch.log(torch.tensor(3.0)).item()


def test_one_look_is_its_softmax() -> None:
    probs = merge_looks(torch.tensor([[[LN3, 0.0]]]), torch.tensor([[True]]))
    torch.testing.assert_close(probs, torch.tensor([[0.75, 0.25]]))


def test_two_looks_are_averaged_geometrically() -> None:
    """3/4 and 1/2 for the first name: sqrt(3/8) to sqrt(1/8) is sqrt(3) to 1."""
    logits = torch.tensor([[[LN3, 0.0]], [[5.0, 5.0]]])
    (row,) = merge_looks(logits, torch.ones(2, 1, dtype=torch.bool))
    torch.testing.assert_close(row[0] / row[1], torch.tensor(3.0).sqrt())
    torch.testing.assert_close(row.sum(), torch.tensor(1.0))


def test_a_look_without_a_pixel_has_no_part() -> None:
    logits = torch.tensor([[[LN3, 0.0], [1.0, 2.0]], [[float("nan"), 9.0], [3.0, 4.0]]])
    shown = torch.tensor([[True, False], [False, False]])
    probs = merge_looks(logits, shown)
    torch.testing.assert_close(probs, torch.tensor([[0.75, 0.25], [0.0, 0.0]]))


def test_no_proposal() -> None:
    assert merge_looks(torch.zeros(2, 0, 3), torch.zeros(2, 0, dtype=torch.bool)).shape == (0, 3)
