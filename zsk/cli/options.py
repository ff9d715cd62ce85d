"""Options that several commands have: how photos are asked, and which model answers."""

from __future__ import annotations

import argparse
from typing import Any

from zsk.segmenter import Segmenter
from zsk.words import ALIAS_SEPARATOR, option_words


def share(text: str) -> float:
    """A number from 0 to 1, or a ValueError for argparse."""
    value = float(text)
    if not 0 <= value <= 1:  # NaN, too
        raise ValueError(text)
    return value


share.__name__ = "number from 0 to 1"  # in argparse's message


def add_asking_options(parser: argparse.ArgumentParser) -> None:
    """Those of `Photo.segment`, beside the words."""
    add = parser.add_argument
    add("--background", metavar="WORDS", help="what has none of the words, such as 'wall, floor'")
    threshold_help = "pixels of a lower confidence are background; default: 0"
    add("--threshold", type=share, default=0.0, metavar="0-1", help=threshold_help)
    add("--lam", type=share, metavar="0-1", help="the weight of the head, see docs/method.md")


def asked(args: argparse.Namespace) -> dict[str, Any]:
    """The options of `Photo.segment`. Raises UserError for a background that cannot be read."""
    background = args.background
    if background is not None:
        background = ALIAS_SEPARATOR.join(option_words(background))
    return {"background": background, "threshold": args.threshold, "lam": args.lam}


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Those of `segmenter_of`."""
    add = parser.add_argument
    add("--config-file", metavar="FILE", help="default: that of --weights, or the embedded model")
    weights_help = "file, name (docs/weights.md) or hf://…; default: those of the configuration"
    add("--weights", metavar="NAME", help=weights_help)
    add("--device", help="cpu, cuda, cuda:1; default: the GPU if there is one")
    add("--opts", nargs="+", default=[], metavar="KEY VALUE", help="configuration keys to change")


def segmenter_of(args: argparse.Namespace) -> Segmenter:
    """The model that the options name. Raises UserError as `Segmenter` does."""
    return Segmenter(args.config_file, args.weights, args.device, args.opts)
