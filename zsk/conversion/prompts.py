"""Learned prompts of CoOp (Zhou et al., IJCV 2022) and POMP (Ren et al., NeurIPS 2023)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from zsk.classification.build import build_encoder
from zsk.classification.learned_prompts import LearnedPrompts, check_takes_context
from zsk.errors import UserError

from .conversion import NO_CLASSES, Conversion, Options, checked, translate

SOURCE = "learned prompts (CoOp, POMP)"
DEFAULT_CLIP = "ViT-B/16"
_NAMES = ("prompt_learner.ctx", "ctx")
_MOST = 73  # vectors: start, "." and end, and one token of a name are the rest of 77
_STARTS = ("prompt_learner.token_prefix", "token_prefix")
_DROPS = {
    r"(prompt_learner\.)?ctx$": "learned prompts, in the file",
    r"(prompt_learner\.)?token_(prefix|suffix)$": "token embeddings of the class names",
    "": "CLIP itself, which MODEL.CLIP.NAME has",
}


def matches(state: Mapping[str, Tensor]) -> bool:
    return any(name in state for name in _NAMES)


def convert(state: Mapping[str, Tensor], options: Options) -> Conversion:
    """The vectors before the name and the "." after it.

    Raises:
        UserError: vectors of single classes, or of another CLIP; the CLIP is not there.
    """
    options.check_read(SOURCE, "clip", "trained_on")
    context, *others = (checked(name, state[name]) for name in _NAMES if name in state)
    if any(not torch.equal(context, other) for other in others):
        raise UserError(f"it holds two contexts that differ, {' and '.join(_NAMES)}: remove one")
    if context.ndim == 3:
        raise UserError(
            f"its prompts are class-specific ({context.shape[0]} sets of vectors), which suit no "
            "other class: only a context that all classes share is converted"
        )
    if context.ndim != 2:
        raise UserError(f"its context has shape {tuple(context.shape)}, not (vectors, width)")
    if not 0 < len(context) <= _MOST:
        raise UserError(f"it holds {len(context)} vectors, but CLIP takes 1 to {_MOST} and a name")
    clip = options.clip or DEFAULT_CLIP
    encoder = build_encoder(clip)
    check_takes_context(encoder)
    tokens = encoder.embed_tokens(".").cpu()
    start, dot = tokens[0], tokens[1:-1].clone()  # of a view, a file would hold all tokens
    if dot.shape[1] != context.shape[1]:
        raise UserError(
            f"its prompts have width {context.shape[1]}, but the text tower of {clip} (--clip) has "
            f"{dot.shape[1]}: they are of another CLIP"
        )
    for name in _STARTS:
        if name not in state:
            continue
        theirs = checked(name, state[name]).flatten()[: len(start)]
        if theirs.shape != start.shape or not torch.allclose(theirs, start, atol=1e-3):
            raise UserError(
                f"its start token ({name}) is not that of {clip} (--clip): they are of another CLIP"
            )
    _, dropped = translate(state, {}, _DROPS, SOURCE)
    assumed = [
        f"learned with CLIP {clip} (--clip)",
        'the name stands behind all vectors (CLASS_TOKEN_POSITION end), "." behind the name',
    ]
    if not options.trained_on:
        assumed.append(NO_CLASSES)
    prompts = LearnedPrompts(context, dot, options.trained_on or ())
    key = "MODEL.CLIP.PROMPT"
    return Conversion(SOURCE, {}, {}, dropped, assumed, prompts={key: prompts}, encoder=encoder)
