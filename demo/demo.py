"""Segment photos with names of your own choice: no data set, no display, no GPU needed.

python demo/demo.py --input photo.jpg --class-names "cat, sofa, wall"
python demo/demo.py --sample-photos
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

# a checkout works as it is, without being installed
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demo_files import (  # noqa: E402
    find_photos,
    name_results,
    read_ahead,
    sample_photos,
    write_results,
)

from zsk.errors import USER_ERROR_EXIT_CODE, UserError, run_cli  # noqa: E402
from zsk.load import default_vocabulary  # noqa: E402
from zsk.segmenter import DEFAULT_CONFIG, Segmentation, Segmenter  # noqa: E402
from zsk.vocabulary import Vocabulary  # noqa: E402

# one list for all sample photos: what they show, and as many things that they do not
SAMPLE_NAMES = (
    "cat, person, motorcycle, cup, saucer, spoon, table, bench, shelf, floor, flag, helmet, "
    "dog, horse, bus, bicycle, sofa, tree, grass, sky"
)
EMBEDDED_NOTE = (
    "note: the embedded model needs no download and is weak; for the real thing fetch CLIP "
    "(python -c \"import clip; clip.load('ViT-B/16')\"), train with a configuration that uses it, "
    "and give both with --config-file and --weights"
)


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Segment photos with names of your own choice.",
        epilog="Exit code: 0 when all photos were segmented, 2 when something was wrong.",
    )
    add = parser.add_argument
    add("--input", nargs="+", default=[], metavar="PATH", help="photos, folders or quoted globs")
    add("--sample-photos", action="store_true", help="the photos that come with scikit-image")
    add("--class-names", metavar="NAMES", help="separated by commas; default: the configuration's")
    add("--output", default="output/demo", metavar="DIR", help="default: %(default)s")
    add("--config-file", metavar="FILE", help="default: the small embedded model")
    add("--weights", metavar="FILE", help="default: those that the configuration names")
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
    """Segment all photos; 2 when one of them could not be read."""
    arguments = parse_arguments(argv)
    samples = sample_photos() if arguments.sample_photos else {}
    photos, failed = gather_photos(arguments.input, alone=not samples)
    output = _make_folder(arguments.output)
    segmenter = Segmenter(
        arguments.config_file, arguments.weights, arguments.device, arguments.opts
    )
    if arguments.class_names is not None:
        class_names = arguments.class_names
    else:
        class_names = SAMPLE_NAMES if samples else default_vocabulary(segmenter.cfg)
    if segmenter.cfg.MODEL.CLIP.NAME.startswith("embedded"):
        print(EMBEDDED_NOTE)
    run = {
        "config": str(arguments.config_file or DEFAULT_CONFIG),
        "weights": segmenter.cfg.MODEL.WEIGHTS,
    }
    jobs = name_results({**{photo: photo.stem for photo in photos}, **samples}, output)
    wanted = len(jobs) + failed
    failed += segment_all(segmenter, class_names, jobs, arguments.batch_size, run)
    print(f"{wanted - failed} of {wanted} photos segmented, results in {output}")
    return USER_ERROR_EXIT_CODE if failed else 0


def segment_all(
    segmenter: Segmenter,
    class_names: str | Vocabulary,
    jobs: Mapping[Path, Path],
    batch_size: int,
    run: Mapping[str, str],
) -> int:
    """Segment photos, write their results, print a line each; how many could not be read.

    The seconds of a line are the batch's for each of its photos.

    Args:
        jobs: photo → path of its results without their endings.
        batch_size: photos that go through the model together.
        run: what else the JSON files say.
    """
    number = failed = 0
    start = time.perf_counter()
    for batch in read_ahead(jobs, batch_size):
        images = {photo: loaded for photo, loaded in batch if not isinstance(loaded, UserError)}
        found = dict(zip(images, segmenter.together(list(images.values()), class_names)))
        lines = []
        for photo, loaded in batch:
            number += 1
            if isinstance(loaded, UserError):
                failed += 1
                print(f"error: {loaded}", file=sys.stderr)
                continue
            write_results(jobs[photo], photo, loaded, found[photo], run)
            lines.append(f"[{number}/{len(jobs)}] {photo.name}: {_largest(found[photo])}")
        seconds, start = (time.perf_counter() - start) / len(batch), time.perf_counter()
        for line in lines:
            print(f"{line} ({seconds:.1f} s)")
        del batch, images, found, loaded  # or the next ones are read and labelled beside them
    return failed


def gather_photos(patterns: Sequence[str], *, alone: bool) -> tuple[list[Path], int]:
    """The photos behind all patterns, and how many patterns had none: each is an error line.

    Raises:
        UserError: there is no photo at all, and `alone` says that there are no others.
    """
    photos: list[Path] = []
    mistakes = []
    for pattern in patterns:
        try:
            photos += find_photos([pattern])
        except UserError as error:
            mistakes.append(error)
    if mistakes and not photos and alone:
        raise mistakes[0]
    for mistake in mistakes:
        print(f"error: {mistake}", file=sys.stderr)
    return photos, len(mistakes)


def _make_folder(name: str) -> Path:
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output {name} cannot be made a folder: {error.strerror}") from error
    return folder


def _largest(segmentation: Segmentation) -> str:
    """The three names with the most pixels, for the progress line."""
    shares = list(segmentation.shares().items())[:3]
    return ", ".join(f"{name} {share:.0%}" for name, share in shares if share > 0)


if __name__ == "__main__":
    run_cli(main)
