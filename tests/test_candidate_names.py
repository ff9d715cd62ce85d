"""Labels by tiles: by hand, and against the argmax of all scores."""

import pytest
import torch
import torch.nn.functional as F

from zsk import candidate_names
from zsk.candidate_names import can_win, labels_by_tiles, listed
from zsk.mask_tiles import MaskTiles
from zsk.mask_votes import MaskVotes


def whole_scores(views, size, votes=MaskVotes()):
    """(K,H,W) float64, plainly."""
    total = 0
    for probs, masks in views:
        resized = F.interpolate(masks[None].double(), size, mode="bilinear")[0]
        total = total + torch.einsum("nk,nhw->khw", probs.double(), votes(resized, dim=0))
    return total


def assert_best(views, size, votes=MaskVotes()):
    """The labels are best everywhere; which of two names that are as good to 1e-6 is open."""
    labels = labels_by_tiles(views, size, votes)
    scores = whole_scores(views, size, votes)
    assert labels.shape == size and labels.dtype == torch.int64
    best, own = scores.max(dim=0).values, scores.gather(0, labels[None])[0]
    assert (own >= best - 1e-6 * best).all()
    clear = scores.topk(2, dim=0).values if len(scores) > 1 else None
    if clear is not None:
        sure = clear[0] - clear[1] > 1e-6 * best
        assert torch.equal(labels[sure], scores.argmax(dim=0)[sure])


def test_names_that_cannot_win_by_hand():
    """One proposal between 0.2 and 0.4: of scores of up to 0.2, 0.36 and 0.16 only name 1 can win.

    Its least score, 0.18, does not say so. But over name 0 it is ahead by 0.4 times the mask, so by
    0.08 at least.
    """
    probs = torch.tensor([[0.5, 0.9, 0.4]])
    least, greatest = torch.tensor([[0.2]]), torch.tensor([[0.4]])
    assert can_win([(probs, least, greatest)]).tolist() == [[False, True, False]]


def test_a_name_that_may_win_with_one_proposal_is_kept():
    """Name 0 is proposal 0's, which may be off; name 1 is proposal 1's; name 2 is nobody's."""
    probs = torch.tensor([[0.9, 0.0, 0.0], [0.0, 0.3, 0.0]])
    least, greatest = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 1.0]])
    assert can_win([(probs, least, greatest)]).tolist() == [[True, True, False]]
    # surely on, proposal 0 decides
    sure = torch.tensor([[0.5, 1.0]])
    assert can_win([(probs, sure, greatest)]).tolist() == [[True, False, False]]


def test_bounds_add_up_over_views():
    """Each view alone cannot tell names 0 and 1; both together can: 0.5 + 0.4 against 0.4 + 0.1."""
    one, other = torch.tensor([[0.5, 0.4]]), torch.tensor([[0.4, 0.1]])
    on, unsure = torch.ones(1, 1), torch.zeros(1, 1)
    assert can_win([(other, unsure, on)]).tolist() == [[True, True]]
    assert can_win([(one, on, on), (other, unsure, on)]).tolist() == [[True, False]]


def test_names_are_listed_in_order_and_filled_with_the_first():
    keep = torch.tensor([[0, 1, 0, 1, 1], [0, 0, 1, 0, 0], [1, 0, 0, 0, 1]]).bool()
    assert listed(keep).tolist() == [[1, 3, 4], [2, 2, 2], [0, 4, 0]]


@pytest.mark.parametrize("size", [(70, 50), (16, 16), (17, 33), (3, 2), (1, 1), (40, 1)])
@pytest.mark.parametrize("names", [1, 2, 7, 300])
@pytest.mark.parametrize("sharpness", [0.3, 3.0, 30.0])
def test_labels_are_the_argmax_of_all_scores(size, names, sharpness):
    torch.manual_seed(0)
    masks = torch.randn(9, 13, 11) * sharpness
    assert_best([(torch.rand(9, names), masks)], size)
    assert_best([((torch.randn(9, names) * 5).softmax(dim=1), masks)], size)


@pytest.mark.parametrize("size", [(70, 50), (17, 33), (1, 1)])
@pytest.mark.parametrize("names", [1, 7, 300])
@pytest.mark.parametrize("sharpness", [0.3, 3.0, 30.0])
def test_labels_of_competing_masks_are_the_argmax_of_all_scores(size, names, sharpness):
    torch.manual_seed(0)
    masks = torch.randn(9, 13, 11) * sharpness
    votes = MaskVotes(2.0)
    assert_best([(torch.rand(9, names), masks)], size, votes)
    views = [(torch.rand(5, names), masks[:5]), (torch.rand(2, names), torch.randn(2, 5, 7))]
    assert_best(views, size, votes)


def test_a_mask_that_names_nothing_takes_its_share_from_the_others():
    """In the first view nobody's mask is as sure as name 0's; the second has name 1 with 0.6."""
    probs = torch.tensor([[0.9, 0.0], [0.0, 0.0]])
    masks = torch.zeros(2, 4, 4)  # each mask has half of the vote: 0.45 for name 0
    other = (torch.tensor([[0.0, 0.6]]), torch.zeros(1, 4, 4))
    labels = labels_by_tiles([(probs, masks), other], (20, 20), MaskVotes(1.0))
    assert labels.eq(1).all()
    alone = labels_by_tiles([(probs[:1], masks[:1]), other], (20, 20), MaskVotes(1.0))
    assert alone.eq(0).all()


