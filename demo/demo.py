"""Segment photos with names of your own choice: no data set, no display, no GPU needed.

python demo/demo.py --input photo.jpg --class-names "cat, sofa, wall"
python demo/demo.py --sample-photos
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

# a checkout works as it is, without being installed
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import zsk  # noqa: F401, E402  isort: skip  (first: Ctrl-C ends it quietly from here on)
import numpy as np  # noqa: E402
from demo_files import (  # noqa: E402
    find_photos,
    is_result,
    name_results,
    prepare_output,
    sample_photos,
    sample_words,
    write_results,
)

from zsk.data.images import read_image  # noqa: E402
from zsk.errors import USER_ERROR_EXIT_CODE, UserError, run_cli  # noqa: E402
from zsk.files import user_path  # noqa: E402
from zsk.known_weights import by_name  # noqa: E402
from zsk.load import default_vocabulary  # noqa: E402
from zsk.segmenter import DEFAULT_CONFIG, ClassNames, Segmentation, Segmenter  # noqa: E402
from zsk.terminal import say  # noqa: E402
from zsk.vocabulary import Vocabulary  # noqa: E402
from zsk.words import option_words  # noqa: E402

EMBEDDED_NOTE = (
    "note: the embedded model needs no download and is weak; for the real thing fetch CLIP "
    "(python -c \"import clip; clip.load('ViT-B/16')\") and give --config-file "
    "configs/training_free/clip_b16.yaml, or a trained model with --config-file and --weights"
)


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Segment photos with names of your own choice.",
        epilog="Exit code: 0 when all photos were segmented, 2 when something was wrong.",
    )
    add = parser.add_argument
    add("--input", nargs="+", default=[], metavar="PATH", help="photos, folders or quoted globs")
    add("--sample-photos", action="store_true", help="the photos that come with scikit-image")
    names_help = "separated by commas, or @FILE with a name per line; default: the configuration's"
    add("--class-names", metavar="NAMES", help=names_help)
    add("--output", default="output/demo", metavar="DIR", help="default: %(default)s")
    add("--overwrite", action="store_true", help="replace results of an earlier run")
    add("--config-file", metavar="FILE", help="default: that of --weights, or the embedded model")
    weights_help = "file, name (docs/weights.md) or hf://…; default: those of the configuration"
    add("--weights", metavar="NAME", help=weights_help)
    add("--device", help="cpu, cuda, cuda:1; default: the GPU if there is one")
    add("--batch-size", type=int, default=1, metavar="N", help="photos run together; default: 1")
    add("--opts", nargs="+", default=[], metavar="KEY VALUE", help="configuration keys to change")
    arguments = parser.parse_args(argv)
    if not arguments.input and not arguments.sample_photos:
        parser.error("give photos with --input, or --sample-photos")
    if arguments.batch_size < 1:
        parser.error(f"--batch-size is {arguments.batch_size}: give at least 1")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Segment all photos; 2 when one of them could not be read or its results not written."""
    args = parse_arguments(argv)
    class_names: ClassNames | None = None
    if args.class_names is not None:
        class_names = option_words(args.class_names)
    # of Pillow's, about parts of damaged files: the photo is read, or refused with a line
    warnings.filterwarnings("ignore", module=r"PIL\.")
    photos, missing = collect_photos(args.input, args.sample_photos)
    output = user_path(args.output)
    jobs = name_results(photos, output)
    prepare_output(output, jobs.values(), args.overwrite)

    config_file, weights = by_name(args.config_file, args.weights)
    segmenter = Segmenter(config_file, weights, args.device, args.opts)
    vocabularies = choose_vocabularies(segmenter, jobs, class_names, args.sample_photos)
    for vocabulary in dict.fromkeys(vocabularies.values()):
        for word, trained in vocabulary.spellings:
            say(f'"{word}" counts as the trained class "{trained}"')
        if len(vocabulary) == 1:
            say(f'note: "{vocabulary.names[0]}" is the only name, so every pixel gets it')
    names_by_clip = segmenter.cfg.MODEL.ENSEMBLE.MODE != "head"
    if names_by_clip and segmenter.cfg.MODEL.CLIP.NAME.startswith("embedded"):
        say(EMBEDDED_NOTE)
    config = str(config_file or DEFAULT_CONFIG)
    model = segmenter.cfg.MODEL
    origin = {"config": config, "weights": model.WEIGHTS, "clip": model.CLIP.NAME}
    origin |= {"opts": args.opts}
    failed = missing + segment_all(segmenter, vocabularies, jobs, args.batch_size, origin)
    wanted = missing + len(jobs)
    say(f"{wanted - failed} of {wanted} photos segmented, results in {output}")
    return USER_ERROR_EXIT_CODE if failed else 0


