#!/usr/bin/env python
"""Measure speed and memory; write a page (Markdown) and the records (JSON).

python tools/benchmark_speed.py
python tools/benchmark_speed.py --only inference training --output docs/results

Every case runs in a process of its own. With --only, the other results in the output folder stay
there. A case that fails is reported at the end, and the other ones are measured.
"""

import argparse
import datetime
import os
import sys
import tempfile
from pathlib import Path

# a checkout works as it is, without being installed
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import zsk  # noqa: F401, E402  isort: skip  (first: makes Detectron2 importable)
import torch  # noqa: E402
from benchmark.speed import measure  # noqa: E402
from benchmark.speed.cases import GROUPS, QUICK, REFERENCES, Case, Sizes, plan  # noqa: E402
from benchmark.speed.pages import PAGE_FILE, write_page  # noqa: E402
from benchmark.speed.subjects import save_random_clip  # noqa: E402
from tqdm import tqdm  # noqa: E402

from zsk.errors import UserError, run_cli  # noqa: E402
from zsk.evaluation.report import git_revision  # noqa: E402
from zsk.files import writable_folder  # noqa: E402

QUICK_NOTE = "**A quick run of tiny models: the numbers mean nothing.**"
OUTPUT = "output/benchmark/speed"


def measured(case: Case, references: dict[str, float], quick: bool) -> measure.Result:
    """A case's result; `references` has the seconds of the reference by measure, once measured."""
    if case.cached:
        measure.in_fresh_process(measure.run_once, case)
    found = measure.in_fresh_process(measure.measure, case)
    if case.variant == REFERENCES.get(case.measure):
        references[case.measure] = found["median_seconds"]
    reference = references.get(case.measure)
    return measure.Result(
        **found,
        measure=case.measure,
        variant=case.variant,
        settings=case.settings,
        ratio_to_reference=found["median_seconds"] / reference if reference else None,
        half=case.half,
        quick=quick,
        revision=git_revision(ROOT),
        date=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    )


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the speed benchmark.")
    parser.add_argument("--output", help=f"default: {OUTPUT}, with --quick {OUTPUT}/quick")
    parser.add_argument("--only", nargs="+", choices=GROUPS, help="measure these alone")
    parser.add_argument("--quick", action="store_true", help="tiny models: does everything work?")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    output = Path(args.output or (f"{OUTPUT}/quick" if args.quick else OUTPUT))
    groups, failures = args.only or list(GROUPS), []
    references: dict[str, float] = {}
    writable_folder(output, f"--output {output}")
    renewed = {GROUPS[group] for group in groups}
    results = [result for result in measure.read_results(output) if result.measure not in renewed]
    if any(result.quick != args.quick for result in results):
        others, this = ("full", "quick") if args.quick else ("quick", "full")
        raise UserError(
            f"--output {output} holds results of {others}, or earlier, runs, and this is a {this} "
            "one: give another folder"
        )
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ZSK_CACHE_DIR"] = folder  # the processes inherit it
        vit, resnet = (str(Path(folder) / name) for name in ("vit.pt", "resnet.pt"))
        save_random_clip(Path(vit), tiny=args.quick)
        save_random_clip(Path(resnet), resnet=True, tiny=args.quick)
        sizes = QUICK if args.quick else Sizes()
        planned = tqdm(plan(sizes, vit, resnet, torch.cuda.is_available(), groups), unit="case")
        for case in planned:
            planned.set_description(f"{case.measure}, {case.variant}")
            try:
                results.append(measured(case, references, args.quick))
            except Exception as error:  # no memory, a process that is killed, a defect
                reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                failures.append(f"{case.measure}, {case.variant}: {reason}")
                planned.write(f"failed: {failures[-1]}", file=sys.stderr)
            measure.write_results(results, output)
            write_page(results, QUICK_NOTE if args.quick else "", output)
    print(output / PAGE_FILE)
    if failures:
        raise UserError(f"{len(failures)} cases failed: {'; '.join(failures)}")


if __name__ == "__main__":
    run_cli(main)
