"""Photos in tiles and their merged scores, around a model that answers what the test says."""

import pytest
import torch
from scripted import NAMES, Scripted, record

from zsk import label_map
from zsk.config import default_config
from zsk.errors import UserError
from zsk.looks.test_time_augmentation import with_test_time_augmentation
from zsk.looks.tiles import ZSKNetInTiles
from zsk.looks.true_scale import Box
from zsk.regions import Regions
from zsk.zsk_net import ZSKNet


class Brightness(Scripted):
    """Sees name a in dark pixels and name b in bright ones, exactly."""

    def look(self, images):
        self.images += images
        bright = images[0][0].float() - 127.5
        return [Regions(torch.stack([-bright, bright]), torch.eye(2))]


def all_over(logit_a, logit_b):
    return [[[logit_a]], [[logit_b]]]


def labels(model, given):
    (output,) = ZSKNetInTiles(model, 64)([given])
    assert set(output) == {"pred_labels"} and output["pred_labels"].dtype == torch.int64
    return output["pred_labels"]


def test_tiles_are_spread_evenly_and_overlap_by_a_quarter_or_more():
    model = Scripted(all_over(1.0, 0.0))
    labels(model, record(65, 241))
    # 48 pixels apart at most: 4 tiles reach 208, so 241 needs a fifth
    assert [tuple(image.shape) for image in model.images] == [(3, 64, 64)] * 10
    assert [int(image[0, 0, 0]) for image in model.images] == [0, 44, 88, 133, 177] * 2


@pytest.mark.parametrize("height, width", [(64, 64), (40, 64), (1, 1)])
def test_one_tile_that_covers_the_photo_is_the_photo(height, width):
    answer = torch.randn(2, 9, 13).tolist()
    given = record(height, width, result=(33, 57))
    model = Scripted(answer)
    whole = model.label(model.look([given["image"]])[0], NAMES, (33, 57))
    assert torch.equal(labels(Scripted(answer), given), whole)


def test_where_two_halves_overlap_the_surer_one_decides():
    sure_a, unsure_b = all_over(2.0, -2.0), all_over(-1.0, 1.0)
    # tiles [0,64) and [48,112)
    row = [0] * 64 + [1] * 48
    assert labels(Scripted(sure_a, unsure_b), record(64, 112)).tolist() == [row] * 64
    unsure_a, sure_b = all_over(1.0, -1.0), all_over(-2.0, 2.0)
    row = [0] * 48 + [1] * 64
    assert labels(Scripted(unsure_a, sure_b), record(64, 112)).tolist() == [row] * 64


def test_tiles_lie_where_they_were_cut_at_any_size_of_the_result():
    answers = all_over(9.0, -9.0), all_over(-1.0, 1.0)
    # 64/112 of 15 columns: 8.6
    assert labels(Scripted(*answers), record(64, 112, (5, 15))).tolist() == [[0] * 9 + [1] * 6] * 5
    assert labels(Scripted(*answers), record(64, 112, (1, 1))).shape == (1, 1)


@pytest.mark.parametrize("height, width", [(131, 250), (64, 129), (200, 63)])
def test_a_scene_of_odd_size_is_put_together_again(height, width, monkeypatch):
    scene = torch.rand(1, height, width).round()
    given = record(height, width) | {"image": (255 * scene).byte().expand(3, -1, -1)}
    monkeypatch.setattr(label_map, "STRIP_VALUES", 1000)  # a few rows at once
    assert torch.equal(labels(Brightness(), given), scene[0].long())


@pytest.mark.parametrize("wrap", [ZSKNet.eval, lambda model: ZSKNetInTiles(model, 64)])
def test_cells_are_labelled_beside_pixels(wrap):
    """A cell of 8 pixels has the scores of its middle, between the pixels 3 and 4."""
    given = record(64, 112) | {"cells": (8, 14)}
    given["image"] = torch.zeros(3, 64, 112, dtype=torch.uint8)
    given["image"][:, :, 3:5] = 255
    (output,) = wrap(Brightness())([given])
    assert output["pred_labels"].tolist() == [[0] * 3 + [1] * 2 + [0] * 107] * 64
    assert output["pred_cells"].tolist() == [[1] + [0] * 13] * 8


def test_a_tile_on_a_part_of_its_masks():
    """64 pixels on one and a half cells: name b begins at 64 / 1.5 = 42.7."""
    model = Scripted([[[9.0, -9.0]], [[-9.0, 9.0]]], all_over(0.0, 0.0))
    model.box = Box(0.0, 0.0, 1.5, 1.0)
    row = [0] * 43 + [1] * 21 + [0] * 48  # a tie is the first name's
    assert labels(model, record(64, 112)).tolist() == [row] * 64


def test_masks_compete_within_their_tile():
    model = Scripted(all_over(9.0, 9.5), all_over(-1.0, -1.2))
    assert set(labels(model, record(64, 112))[0, 48:64].tolist()) == {0}  # 1.2688 against 1.2314
    model.mask_softmax, model.images = 1.0, []
    assert set(labels(model, record(64, 112))[0, 48:64].tolist()) == {1}  # 0.9276 against 1.0724


def configured(*opts):
    cfg = default_config()
    cfg.merge_from_list(list(opts))
    return cfg


def test_the_configuration_decides():
    model = Scripted(all_over(1.0, 0.0))
    assert with_test_time_augmentation(configured(), model) is model
    tiled = with_test_time_augmentation(configured("TEST.TILES", 100), model)
    tiled([record(64, 150)])
    assert [tuple(image.shape[1:]) for image in model.images] == [(64, 100)] * 2


def test_tiles_of_views_are_refused():
    cfg = configured("TEST.TILES", 64, "TEST.AUG.ENABLED", True)
    with pytest.raises(UserError, match="TEST.TILES is 64 and TEST.AUG.ENABLED is True"):
        with_test_time_augmentation(cfg, Scripted())
