"""The feature pyramid with weights of one number, by hand."""

import torch
from detectron2.layers import ShapeSpec

from zsk.proposals.pixel_decoder import PixelDecoder


def test_coarse_features_are_added_to_finer_ones_by_nearest_neighbour():
    shapes = {"fine": ShapeSpec(channels=1), "coarse": ShapeSpec(channels=1)}
    decoder = PixelDecoder(shapes, in_features=["fine", "coarse"], conv_dim=1, mask_dim=1, norm="")
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.zero_()
        for convolution, value in (
            (decoder.stem, 2.0),
            (decoder.laterals[0], 10.0),
            (decoder.outputs[0], 1.0),
            (decoder.mask_features, -1.0),
        ):
            middle = convolution.kernel_size[0] // 2
            convolution.weight[0, 0, middle, middle] = value
    features = {
        "fine": torch.tensor([[[[0.0, 1.0, -9.0], [2.0, 0.0, 0.0]]]]),
        "coarse": torch.tensor([[[[1.0, 5.0]]]]),
    }
    # of three columns the first two take the left one of the coarse row; ReLU cuts 10 - 90
    expected = -torch.tensor([[[[2.0, 12.0, 0.0], [22.0, 2.0, 10.0]]]])
    with torch.no_grad():
        torch.testing.assert_close(decoder(features), expected)
