"""`zsk segment`: photos segmented with words of the user's own choice."""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zsk.cli.photo_files import collect_photos
from zsk.cli.results import name_results, prepare_output, write_results
from zsk.cli.said_logs import said_logs
from zsk.data.images import read_image
from zsk.errors import USER_ERROR_EXIT_CODE, UserError
from zsk.files import user_path
from zsk.known_weights import by_name
from zsk.load import default_vocabulary
from zsk.segmenter import DEFAULT_CONFIG, ClassNames, Segmentation, Segmenter
from zsk.terminal import say
from zsk.vocabulary import Vocabulary
from zsk.words import option_words

# one list for all sample photos: what is on them, and as many other things
SAMPLE_NAMES = (
    "cat, person, motorcycle, cup, saucer, spoon, table, bench, shelf, floor, flag, helmet, "
    "dog, horse, bus, bicycle, sofa, tree, grass, sky"
)
EMBEDDED_NOTE = (
    "note: the embedded model needs no download and is weak; for the real thing fetch CLIP "
    "(python -c \"import clip; clip.load('ViT-B/16')\") and give --config-file "
    "configs/training_free/clip_b16.yaml, or a trained model with --config-file and --weights"
)


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Segment photos with words of your own choice.",
        epilog='example: zsk segment photo.jpg folder/ --words "cat, sofa, wall" --output results\n'
        "exit code: 0 when all photos were segmented, 2 when something was wrong",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("photos", nargs="*", metavar="PHOTO", help="photos, folders or quoted globs")
    add("--input", nargs="+", default=[], metavar="PHOTO", help="the same as an option")
    add("--sample-photos", action="store_true", help="the photos that come with scikit-image")
    words_help = "separated by commas, or @FILE with one per line; default: the configuration's"
    add("--words", "--class-names", dest="class_names", metavar="WORDS", help=words_help)
    add("--output", default="output/segment", metavar="DIR", help="default: %(default)s")
    add("--overwrite", action="store_true", help="replace results of an earlier run")
    add("--config-file", metavar="FILE", help="default: that of --weights, or the embedded model")
    weights_help = "file, name (docs/weights.md) or hf://…; default: those of the configuration"
    add("--weights", metavar="NAME", help=weights_help)
    add("--device", help="cpu, cuda, cuda:1; default: the GPU if there is one")
    add("--batch-size", type=int, default=1, metavar="N", help="photos run together; default: 1")
    add("--opts", nargs="+", default=[], metavar="KEY VALUE", help="configuration keys to change")
    arguments = parser.parse_intermixed_args(argv)
    arguments.photos += arguments.input
    if not arguments.photos and not arguments.sample_photos:
        parser.error("give photos, or --sample-photos")
    if arguments.batch_size < 1:
        parser.error(f"--batch-size is {arguments.batch_size}: give at least 1")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Segment all photos; 2 when one of them could not be read or its results not written."""
    args = parse_arguments(argv)
    with said_logs():
        return _segment(args)


def _segment(args: argparse.Namespace) -> int:
    class_names: ClassNames | None = None
    if args.class_names is not None:
        class_names = option_words(args.class_names)
    # of Pillow's, about parts of damaged files: the photo is read, or refused with a line
    warnings.filterwarnings("ignore", module=r"PIL\.")
    photos, missing = collect_photos(args.photos, args.sample_photos)
    output = user_path(args.output)
    jobs = name_results(photos, output)
    prepare_output(output, jobs.values(), args.overwrite)

    config_file, weights = by_name(args.config_file, args.weights)
    segmenter = Segmenter(config_file, weights, args.device, args.opts)
    if class_names is None:
        class_names = SAMPLE_NAMES if args.sample_photos else default_vocabulary(segmenter.cfg)
    vocabulary = segmenter.vocabulary(class_names)
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
    failed = missing + segment_all(segmenter, vocabulary, jobs, args.batch_size, origin)
    wanted = missing + len(jobs)
    say(f"{wanted - failed} of {wanted} photos segmented, results in {output}")
    return USER_ERROR_EXIT_CODE if failed else 0


def segment_all(
    segmenter: Segmenter,
    vocabulary: Vocabulary,
    jobs: Mapping[Path, Path],
    batch_size: int,
    origin: Mapping[str, Any],
) -> int:
    """Segment photos, write their results, print a line each; returns how many were not done.

    Args:
        jobs: photo → path of its results without their endings.
        batch_size: photos that go through the model together.
        origin: further entries of the JSON files.
    """
    numbered = list(enumerate(jobs, 1))
    failed = 0
    for first in range(0, len(jobs), batch_size):
        start = time.perf_counter()
        batch = {}
        for number, photo in numbered[first : first + batch_size]:
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
