"""The layout that photos have for a backbone; the rest of records is tested with the models."""

import pytest
import torch

from zsk.batched_inputs import laid_out


@pytest.mark.parametrize("training", [True, False])
def test_pixels_are_channels_last_on_a_cpu(training):
    torch.manual_seed(0)
    pixels = torch.randn(2, 3, 4, 5)
    found = laid_out(pixels, training)
    assert torch.equal(found, pixels)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_on_other_devices_training_keeps_the_layout():
    pixels = torch.empty(2, 3, 4, 5, device="meta")
    assert laid_out(pixels, training=True) is pixels
    assert laid_out(pixels, training=False).is_contiguous(memory_format=torch.channels_last)
