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

from demo_files import find_photos, name_results, sample_photos, write_results  # noqa: E402

from zsk.data.images import read_image  # noqa: E402
from zsk.errors import USER_ERROR_EXIT_CODE, UserError, run_cli  # noqa: E402
from zsk.load import default_vocabulary  # noqa: E402
from zsk.segmenter import DEFAULT_CONFIG, ClassNames, Segmentation, Segmenter  # noqa: E402
from zsk.vocabulary import Vocabulary  # noqa: E402
from zsk.words import option_words  # noqa: E402

# one list for all sample photos: what is on them, and as many other things
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
    names_help = "separated by commas, or @FILE with a name per line; default: the configuration's"
    add("--class-names", metavar="NAMES", help=names_help)
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
    args = parse_arguments(argv)
    class_names: ClassNames | None = None
    if args.class_names is not None:
        class_names = option_words(args.class_names)
    photos: dict[Path, str] = {}
    missing = []
    for pattern in args.input:
        try:
            photos |= {photo: photo.stem for photo in find_photos(pattern)}
        except UserError as error:
            missing.append(error)
    if args.sample_photos:
        photos |= sample_photos()
    if not photos:
        raise missing[0]
    for error in missing:
        print(f"error: {error}", file=sys.stderr)
    output = Path(args.output)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output {output} cannot be made a folder: {error.strerror}") from error

    segmenter = Segmenter(args.config_file, args.weights, args.device, args.opts)
    if class_names is None:
        class_names = SAMPLE_NAMES if args.sample_photos else default_vocabulary(segmenter.cfg)
    vocabulary = segmenter.vocabulary(class_names)
    for word, trained in vocabulary.spellings:
        print(f'"{word}" counts as the trained class "{trained}"')
    if len(vocabulary) == 1:
        print(f'note: "{vocabulary.names[0]}" is the only name, so every pixel gets it')
    if segmenter.cfg.MODEL.CLIP.NAME.startswith("embedded"):
        print(EMBEDDED_NOTE)
    config = str(args.config_file or DEFAULT_CONFIG)
    origin = {"config": config, "weights": segmenter.cfg.MODEL.WEIGHTS}
    jobs = name_results(photos, output)
    failed = len(missing) + segment_all(segmenter, vocabulary, jobs, args.batch_size, origin)
    wanted = len(missing) + len(jobs)
    print(f"{wanted - failed} of {wanted} photos segmented, results in {output}")
    return USER_ERROR_EXIT_CODE if failed else 0


def segment_all(
    segmenter: Segmenter,
    vocabulary: Vocabulary,
    jobs: Mapping[Path, Path],
    batch_size: int,
    origin: Mapping[str, str],
) -> int:
    """Segment photos, write their results, print a line each; returns how many cannot be read.

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
                batch[photo] = number, read_image(photo)
            except UserError as error:
                print(f"error: {error}", file=sys.stderr)
                failed += 1
        found = segmenter.together([image for _, image in batch.values()], vocabulary)
        for (photo, (_, image)), segmentation in zip(batch.items(), found):
            write_results(jobs[photo], photo, image, segmentation, origin)
        seconds = (time.perf_counter() - start) / max(1, len(batch))
        for (photo, (number, _)), segmentation in zip(batch.items(), found):
            line = f"[{number}/{len(jobs)}] {photo.name}: {_largest(segmentation)}"
            print(f"{line} ({seconds:.1f} s)")
    return failed


def _largest(segmentation: Segmentation) -> str:
    """The three names with the most pixels, for the progress line."""
    shares = list(segmentation.shares().items())[:3]
    return ", ".join(f"{name} {share:.0%}" for name, share in shares if share > 0)


if __name__ == "__main__":
    run_cli(main)
