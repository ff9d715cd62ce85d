"""zsk export: a model's look at a photo as one file for another runtime, and words beside it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from detectron2.config import CfgNode
from torch import nn

from zsk.data.images import read_image
from zsk.errors import UserError
from zsk.export.formats import FILES, check_packages, read_look, write_look
from zsk.export.look import FixedLook, side_divisor
from zsk.export.parity import HEADER, compare, sample_photos
from zsk.export.words import words_of, write_words
from zsk.files import user_path, writable_folder
from zsk.load import default_vocabulary
from zsk.segmenter import Segmenter
from zsk.terminal import say
from zsk.vocabulary import Vocabulary
from zsk.words import option_words
from zsk.zsk_net import ZSKNet

WORDS_FILE = "words.npz"
LEAST_EQUAL = 0.99  # share of the pixels with equal labels, below which an export is refused


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Write a model for other runtimes: a network that looks at a photo and needs "
        "no words, and a small file of words (docs/export.md).",
        epilog='example: zsk export --words "cat, sofa, wall" --size 512 640 --output exported',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--format", choices=FILES, default="onnx", help="default: onnx")
    add("--output", type=user_path, required=True, metavar="FOLDER")
    add("--config-file", metavar="FILE", help="default: that of --weights, or the embedded model")
    add("--weights", metavar="NAME", help="file, name or hf://…; default: the configuration's")
    size_help = "of the photos; default: from INPUT.MIN_SIZE_TEST, 4:3"
    add("--size", nargs=2, type=int, metavar=("H", "W"), help=size_help)
    add("--words", help='such as "cat, sofa, wall", or @FILE; default: the names of the data set')
    add("--words-only", action="store_true", help="write the words alone, for an earlier export")
    add("--overwrite", action="store_true", help="replace the files of an earlier export")
    check_help = "compare the export with the model on photos; default: five of scikit-image"
    add("--check", nargs="*", type=user_path, metavar="PHOTO", help=check_help)
    add("--opts", nargs="+", default=[], metavar="KEY VALUE", help="configuration keys to change")
    arguments = parser.parse_args(argv)
    if arguments.words_only and arguments.check is not None:
        parser.error("--check needs the network: leave --words-only out")
    return arguments


def main(argv: Sequence[str] | None = None) -> None:
    """Write the files, and compare them with the model where --check asks for it.

    Raises:
        UserError: a package is missing, an output exists, the model or the size cannot be
            exported, or the export does not label as the model does.
    """
    args = parse_arguments(argv)
    look_file, words_file = args.output / FILES[args.format], args.output / WORDS_FILE
    wanted = [words_file] if args.words_only else [look_file, words_file]
    if not args.words_only:
        check_packages(args.format, check=args.check is not None)
        for photo in args.check or ():  # one that cannot be read is refused before the export
            read_image(photo)
    existing = [file for file in wanted if file.exists()]
    if existing and not args.overwrite:
        raise UserError(f"{existing[0]} exists: give another --output, or --overwrite")
    writable_folder(args.output, f"--output {args.output}")
    segmenter = Segmenter(args.config_file, args.weights, "cpu", args.opts)
    model = exportable(segmenter.model)
    words = default_vocabulary(segmenter.cfg) if args.words is None else option_words(args.words)
    vocabulary = segmenter.vocabulary(words)
    arrays = words_of(model, vocabulary)  # first, for it may refuse the words
    others = (args.output / file for file in FILES.values() if args.output / file != look_file)
    if args.words_only or any(file.exists() for file in others):
        _check_network(args.output, arrays)  # of a network that stays
    if not args.words_only:
        size = export_size(model, args.size, segmenter.cfg.INPUT)
        say(f"exporting as {args.format}, which takes some minutes")
        write_look(FixedLook(model), size, args.format, look_file)
        say(f"{look_file}: {os.path.getsize(look_file) / 1e6:.0f} MB")
    write_words(words_file, arrays)
    say(f"{words_file}: {len(vocabulary)} words")
    if args.words_only:
        return
    say(
        f"it takes one photo at a time, resized to a height of {size[0]} and a width of {size[1]} "
        "pixels: neither the size nor the number of photos can change"
    )
    if args.check is not None:
        _check(model, vocabulary, size, args, Path(segmenter.origin["config"]).stem)


def exportable(model: nn.Module) -> ZSKNet:
    """The model itself. Raises UserError for those that look at a photo in another way."""
    if not isinstance(model, ZSKNet):
        raise UserError(
            "only a model with masks that looks once can be exported: choose a configuration with "
            "MODEL.META_ARCHITECTURE ZSKNet, TEST.TILES 0 and TEST.AUG.ENABLED False"
        )
    return model


def export_size(model: ZSKNet, given: Sequence[int] | None, test: CfgNode) -> tuple[int, int]:
    """(H,W) of the photos: given, or that of a photo of 4:3 under INPUT, here `test`.

    Raises:
        UserError: the masks would not cover the size exactly, or INPUT has none.
    """
    step = side_divisor(model)
    if given is None:
        if test.MIN_SIZE_TEST == 0:
            raise UserError(
                "INPUT.MIN_SIZE_TEST is 0, which leaves photos as they are: give --size"
            )
        shorter = min(test.MIN_SIZE_TEST, test.MAX_SIZE_TEST * 3 / 4)
        height = max(1, round(shorter / step))
        return height * step, max(1, round(height * 4 / 3)) * step
    if any(side < 1 or side % step for side in given):
        near = " ".join(str(max(1, round(side / step)) * step) for side in given)
        raise UserError(
            f"--size {given[0]} {given[1]}: both have to be positive multiples of {step}, the "
            f"coarsest stride of this model, such as --size {near}"
        )
    return given[0], given[1]


def _check_network(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse words of another model than that of the network in the folder, where it is known."""
    file = folder / WORDS_FILE
    if not file.is_file():
        return
    try:
        with np.load(file, allow_pickle=False) as earlier:
            # the others decide what the network gives beside its masks, and at which size
            keys = ("network", "mode", "classifier", "votes_at")
            same = all(key not in earlier or earlier[key] == arrays[key] for key in keys)
    except (OSError, ValueError, TypeError, AttributeError, EOFError, BadZipFile):
        return  # it is replaced
    if not same:
        raise UserError(
            f"{file} is of another model than the one given: give --config-file, --weights and "
            "--opts as for the export of its network, or another --output"
        )


def _check(
    model: ZSKNet, vocabulary: Vocabulary, size: tuple[int, int], args: Any, origin: str
) -> None:
    run = read_look(args.output / FILES[args.format], args.format, FixedLook(model).outputs)
    words = dict(np.load(args.output / WORDS_FILE))
    parity = compare(model, run, words, vocabulary, size, args.check or sample_photos())
    say(HEADER)
    say(parity.row(origin, args.format, size))
    if min(parity.labels) < LEAST_EQUAL:
        raise UserError(
            f"the export labels only {min(parity.labels):.1%} of the pixels of a photo as the "
            "model does: do not use it, and report the model and the format"
        )