def test_labels_of_large_segments_need_few_pixels(monkeypatch):
    """Two halves, one name each: only the tiles on the border are looked at."""
    looked = []
    values = MaskTiles.values

    def spy(self, rows, columns):
        looked.extend(columns.tolist())
        return values(self, rows, columns)

    monkeypatch.setattr(MaskTiles, "values", spy)
    left = torch.cat([torch.full((8, 16), 20.0), torch.full((8, 16), -20.0)], dim=1)
    probs = torch.tensor([[0.1, 0.8, 0.1], [0.1, 0.2, 0.7]])
    labels = labels_by_tiles([(probs, torch.stack([left, -left]))], (32, 128))
    assert labels[:, :64].eq(1).all() and labels[:, 64:].eq(2).all()
    assert set(looked) == {3, 4} and len(looked) == 4  # of 2 x 8 tiles, columns 48 to 79


def test_bands_and_chunks_change_nothing(monkeypatch):
    torch.manual_seed(0)
    views = [(torch.rand(5, 40), torch.randn(5, 12, 9)), (torch.rand(2, 40), torch.randn(2, 5, 7))]
    expected = labels_by_tiles(views, (75, 60))
    assert_best(views, (75, 60))
    for band, chunk in ((1, 1), (1, 10**6), (20_000, 5_000), (10**9, 10**9)):
        monkeypatch.setattr(candidate_names, "BAND_VALUES", band)
        monkeypatch.setattr(candidate_names, "CHUNK_VALUES", chunk)
        assert torch.equal(labels_by_tiles(views, (75, 60)), expected)


def test_no_chunk_is_larger_than_asked_for(monkeypatch):
    sizes = []
    values = MaskTiles.values

    def spy(self, rows, columns):
        found = values(self, rows, columns)
        sizes.append(found.numel())
        return found

    monkeypatch.setattr(MaskTiles, "values", spy)
    monkeypatch.setattr(candidate_names, "CHUNK_VALUES", 3000)
    torch.manual_seed(0)
    labels_by_tiles([(torch.rand(4, 3), torch.randn(4, 12, 9) * 5)], (64, 64))
    assert max(sizes) == 2 * 256 * 4  # two tiles of 256 pixels, 4 masks each


def test_the_lowest_of_equal_names_wins():
    """Columns 1 and 3 are the same and best where proposal 0 is on, 0 and 2 elsewhere."""
    probs = torch.tensor([[0.1, 0.6, 0.1, 0.6], [0.5, 0.2, 0.5, 0.2]])
    half = torch.tensor([[[9.0, 9.0, -9.0, -9.0]]])
    labels = labels_by_tiles([(probs, torch.cat([half, -half]))], (20, 80))
    assert labels[:, :30].eq(1).all() and labels[:, 50:].eq(0).all()


def test_what_decides_nothing():
    masks = torch.randn(3, 4, 4)
    nothing = torch.zeros(18, 20, dtype=torch.int64)
    for probs in (torch.zeros(3, 5), torch.full((3, 5), 0.2), torch.rand(3, 1), torch.zeros(0, 5)):
        assert torch.equal(labels_by_tiles([(probs, masks[: len(probs)])], (18, 20)), nothing)
    # a view without proposals beside one with: the latter decides
    probs = torch.tensor([[0.1, 0.2, 0.3, 0.9, 0.5]])
    empty = (torch.zeros(0, 5), masks[:0])
    assert labels_by_tiles([empty, (probs, masks[:1])], (18, 20)).eq(3).all()


def test_rows_of_zeros_are_not_even_resized(monkeypatch):
    counts = []
    build = MaskTiles.__init__

    def spy(self, logits, *args):
        counts.append(len(logits))
        build(self, logits, *args)

    monkeypatch.setattr(MaskTiles, "__init__", spy)
    probs = torch.tensor([[0.0, 0.0], [0.3, 0.1], [0.0, 0.0]])
    assert labels_by_tiles([(probs, torch.randn(3, 4, 4))], (8, 8)).eq(0).all()
    assert counts == [1]


def test_names_that_win_in_no_block_are_no_candidates_of_its_tiles(monkeypatch):
    """80 x 80 pixels, 2 x 2 blocks: all 50 names are looked at there, then the three that can win.

    Name 12 is ahead of all but two everywhere, by 0.2 of a mask that is on.
    """
    looked = []

    def spy(views):
        looked.append([(len(least), probs.shape[1]) for probs, least, _ in views])
        return can_win(views)

    monkeypatch.setattr(candidate_names, "can_win", spy)
    probs = torch.full((3, 50), 0.1)
    probs[0, 7], probs[1, 30], probs[2, 12] = 0.9, 0.8, 0.3
    left = torch.full((10, 10), 20.0)
    left[:, 5:] = -20.0
    masks = torch.stack([left, -left, torch.full((10, 10), 20.0)])
    labels = labels_by_tiles([(probs, masks)], (80, 80))
    assert looked == [[(4, 50)], [(25, 3)]]
    assert labels[:, :40].eq(7).all() and labels[:, 40:].eq(30).all()


def test_the_lowest_name_is_taken_where_several_are_best_in_all_blocks():
    torch.manual_seed(0)
    probs = torch.rand(4, 3).repeat(1, 30)  # names 3, 6, … are name 0 again
    labels = labels_by_tiles([(probs, torch.randn(4, 12, 9))], (200, 90))
    assert set(labels.unique().tolist()) <= {0, 1, 2}
    assert_best([(probs, torch.randn(4, 12, 9))], (200, 90))


def test_scores_that_are_not_numbers_still_give_labels():
    masks = torch.full((2, 4, 4), torch.nan)
    labels = labels_by_tiles([(torch.rand(2, 5), masks)], (20, 20))
    assert labels.shape == (20, 20) and labels.min() >= 0 and labels.max() < 5
