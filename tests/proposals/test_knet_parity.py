"""One update stage against the numbers of K-Net's own code.

golden/knet_stage.npz was made with KernelUpdateHead of mmsegmentation 1.2.2, on the attention and
feed-forward of mmcv-lite 2.2.0 (mmengine 0.10.7, torch 2.14.1, CPU), in eval mode. Settings are
those of the published ADE20K configurations (softmax over the kernels, a 1x1 convolution on F,
kernel size 1) made small: D=16, N=5, B=2, 2 heads, 32 feed-forward channels, F of 6x7. All biases
and norms are random, so that two swapped ones show. "same_size" has 1 mask layer and masks of 6x7,
"other_size" 3 mask layers and masks of 9x5.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from zsk.conversion.knet import renamed_stages
from zsk.proposals.kernel_update import KernelUpdateStage

GOLDEN = Path(__file__).parent / "golden" / "knet_stage.npz"


def load(case):
    """Weights by K-Net's names, everything else by name."""
    with np.load(GOLDEN) as file:
        tensors = {name: torch.from_numpy(file[name]) for name in file.files}
    tensors = {n.removeprefix(f"{case}/"): t for n, t in tensors.items() if n.startswith(case)}
    weights = {n.removeprefix("weights/"): t for n, t in tensors.items() if n.startswith("weights")}
    return weights, tensors


def build_stage(weights, num_mask_layers):
    stage = KernelUpdateStage(
        dim=16,
        num_heads=2,
        dim_feedforward=32,
        num_mask_layers=num_mask_layers,
        gather_activation="softmax",
        feature_transform=True,
    )
    converted, _ = renamed_stages(weights)
    stage.load_state_dict(
        {k.removeprefix("sem_seg_head.stages.0."): v for k, v in converted.items()}
    )
    return stage.eval()


@pytest.mark.parametrize("case, num_mask_layers", [("same_size", 1), ("other_size", 3)])
def test_a_stage_with_knets_weights_returns_knets_numbers(case, num_mask_layers):
    weights, golden = load(case)
    stage = build_stage(weights, num_mask_layers)
    with torch.no_grad():
        kernels, masks = stage(golden["features"], golden["kernels"], golden["mask_logits"])
    assert masks.shape == (2, 5, 6, 7)
    torch.testing.assert_close(kernels, golden["out_kernels"], rtol=0, atol=1e-5)
    torch.testing.assert_close(masks, golden["out_masks"], rtol=0, atol=1e-5)
