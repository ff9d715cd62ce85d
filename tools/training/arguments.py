"""Checks of the command lines of the programs that train a CLIP."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

import torch

from zsk.classification.photo_size import REPORT_SUFFIX
from zsk.errors import UserError
from zsk.terminal import say

MAX_SEED = 2**32  # numpy's


def check_source(output: Path, source: str | Path) -> None:
    """Raise a UserError where a training would replace the file that it starts from.

    `source` may be MODEL.CLIP.NAME.
    """
    file = str(source).removeprefix("openai:")
    if output.exists() and os.path.exists(file) and os.path.samefile(output, file):
        raise UserError(f"--output {output} is the CLIP to start from: give another file")


def tell_replaced(output: Path) -> None:
    """Say that a training will replace a file: it takes long, and the old one may have, too."""
    if output.exists():
        say(f"{output} is there already and will be replaced", error=True)


def check_training_arguments(args: argparse.Namespace, lowest: Mapping[str, int]) -> None:
    """Check `args` before the long work and make the folder of `args.output` (a Path).

    Args:
        args: with `output`, `seed`, `lr` and `device` ("cpu", "cuda" or None).
        lowest: the least value of each whole number among them, by name.

    Raises:
        UserError: a number is too low, there is no such device, or the file cannot be written.
    """
    for name, least in lowest.items():
        value = getattr(args, name)
        if value < least:
            raise UserError(f"--{name.replace('_', '-')} is {value}: give {least} or more")
    if args.seed >= MAX_SEED:
        raise UserError(f"--seed is {args.seed}: give a number below {MAX_SEED}")
    if not 0 < args.lr < float("inf"):
        raise UserError(f"--lr is {args.lr}: give a number over 0")
    if args.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: this machine has no GPU that torch can use, give cpu")
    if args.output.suffix == REPORT_SUFFIX:
        raise UserError(
            f"--output {args.output} ends as the report beside it does: end it in .pt, for instance"
        )
    try:
        if args.output.is_dir():
            raise IsADirectoryError("it is a folder")
        args.output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--output {args.output} cannot be written ({error}): give a file"
        ) from error
