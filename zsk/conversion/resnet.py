"""A ResNet of Detectron2: what its weights say about MODEL.RESNETS, and what they do not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from zsk.errors import UserError

from .conversion import Options, count, shape

DEPTHS = {(3, 4, 6, 3): 50, (3, 4, 23, 3): 101, (3, 8, 36, 3): 152}  # blocks of res2 to res5
STEMS = {("conv1",): "basic", ("conv1", "conv2", "conv3"): "deeplab"}
DEEPLAB_MULTI_GRID = [1, 2, 4]  # of MaskFormer's and zsseg's R101c


def resnet_config(
    weights: Mapping[str, Tensor], options: Options
) -> tuple[dict[str, Any], list[str]]:
    """The keys of MODEL for the tensors under "backbone.", and what had to be assumed.

    Raises:
        UserError: another stem or number of blocks; a multi-grid for a stem that takes none.
    """
    blocks = tuple(count(weights, rf"backbone\.res{stage}\.(\d+)\.") for stage in (2, 3, 4, 5))
    if blocks not in DEPTHS:
        raise UserError(
            f"its backbone has {', '.join(map(str, blocks))} blocks in res2 to res5, but a ResNet "
            "of 50, 101 or 152 layers is wanted: no other backbone is converted"
        )
    found = (re.match(r"backbone\.stem\.(\w+)\.", name) for name in weights)
    stem = tuple(sorted({match[1] for match in found if match}))
    if stem not in STEMS:
        raise UserError(
            f"the stem of its backbone has the parts {', '.join(stem) or 'none'}, but a ResNet has "
            "conv1, or with DeepLab's stem conv1, conv2 and conv3: no other stem is converted"
        )
    kind = STEMS[stem]
    resnets: dict[str, Any] = {
        "DEPTH": DEPTHS[blocks],
        "OUT_FEATURES": ["res2", "res3", "res4", "res5"],
        "NORM": "FrozenBN",
        "STRIDE_IN_1X1": False,
        "STEM_OUT_CHANNELS": shape(weights, f"backbone.stem.{stem[-1]}.weight", 4)[0],
    }
    assumed = ["MODEL.RESNETS.STRIDE_IN_1X1 False, as published"]
    name = "build_resnet_backbone"
    if kind == "deeplab":
        name = "build_resnet_deeplab_backbone"
        grid = list(options.multi_grid or DEEPLAB_MULTI_GRID)
        resnets |= {"STEM_TYPE": kind, "RES5_MULTI_GRID": grid, "RES5_DILATION": 1}
        origin = "as --multi-grid says" if options.multi_grid else "as published for this stem"
        assumed.append(f"MODEL.RESNETS.RES5_MULTI_GRID {grid}, {origin} (--multi-grid)")
    elif options.multi_grid and list(options.multi_grid) != [1, 1, 1]:
        raise UserError(
            f"--multi-grid is {list(options.multi_grid)}, but a ResNet with a stem of one "
            "convolution has none: leave the option out"
        )
    return {"BACKBONE": {"NAME": name, "FREEZE_AT": 0}, "RESNETS": resnets}, assumed
