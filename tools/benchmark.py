#!/usr/bin/env python
"""Measure speed, memory and arithmetic side by side; write Markdown, JSON and plots.

python tools/benchmark.py
python tools/benchmark.py --output docs/results
python tools/benchmark.py --quick

The reference (crop mode as we understand the published program), our crop mode and one-pass; the
two proposal heads; growth curves. Every variant runs in a process of its own, in turns with the
others. On a machine that does nothing else, two cores take about 20 minutes. On a GPU, where there
is one, half precision is measured as well (written for it, but not tried on one yet). A stopped run
goes on where it was when the same command is given again, with the same code.
"""

import argparse
import datetime
import importlib.util
import sys
import tempfile
from pathlib import Path

# a checkout works as it is, without being installed
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import zsk  # noqa: F401, E402  isort: skip  (first: makes Detectron2 importable)
import torch  # noqa: E402
from tqdm import tqdm  # noqa: E402

from zsk.benchmark.speed_cases import Extent, Point, plan, trained_point  # noqa: E402
from zsk.benchmark.speed_device import device_name  # noqa: E402
from zsk.benchmark.speed_pages import PAGE_FILE, write_page  # noqa: E402
from zsk.benchmark.speed_plots import draw_plots  # noqa: E402
from zsk.benchmark.speed_results import Measurement, Partial, write_results  # noqa: E402
from zsk.benchmark.speed_runs import Bench, Process, WorkerProcess  # noqa: E402
from zsk.benchmark.speed_setup import QUICK, clip_weights  # noqa: E402
from zsk.benchmark.speed_worker import LocalProcess  # noqa: E402
from zsk.errors import UserError, run_cli  # noqa: E402
from zsk.evaluation.provenance import git_revision  # noqa: E402

QUICK_NOTE = "**A quick run of tiny models in one process: the numbers mean nothing.**"
CLIP_NOTES = {True: "CLIP's weights are random.", False: "CLIP's weights are the published ones."}
EMBEDDED = "configs/embedded/zsk_lite2.yaml"
SAMPLES = ("chelsea.png", "coffee.png")  # in the scikit-image package


def sample_photos() -> list[str]:
    """Paths of the photos inside the scikit-image package. Raises UserError without it."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise UserError("the trained model is measured on scikit-image's photos: give --photos")
    return [str(Path(spec.origin).parent / "data" / name) for name in SAMPLES]


def trained_points(args: argparse.Namespace, extent: Extent) -> list[Point]:
    """The points of --trained. Raises UserError for files that are not there."""
    config = args.trained or ("" if args.quick else EMBEDDED)
    if not config:
        return []
    photos = [existing(photo) for photo in args.photos or sample_photos()]
    weights = existing(args.weights) if args.weights else ""
    return [trained_point(existing(config), weights, photos, extent.repeats)]


def existing(file: str) -> str:
    """The absolute path of a file, from here or from the checkout. Raises UserError."""
    for folder in (Path.cwd(), ROOT):
        if (folder / file).is_file():
            return str(folder / file)
    raise UserError(f"{file} does not exist: give files with --trained, --weights and --photos")


def measure(points: list[Point], partial: Partial, folder: Path, local: bool) -> list[Measurement]:
    """All points, those of a stopped run included, with a line of progress.

    `local`: all in this process, for the sake of --quick.
    """
    date = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    log = folder / "speed.log"
    results: list[Measurement] = []
    with tempfile.TemporaryDirectory() as cache:

        def start() -> Process:
            return LocalProcess() if local else WorkerProcess(log, Path(cache))

        with Bench(start, git_revision(ROOT), date) as bench, tqdm(points, unit="point") as bar:
            for point in bar:
                found = partial.get(point.key())
                if found is None:
                    found = bench.measure(point, bar.set_description)
                    partial.add(point.key(), found)
                results += found
    return results


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the speed benchmark.")
    parser.add_argument("--quick", action="store_true", help="tiny models: does everything work?")
    parser.add_argument("--output", default="output/benchmark/speed", help="default: %(default)s")
    parser.add_argument(
        "--trained",
        metavar="CONFIG",
        help=f"a trained model, to see what pruning saves (default: {EMBEDDED}; --quick: none)",
    )
    parser.add_argument("--weights", default="", help="its checkpoint (default: MODEL.WEIGHTS)")
    parser.add_argument("--photos", nargs="+", help="for it (default: scikit-image's)")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    extent = QUICK if args.quick else Extent()
    trained = trained_points(args, extent)
    output = Path(args.output)
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / "speed.log").write_text("")
    except OSError as error:
        raise UserError(f"{output} cannot be written ({error.strerror}): give a folder") from error
    partial = Partial(output, git_revision(ROOT), device_name())
    # in one place always: a run that goes on knows its points by the weights' path, too
    clip, random_clip = clip_weights(args.quick, output)
    points = plan(extent, clip, trained, half=torch.cuda.is_available())
    results = measure(points, partial, output, local=args.quick)
    write_results(results, output)
    write_page(results, QUICK_NOTE if args.quick else CLIP_NOTES[random_clip], output)
    draw_plots(results, output)
    partial.remove()
    if random_clip:
        Path(clip).unlink()
    print(output / PAGE_FILE)


if __name__ == "__main__":
    run_cli(main)
