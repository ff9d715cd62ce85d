"""`zsk convert`: published weights under this project's names, with the configuration for them.

docs/weights.md lists what is recognised. Nothing in a file is executed or guessed: what it does not
show is printed as assumed.
"""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack
from pathlib import Path

from zsk.conversion.conversion import Conversion, Options, number
from zsk.conversion.files import check_outputs, missing_weights, outputs
from zsk.conversion.sources import convert
from zsk.data.splits import SPLITS, get_split
from zsk.engine.checkpoint import weights_in
from zsk.errors import UserError
from zsk.files import replacing, user_path
from zsk.known_weights import SUFFIXES
from zsk.safe_load import LEFTOVERS, read_file
from zsk.words import option_words


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Convert published weights; a configuration is written beside them.",
        epilog="""example:
  zsk convert zsseg_voc.pth zs_maskformer.pth
  zsk segment photo.jpg --words "cat, sofa" --config-file zs_maskformer.yaml""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", type=Path, metavar="SOURCE", help=".pth, .pkl or .safetensors, as published")
    add("target", type=Path, metavar="TARGET", help=".pth or .safetensors; a .yaml comes beside it")
    add("--clip", default="", metavar="FILE_OR_NAME", help="the CLIP that the weights belong to")
    trained_help = "classes that prompts were trained on: names, @FILE, or a split such as voc"
    add("--trained-on", metavar="NAMES_OR_SPLIT", help=trained_help)
    add("--names", metavar="FILE", type=Path, help="classes of a linear classifier, in its order")
    grid_help = "RES5_MULTI_GRID, such as 1,1,1; default: as published for the stem"
    add("--multi-grid", metavar="A,B,C", help=grid_help)
    add("--overwrite", action="store_true", help="replace files that exist")
    return parser.parse_args(argv)


def read_options(args: argparse.Namespace) -> Options:
    """Raises UserError for an option that cannot be."""
    if args.target.suffix not in SUFFIXES:
        raise UserError(f"TARGET {args.target} has to end in {' or '.join(SUFFIXES)}")
    check_outputs([args.target], _inputs(args), args.overwrite)
    if not args.target.absolute().parent.is_dir():
        raise UserError(f"TARGET {args.target}: its folder does not exist")
    grid = None
    if args.multi_grid is not None:
        parts = args.multi_grid.split(",")
        if len(parts) != 3 or not all(part.strip().isdecimal() for part in parts):
            raise UserError(f"--multi-grid is {args.multi_grid!r}: give three numbers, as 1,2,4")
        grid = [int(part) for part in parts]
    kind, colon, clip = args.clip.rpartition(":")
    if clip:
        file = user_path(clip)
        if os.path.isfile(file) or (colon and os.path.isdir(file)):
            clip = str(file.absolute())  # the configuration may be used from another folder
    names = None if args.names is None else option_words(f"@{args.names}")
    return Options(kind + colon + clip, _trained_on(args.trained_on), names, grid)


def _inputs(args: argparse.Namespace) -> list[Path]:
    clip = args.clip.rpartition(":")[2]
    trained = (args.trained_on or "").removeprefix("@")
    return [args.source, *map(user_path, filter(None, (clip, args.names, trained)))]


def _trained_on(text: str | None) -> list[str] | None:
    if text in SPLITS:
        seen = get_split(text).seen_only()
        return [*seen.names, *seen.prompt_names]
    return None if text is None else option_words(text)


def table(conversion: Conversion, missing: list[str]) -> str:
    """What became of the tensors, a line each."""
    lines = [f"recognised: {conversion.source}"]
    lines.append(f"converted {len(conversion.weights):5}")
    for key, prompts in conversion.prompts.items():
        before, after = number(len(prompts.prefix), "vector"), len(prompts.suffix) - 1
        lines.append(f"prompts         {key}: {before} before, {after} after the name, and the dot")
    for reason, names in conversion.dropped.items():
        lines.append(f"dropped   {len(names):5}  {reason}")
    rest = "  these are trained from their start" if missing else ""
    lines.append(f"missing   {len(missing):5}{rest}")
    lines += [f"assumed: {sentence}" for sentence in conversion.assumed]
    if conversion.licence:
        lines.append(f"licence: {conversion.licence}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    options = read_options(args)
    print(f"reading {args.source}", flush=True)  # which may take a while
    state = weights_in(read_file(args.source, also=LEFTOVERS), str(args.source))
    try:
        conversion = convert(state, options)
        missing = missing_weights(conversion) if conversion.config else []
        lacking = [name for name in missing if name.startswith(conversion.complete)]
        if lacking:
            raise UserError(
                f"it lacks {number(len(lacking), 'tensor')} of {conversion.source}, such as "
                f"{lacking[0]}: the file is not complete"
            )
    except UserError as error:
        raise UserError(f"weights file {args.source} is not converted: {error}") from error
    files = outputs(conversion, args.target)
    check_outputs(files, _inputs(args), args.overwrite)
    with ExitStack() as all_or_none:  # weights and configuration belong together
        for file, save in files.items():
            unfinished = all_or_none.enter_context(replacing(file))
            try:
                save(unfinished)
            except UserError as error:
                raise UserError(str(error).replace(unfinished.name, file.name)) from error
    print(table(conversion, missing))
    print(f"written: {', '.join(map(str, files))}")
