"""Recognises whose weights a file holds, by the names of its tensors."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from zsk.errors import UserError

from . import hf_maskformer, knet, maskformer, prompts, zsseg
from .conversion import Conversion, Options

SOURCES = (zsseg, maskformer, hf_maskformer, knet, prompts)  # the first that matches converts
_PARALLEL = "module."  # before every name where torch's DataParallel was saved
_OURS = ("sem_seg_head.transformer_decoder.", "sem_seg_head.kernel_generator.")


def convert(state: Mapping[str, Tensor], options: Options) -> Conversion:
    """The weights and what goes with them.

    Raises:
        UserError: in one sentence, why they are not converted.
    """
    if not state:
        raise UserError("it holds no tensors: the file is not complete")
    if all(name.startswith(_PARALLEL) for name in state):
        state = {name.removeprefix(_PARALLEL): tensor for name, tensor in state.items()}
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