def collect_photos(patterns: Sequence[str], samples: bool) -> tuple[dict[Path, str], int]:
    """Photo → stem of its results, and how many patterns lead to no photo (a line each).

    Raises:
        UserError: there is no photo at all.
    """
    photos: dict[Path, str] = {}
    missing = []
    for pattern in patterns:
        try:
            photos |= {photo: photo.stem for photo in find_photos(pattern)}
        except UserError as error:
            missing.append(error)
    results = [photo for photo in photos if is_result(photo)]
    for result in results:
        del photos[result]
    if samples:
        photos |= sample_photos()
    if not photos and missing:
        raise missing[0]
    if not photos:
        raise UserError(f"--input holds only results of an earlier run, such as {results[0]}")
    for error in missing:
        say(f"error: {error}", error=True)
    if results:
        note = f"note: {len(results)} files are results of an earlier run and are left out"
        say(f"{note}, such as {results[0]}", error=True)
    return photos, len(missing)


def choose_vocabularies(
    segmenter: Segmenter, photos: Iterable[Path], class_names: ClassNames | None, samples: bool
) -> dict[Path, Vocabulary]:
    """Photo → the names given, or else a sample photo's own, or else the configuration's."""
    if class_names is not None:
        return dict.fromkeys(photos, segmenter.vocabulary(class_names))
    words = sample_words() if samples else {}
    chosen = {photo: segmenter.vocabulary(words[photo]) for photo in photos if photo in words}
    others = [photo for photo in photos if photo not in words]
    if others:
        chosen |= dict.fromkeys(others, segmenter.vocabulary(default_vocabulary(segmenter.cfg)))
    return chosen


def segment_all(
    segmenter: Segmenter,
    vocabularies: Mapping[Path, Vocabulary],
    jobs: Mapping[Path, Path],
    batch_size: int,
    origin: Mapping[str, Any],
) -> int:
    """Segment photos, write their results, print a line each; returns how many were not done.

    Args:
        vocabularies: photo → its names.
        jobs: photo → path of its results without their endings.
        batch_size: photos that go through the model together.
        origin: further entries of the JSON files.
    """
    batches = []
    for names, group in groupby(enumerate(jobs, 1), lambda numbered: vocabularies[numbered[1]]):
        same = list(group)
        batches += [(names, same[k : k + batch_size]) for k in range(0, len(same), batch_size)]
    failed = 0
    for vocabulary, numbered in batches:
        start = time.perf_counter()
        batch = {}
        for number, photo in numbered:
            try:
                batch[photo] = f"[{number}/{len(jobs)}] {photo.name}", read_image(photo)
            except UserError as error:
                failed += _failure(error)
        images = [image for _, image in batch.values()]
        found = _within_memory(segmenter, images, vocabulary)
        seconds = (time.perf_counter() - start) / max(1, len(batch))
        for (photo, (line, image)), segmentation in zip(batch.items(), found):
            try:
                if segmentation is None:
                    size = f"{image.shape[1]}x{image.shape[0]} pixels"
                    raise UserError(f"{photo} ({size}) needs more memory: scale it down")
                write_results(jobs[photo], photo, image, segmentation, origin)
            except UserError as error:
                failed += _failure(error)
            else:
                say(f"{line}: {_largest(segmentation)} ({seconds:.1f} s)")
    return failed


def _within_memory(
    segmenter: Segmenter, images: Sequence[np.ndarray], vocabulary: Vocabulary
) -> list[Segmentation | None]:
    """The segmentations; after a lack of memory one by one, and None for what is still too much."""
    try:
        return list(segmenter.together(images, vocabulary))
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):  # torch's, CPU and GPU
            raise
    if len(images) == 1:
        return [None]
    return [one for image in images for one in _within_memory(segmenter, [image], vocabulary)]


def _failure(error: UserError) -> int:
    """Say what happened to one photo; 1, to be added up."""
    say(f"error: {error}", error=True)
    return 1


def _largest(segmentation: Segmentation) -> str:
    """The three names with the most pixels, for the progress line."""
    shares = list(segmentation.shares().items())[:3]
    return ", ".join(f"{name} {share:.0%}" for name, share in shares if share > 0)


class SaidLogs(logging.Handler):
    """Says what the package logs, in plain lines: which weights were read, and warnings."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        # of each call; the demo says once which words count as trained classes
        self.addFilter(lambda record: record.name != "zsk.segmenter")

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage(), error=record.levelno >= logging.WARNING)


if __name__ == "__main__":
    logging.getLogger("zsk").setLevel(logging.INFO)
    logging.getLogger("zsk").addHandler(SaidLogs())
    run_cli(main)
