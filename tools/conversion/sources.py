"""Recognises whose weights a file holds, by the names of its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from zsk.errors import UserError

from . import hf_maskformer, knet, maskformer, prompts, zsseg
from .conversion import Conversion, Options

SOURCES = (zsseg, maskformer, hf_maskformer, knet, prompts)  # the first that matches converts
_OURS = ("sem_seg_head.transformer_decoder.", "sem_seg_head.kernel_generator.")
_SWIN = r"(backbone\.|model\.pixel_level_module\.encoder\.).*blocks\.\d+\.(attn|attention)\."


def convert(state: Mapping[str, Tensor], options: Options) -> Conversion:
    """The weights and what goes with them.

    Raises:
        UserError: in one sentence, why they are not converted.
    """
    if any(re.match(_SWIN, name) for name in state):
        raise UserError("its backbone is a Swin Transformer, but only ResNets are converted")
    if any(name.startswith(_OURS) for name in state):
        raise UserError("it has this project's names already: give it as MODEL.WEIGHTS")
    for source in SOURCES:
        if source.matches(state):
            return source.convert(state, options)
    first = ", ".join(list(state)[:2])
    raise UserError(
        f"its names ({first}, …) are those of no model that is converted: the sources are listed "
        "in docs/weights.md"
    )
