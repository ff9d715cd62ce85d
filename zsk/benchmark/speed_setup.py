"""What the speed benchmark needs before it starts: how large it is, and a CLIP."""

from __future__ import annotations

from pathlib import Path

import torch

from zsk.classification.clip_encoder import find_weights
from zsk.classification.clip_training import ClipSizes, new_clip, save
from zsk.errors import UserError

from .speed_cases import ZS_MASKFORMER, ZSK, Extent

CLIP_NAME = "ViT-B/16"
VIT_B16 = ClipSizes(512, 224, 12, 768, 16, 77, 512, 12)
TINY = ClipSizes(32, 32, 2, 64, 16, 32, 64, 1)

_TINY_NETWORK = (
    *("MODEL.BACKBONE.NAME", "build_timm_backbone", "MODEL.TIMM.NAME", "test_resnet"),
    *("MODEL.TIMM.FREEZE", "none", "SOLVER.AMP.ENABLED", "False"),
)
_TINY_KERNELS = (
    *("MODEL.KERNELS.NUM_KERNELS", "6", "MODEL.KERNELS.DIM", "32"),
    *("MODEL.KERNELS.NUM_STAGES", "1", "MODEL.KERNELS.DIM_FEEDFORWARD", "32"),
    *("MODEL.SEM_SEG_HEAD.ASPP_CHANNELS", "32"),
)
_TINY_QUERIES = (
    *("MODEL.MASK_FORMER.NUM_QUERIES", "6", "MODEL.MASK_FORMER.DIM", "32"),
    *("MODEL.MASK_FORMER.NUM_LAYERS", "1", "MODEL.MASK_FORMER.DIM_FEEDFORWARD", "32"),
    *("MODEL.MASK_FORMER.CONV_DIM", "32", "MODEL.MASK_FORMER.MASK_DIM", "16"),
)
QUICK = Extent(
    opts=_TINY_NETWORK,
    head_opts={ZSK: _TINY_KERNELS, ZS_MASKFORMER: _TINY_QUERIES},
    photo=(128, 160),
    train_side=128,
    proposals=(4, 6, 8),
    crop_proposals=(4, 8),
    names=(20, 40),
    sides=(128, 160),
    stages=(0, 1),
    repeats=2,
    fast_repeats=2,
)
"""Shows that everything works, in seconds; the numbers mean nothing."""


def clip_weights(quick: bool, folder: Path) -> tuple[str, bool]:
    """A value for MODEL.CLIP.NAME: the published weights if they are there, else random ones.

    The second value says whether they are random.

    Random ones go to a file in `folder`, of ViT-B/16's numbers or, with `quick`, tiny: time does
    not depend on the values.
    """
    if not quick:
        try:
            return str(find_weights(CLIP_NAME)), False
        except UserError:
            pass
    file = folder / "random_clip.pt"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save(new_clip(TINY if quick else VIT_B16), file)
    return str(file), True
