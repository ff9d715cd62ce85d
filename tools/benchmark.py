#!/usr/bin/env python
"""Measure speed, memory and arithmetic side by side; write Markdown, JSON and plots.

python tools/benchmark.py
python tools/benchmark.py --output docs/results
python tools/benchmark.py --only inference batches training
python tools/benchmark.py --only trained --trained RUN/config.yaml \\
    --weights RUN/model_final.pth --photos datasets/synthetic/val/photos
python tools/benchmark.py --quick

The reference (crop mode as we understand the published program), our crop mode and one-pass; the
two proposal heads; growth curves. Every variant runs in a process of its own, in turns with the
others. On a machine that does nothing else, two cores take 9 to 18 minutes. On a GPU, where there
is one, half precision is measured as well. A case that fails is reported at the end, and costs no
other one its place. A stopped run, or one with failures, goes on where it was when the same command
is given again, with the same code.
"""

import argparse
import datetime
import sys
import tempfile
from pathlib import Path

# a checkout works as it is, without being installed
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import zsk  # noqa: F401, E402  isort: skip  (first: makes Detectron2 importable)
import torch  # noqa: E402
from tqdm import tqdm  # noqa: E402

from zsk.benchmark.speed_cases import Point, Turns  # noqa: E402
from zsk.benchmark.speed_device import device_name  # noqa: E402
from zsk.benchmark.speed_pages import PAGE_FILE, write_page  # noqa: E402
from zsk.benchmark.speed_plan import GROUPS, Extent, plan, trained_point  # noqa: E402
from zsk.benchmark.speed_plots import draw_plots  # noqa: E402
from zsk.benchmark.speed_process import LocalProcess, WorkerProcess  # noqa: E402
from zsk.benchmark.speed_results import Measurement, Partial, write_results  # noqa: E402
from zsk.benchmark.speed_runs import Bench, Failure, Process  # noqa: E402
from zsk.benchmark.speed_setup import (  # noqa: E402
    EMBEDDED,
    QUICK,
    clip_weights,
    existing_file,
    photo_files,
)
from zsk.errors import UserError, run_cli  # noqa: E402
from zsk.evaluation.provenance import git_revision  # noqa: E402

QUICK_NOTE = "**A quick run of tiny models in one process: the numbers mean nothing.**"
CLIP_NOTES = {True: "CLIP's weights are random.", False: "CLIP's weights are the published ones."}


def groups_to_measure(args: argparse.Namespace) -> list[str]:
    """--only, or all: batches only where they take no minutes."""
    if args.only:
        return args.only
    fast = args.quick or torch.cuda.is_available()
    return [group for group in GROUPS if group != "batches" or fast]


def check_trained(args: argparse.Namespace, groups: list[str]) -> None:
    """Raises UserError for options that nothing would read, and for nothing to measure."""
    known = bool(args.trained) or not args.quick
    if groups == ["trained"] and not known:
        raise UserError("--quick has no trained model of its own: name one with --trained")
    given = [n for n in ("trained", "weights", "photos", "opts") if getattr(args, n)]
    if given and not ("trained" in groups and known):
        raise UserError(
            f"--{given[0]} is for the trained model, which is not measured here: "
            + ("name it with --trained" if "trained" in groups else "add trained to --only")
        )


def trained_points(args: argparse.Namespace, extent: Extent) -> list[Point]:
    """The points of --trained. Raises UserError for files that are not there."""
    config = args.trained or ("" if args.quick else EMBEDDED)
    if not config:
        return []
    opts = [*(["MODEL.WEIGHTS", existing_file(args.weights)] if args.weights else []), *args.opts]
    return [trained_point(existing_file(config), opts, photo_files(args.photos), extent)]


def measure(
    planned: list[Turns], partial: Partial, folder: Path, local: bool
) -> tuple[list[Measurement], list[Failure]]:
    """All points, those of a stopped run included, with a line of progress.

    `local`: all in this process, for the sake of --quick.
    """
    date = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    log = folder / "speed.log"
    results: list[Measurement] = []
    failures: list[Failure] = []
    with tempfile.TemporaryDirectory() as cache:

        def start() -> Process:
            return LocalProcess() if local else WorkerProcess(log, Path(cache))

        with Bench(start, git_revision(ROOT), date) as bench, tqdm(planned, unit="table") as bar:
            for turns in bar:
                kept = [partial.get(point.key()) for point in turns.points]
                found = [points for points in kept if points is not None]
                if len(found) < len(kept):
                    found, failed = bench.measure(turns, bar.set_description)
                    failures += failed
                    for failure in failed:
                        bar.write(failure.sentence(), file=sys.stderr)
                    bad = {failure.point for failure in failed}
                    for point, points in zip(turns.points, found):
                        if str(point) not in bad:
                            partial.add(point.key(), points)
                else:
                    for point, points in zip(turns.points, found):
                        bench.remember(point, points)
                results += [measurement for points in found for measurement in points]
    return results, failures


def parse_args() -> argparse.Namespace:
    groups = "\n".join(f"  {name:10} {what}" for name, what in GROUPS.items())
    parser = argparse.ArgumentParser(
        description="Run the speed benchmark.",
        epilog=f"what --only takes:\n{groups}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="tiny models: does everything work?")
    parser.add_argument("--output", default="output/benchmark/speed", help="default: %(default)s")
    parser.add_argument(
        "--only", nargs="+", choices=list(GROUPS), metavar="GROUP", help="measure these alone"
    )
    parser.add_argument(
        "--trained",
        metavar="CONFIG",
        help=f"a trained model, to see what pruning saves (default: {EMBEDDED}; --quick: none)",
    )
    parser.add_argument("--weights", default="", help="its checkpoint (default: MODEL.WEIGHTS)")
    parser.add_argument(
        "--photos", nargs="+", default=[], help="files or folders (default: scikit-image's)"
    )
    parser.add_argument("--opts", nargs="+", default=[], help="KEY VALUE ... over CONFIG")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    extent = QUICK if args.quick else Extent()
    groups = groups_to_measure(args)
    check_trained(args, groups)
    trained = trained_points(args, extent) if "trained" in groups else []
    output = Path(args.output)
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / "speed.log").write_text("")
    except OSError as error:
        raise UserError(f"{output} cannot be written ({error.strerror}): give a folder") from error
    partial = Partial(output, git_revision(ROOT), device_name())
    # in one place always: a run that goes on knows its points by the weights' path, too
    clip, random_clip = ("", False) if groups == ["trained"] else clip_weights(args.quick, output)
    planned = plan(extent, clip, trained, half=torch.cuda.is_available(), groups=groups)
    results, failures = measure(planned, partial, output, local=args.quick)
    write_results(results, output)
    note = "" if not clip else CLIP_NOTES[random_clip]
    write_page(results, QUICK_NOTE if args.quick else note, output, failures)
    draw_plots(results, output)
    print(output / PAGE_FILE)
    if failures:
        raise UserError(f"{len(failures)} of the cases failed, see the end of {output / PAGE_FILE}")
    partial.remove()
    if random_clip:
        Path(clip).unlink()


if __name__ == "__main__":
    run_cli(main)
