"""What every converter gives, and renaming by tables.

A table maps regular expressions for the beginning of a name to its replacement, or, for tensors
that are left out, to the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from zsk.classification.encoder import VisionLanguageEncoder
from zsk.classification.learned_prompts import LearnedPrompts
from zsk.errors import UserError

Weights = dict[str, Tensor]
NO_CLASSES = "no class names of the prompts' training (--trained-on): no warning of leaks"


@dataclass(frozen=True)
class Options:
    """What a file of weights does not say.

    Attributes:
        clip: MODEL.CLIP.NAME; "": what is published with the weights.
        trained_on: names of the classes that learned prompts saw masks or photos of.
        names: the classes of a linear classifier, in its order.
        multi_grid: MODEL.RESNETS.RES5_MULTI_GRID; None: what is published for the stem.
    """

    clip: str = ""
    trained_on: Sequence[str] | None = None
    names: Sequence[str] | None = None
    multi_grid: Sequence[int] | None = None

    def check_read(self, source: str, *read: str) -> None:
        """Raise a UserError for an option that is given, but not among the `read` ones."""
        for name, value in vars(self).items():
            if value not in ("", None) and name not in read:
                option = name.replace("_", "-")
                raise UserError(f"--{option} says nothing about {source}: leave the option out")


@dataclass
class Conversion:
    """Converted weights and what goes with them.

    Attributes:
        source: what the file was recognised as.
        weights: by this project's names; empty for a file of prompts alone.
        config: the configuration as a YAML file holds it, less paths; {} for prompts alone.
        dropped: reason → names of the tensors that are left out.
        assumed: sentences about what the file does not show.
        classes: what the classifier's columns or the training stand for.
        own_classes: no registered data set has these classes, so a split file is written.
        prompts: learned prompts by the key of the configuration that takes their file.
        encoder: the CLIP that the prompts belong to.
        complete: beginning of the names that have to be there all; others may be missing.
        licence: what the publisher says.
    """

    source: str
    weights: Weights
    config: dict[str, Any] = field(default_factory=dict)
    dropped: dict[str, list[str]] = field(default_factory=dict)
    assumed: list[str] = field(default_factory=list)
    classes: tuple[str, ...] = ()
    own_classes: bool = False
    prompts: dict[str, LearnedPrompts] = field(default_factory=dict)
    encoder: VisionLanguageEncoder | None = None
    complete: str = ""
    licence: str = ""


def translate(
    state: Mapping[str, Tensor], renames: Mapping[str, str], drops: Mapping[str, str], source: str
) -> tuple[Weights, dict[str, list[str]]]:
    """The renamed tensors in float32, and those left out by reason.

    Raises:
        UserError: a name is in neither table; two have the same replacement; a tensor that no
            network can have.
    """
    weights: Weights = {}
    dropped: dict[str, list[str]] = {}
    for name, tensor in state.items():
        reason = next((why for theirs, why in drops.items() if re.match(theirs, name)), None)
        if reason is not None:
            dropped.setdefault(reason, []).append(name)
            continue
        fitting = ((theirs, new) for theirs, new in renames.items() if re.match(theirs, name))
        rename = next(fitting, None)
        if rename is None:
            raise UserError(
                f"it looks like {source}, but holds {name}, which the published network has not: "
                "it is of another or a changed network"
            )
        ours = re.sub(*rename, name, count=1)
        if ours in weights:
            raise UserError(f"{name} and another of its tensors are both for {ours}: remove one")
        weights[ours] = checked(name, tensor)
        if not tensor.numel():
            raise UserError(f"its tensor {name} is empty: the file is not complete")
    return weights, dropped


def checked(name: str, tensor: Tensor) -> Tensor:
    """The tensor in float32. Raises a UserError unless all of it is finite real numbers."""
    if tensor.layout != torch.strided or not tensor.is_floating_point():
        kind = str(tensor.dtype if tensor.layout == torch.strided else tensor.layout)
        raise UserError(
            f"its tensor {name} is {kind.removeprefix('torch.')}, but weights are dense floats: "
            "get another copy"
        )
    tensor = tensor.float()
    if not tensor.isfinite().all():
        raise UserError(f"its tensor {name} holds NaN or infinite numbers: get another copy")
    return tensor


def number(count: int, noun: str) -> str:
    """1 tensor, 2 tensors."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def shape(weights: Mapping[str, Tensor], name: str, rank: int) -> tuple[int, ...]:
    """The shape of a tensor that has to be there, of so many dimensions. Raises UserError."""
    if name not in weights:
        raise UserError(f"its tensor for {name} is missing: the file is not complete")
    found = tuple(weights[name].shape)
    if len(found) != rank:
        raise UserError(
            f"its tensor for {name} has shape {found}, not {rank} dimensions: it is of another or "
            "a changed network"
        )
    return found


def count(weights: Mapping[str, Tensor], pattern: str) -> int:
    """How many numbers (or words) the one group of the pattern takes among the names."""
    return len({found[1] for found in (re.match(pattern, name) for name in weights) if found})
