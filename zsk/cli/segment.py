"""`zsk segment`: photos segmented with words of the user's own choice."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from zsk.cli.options import add_asking_options, add_model_options, asked, segmenter_of, share
from zsk.cli.photo_files import collect_photos, sample_words
from zsk.cli.results import name_results, prepare_output
from zsk.cli.said_logs import said_logs
from zsk.data.images import read_image
from zsk.drawing.overlay import OPACITY
from zsk.errors import USER_ERROR_EXIT_CODE, UserError, lacks_memory
from zsk.files import user_path
from zsk.load import default_vocabulary
from zsk.look_cache import LookCache
from zsk.segmentation import Segmentation
from zsk.segmenter import ClassNames, Segmenter
from zsk.terminal import say
from zsk.vocabulary import Vocabulary
from zsk.words import option_words

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
    add_asking_options(parser)
    output_help = "default: output/segment (demo/demo.py: output/demo)"
    add("--output", default="output/segment", metavar="DIR", help=output_help)
    add("--overwrite", action="store_true", help="replace results of an earlier run")
    add("--coco", action="store_true", help="also write the segments in the format of COCO")
    opacity_help = "of the colours in the overlays; default: %(default)s"
    add("--opacity", type=share, default=OPACITY, metavar="0-1", help=opacity_help)
    add("--dim-below", type=share, default=0.0, metavar="0-1", help="hatch what is less sure")
    cache_help = "keep what the networks see there, for other words later"
    add("--cache", metavar="DIR", help=cache_help)
    add("--batch-size", type=int, default=1, metavar="N", help="photos run together; default: 1")
    add_model_options(parser)
    arguments = parser.parse_intermixed_args(argv)
    arguments.photos += arguments.input
    if not arguments.photos and not arguments.sample_photos:
        parser.error("give photos, or --sample-photos")
    if arguments.batch_size < 1:
        parser.error(f"--batch-size is {arguments.batch_size}: give at least 1")
    return arguments


@said_logs()
def main(argv: Sequence[str] | None = None) -> int:
    """Segment all photos; 2 when one of them could not be read or its results not written."""
    args = parse_arguments(argv)
    options, class_names = asked(args), None
    if args.class_names is not None:
        class_names = option_words(args.class_names)
        names = Vocabulary.from_words(class_names)  # a mistake is told before the model is loaded
        if options["background"] is not None:
            names.with_last(options["background"])
    photos, missing = collect_photos(args.photos, args.sample_photos)
    output = user_path(args.output)
    jobs = name_results(photos, output)
    prepare_output(output, jobs.values(), args.overwrite)

    segmenter = segmenter_of(args)
    looks = segmenter if args.cache is None else LookCache(segmenter, user_path(args.cache))
    vocabularies = choose_vocabularies(segmenter, jobs, class_names, args.sample_photos)
    for vocabulary in dict.fromkeys(vocabularies.values()):
        for note in segmenter.with_background(vocabulary, options["background"]).notes():
            say(note)
        if len(vocabulary) == 1 and not args.background and not args.threshold:
            say(
                f'note: "{vocabulary.names[0]}" is the only name, so every pixel gets it: give '
                "--background with words for the rest"
            )
    model = segmenter.cfg.MODEL
    names_by_embedded = model.ENSEMBLE.MODE != "head" and model.CLIP.NAME.startswith("embedded")
    if args.config_file is None and names_by_embedded:
        say(EMBEDDED_NOTE)
    drawn = {"coco": args.coco, "opacity": args.opacity, "dim_below": args.dim_below}
    failed = missing
    numbered = {
        photo: (f"[{number}/{len(jobs)}] {_title(photo, target)}", target)
        for number, (photo, target) in enumerate(jobs.items(), 1)
    }
    for names, group in batches_of(vocabularies, args.batch_size):
        failed += segment_batch(looks, names, options, {p: numbered[p] for p in group}, drawn)
    wanted = missing + len(jobs)
    say(f"{wanted - failed} of {wanted} photos segmented, results in {output}")
    return USER_ERROR_EXIT_CODE if failed else 0


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


def batches_of(
    vocabularies: Mapping[Path, Vocabulary], size: int
) -> Iterator[tuple[Vocabulary, list[Path]]]:
    """Photos with the same names, `size` at most together."""
    for names, group in groupby(vocabularies, vocabularies.__getitem__):
        photos = list(group)
        for first in range(0, len(photos), size):
            yield names, photos[first : first + size]


def segment_batch(
    segmenter: Segmenter | LookCache,
    vocabulary: Vocabulary,
    options: Mapping[str, Any],
    jobs: Mapping[Path, tuple[str, Path]],
    drawn: Mapping[str, Any],
) -> int:
    """Segment photos, write their results, print a line each; returns how many were not done.

    After a lack of memory the photos are segmented one by one.

    Args:
        options: those of `Photo.segment`.
        jobs: photo → its title in the lines, and the path of its results without their endings.
        drawn: options of `Segmentation.save`.
    """
    start, failed = time.perf_counter(), 0
    images = {}
    for photo in jobs:
        try:
            images[photo] = read_image(photo)
        except UserError as error:
            failed += _failure(error)
    found = []
    try:
        found = segmenter.together(list(images.values()), vocabulary, **options)
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
    # not in the handler above, where the traceback holds the tensors
    if len(found) < len(images) == 1:
        ((photo, image),) = images.items()
        failed += _failure(_too_large(photo, image))
    elif len(found) < len(images):
        alone = ({photo: jobs[photo]} for photo in images)
        same = segmenter, vocabulary, options
        return failed + sum(segment_batch(*same, job, drawn) for job in alone)
    seconds = (time.perf_counter() - start) / max(1, len(images))
    for photo, segmentation in zip(images, found):
        title, target = jobs[photo]
        try:
            segmentation.save(target.parent, target.name, {"image": str(photo)}, **drawn)
        except UserError as error:
            failed += _failure(error)
        except (MemoryError, RuntimeError) as error:
            if not lacks_memory(error):
                raise
            failed += _failure(_too_large(photo, images[photo]))
        else:
            say(f"{title}: {_largest(segmentation)} ({seconds:.1f} s)")
    return failed


def _failure(error: UserError) -> int:
    """Say what happened to one photo; 1, to be added up."""
    say(f"error: {error}", error=True)
    return 1


def _too_large(photo: Path, image: np.ndarray) -> UserError:
    size = f"{image.shape[1]}x{image.shape[0]} pixels"
    return UserError(f"{photo} ({size}) needs more memory: scale it down")


def _title(photo: Path, target: Path) -> str:
    """The photo's name, and that of its results where another photo has the plain one."""
    return photo.name if target.name == photo.stem else f"{photo.name} ({target.name})"


def _largest(segmentation: Segmentation) -> str:
    """The three names with the most pixels, for the progress line."""
    shares = list(segmentation.shares().items())[:3]
    return ", ".join(f"{name} {share:.0%}" for name, share in shares if share > 0)
