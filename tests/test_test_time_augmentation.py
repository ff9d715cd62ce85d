"""Views of a photo and their averaged scores, around a model that answers what the test says."""

import torch
from scripted import Scripted, record

from zsk.config import default_config
from zsk.looks.test_time_augmentation import ZSKNetWithTTA, with_test_time_augmentation
from zsk.looks.true_scale import Box


def labels(model, min_sizes, max_size, flip, given=None):
    output = ZSKNetWithTTA(model, min_sizes, max_size, flip)([given or record(2, 4)])
    assert len(output) == 1 and set(output[0]) == {"pred_labels"}
    return output[0]["pred_labels"].tolist()


def test_each_size_is_seen_as_it_is_and_mirrored():
    model = Scripted([[[0.0]], [[1.0]]])
    assert labels(model, [2, 4, 1], 6, True) == [[1] * 4] * 2
    sizes = [tuple(image.shape[1:]) for image in model.images]
    # 4 would be 4x8: the longest side may be 6
    assert sizes == [(2, 4), (2, 4), (3, 6), (3, 6), (1, 2), (1, 2)]
    assert model.images[0][0, 0].tolist() == [0, 1, 2, 3]
    for plain, mirrored in zip(model.images[::2], model.images[1::2]):
        assert torch.equal(mirrored, plain.flip(2))


def test_masks_of_a_mirrored_view_are_turned_back():
    """The model sees name b in the left half of whatever it is shown, once surely, once less so."""
    sure, unsure = [[[-9.0, 9.0]], [[9.0, -9.0]]], [[[-1.0, 1.0]], [[1.0, -1.0]]]
    assert labels(Scripted(sure), [2], 99, False) == [[1, 1, 0, 0]] * 2
    # turned back, the mirrored view says: b right. Whichever is surer wins
    assert labels(Scripted(sure, unsure), [2], 99, True) == [[1, 1, 0, 0]] * 2
    assert labels(Scripted(unsure, sure), [2], 99, True) == [[0, 0, 1, 1]] * 2


def test_masks_of_a_mirrored_view_keep_their_scale():
    """Six pixels on a cell of four and a half-covered one, at the right of a mirrored photo."""
    sure, unsure = [[[-9.0, 9.0]], [[9.0, -9.0]]], [[[-1.0, 1.0]], [[1.0, -1.0]]]
    for masks, expected in (
        ((sure, unsure), [1, 1, 1, 1, 0, 0]),
        ((unsure, sure), [0, 0, 1, 1, 1, 1]),
    ):
        model = Scripted(*masks)
        model.box = Box(0.0, 0.0, 1.5, 1.0)
        assert labels(model, [4], 99, True, record(4, 6)) == [expected] * 4


def test_masks_compete_in_every_view():
    model = Scripted([[[9.0]], [[9.5]]], [[[-1.0]], [[-1.2]]])
    assert labels(model, [2, 2], 99, False)[0] == [0] * 4  # sigmoids: 1.2688 against 1.2314
    model.mask_softmax = 1.0  # shares: 0.3775 + 0.5498 against 0.6225 + 0.4502
    assert labels(model, [2, 2], 99, False)[0] == [1] * 4


def test_each_photo_has_its_own_views():
    model = Scripted([[[1.0]], [[0.0]]], [[[0.0]], [[1.0]]])
    outputs = ZSKNetWithTTA(model, [2], 99, False)([record(2, 4), record(3, 1)])
    assert outputs[0]["pred_labels"].tolist() == [[0] * 4] * 2
    assert outputs[1]["pred_labels"].tolist() == [[1]] * 3


def test_the_configuration_decides():
    cfg, model = default_config(), Scripted([[[0.0]], [[1.0]]])
    assert with_test_time_augmentation(cfg, model) is model
    cfg.TEST.AUG.ENABLED, cfg.TEST.AUG.MIN_SIZES, cfg.TEST.AUG.MAX_SIZE = True, (2, 3), 5
    with_test_time_augmentation(cfg, model)([record(2, 4)])
    assert [tuple(image.shape[1:]) for image in model.images[::2]] == [(2, 4), (3, 5)]
    assert len(model.images) == 4
