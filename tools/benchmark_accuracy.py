#!/usr/bin/env python
"""Train and evaluate the tables of a benchmark, and write them as Markdown, JSON and plots.

python tools/benchmark_accuracy.py --quick
python tools/benchmark_accuracy.py --tables systems stages --output docs/results

Every training is a program of its own. Stopped at any time, the same command goes on where it was;
what is finished, prepared models included, is kept in the work folder and not run again. After a
change of the code, start with another work folder.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

# a checkout works as it is, without being installed
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import zsk  # noqa: F401, E402  isort: skip  (first: makes Detectron2 importable)

from benchmark.accuracy.definition import read_definition  # noqa: E402
from benchmark.accuracy.outputs import learning_curve, read_result  # noqa: E402
from benchmark.accuracy.pages import markdown  # noqa: E402
from benchmark.accuracy.plan import Plan, Trial, supervised_systems  # noqa: E402
from benchmark.accuracy.plots import draw_plots, merge_curves, read_curves  # noqa: E402
from benchmark.accuracy.results import merge, read_results, write_results  # noqa: E402
from benchmark.accuracy.rows import Definition  # noqa: E402
from benchmark.accuracy.runs import run_jobs  # noqa: E402

from zsk.errors import UserError, run_cli  # noqa: E402
from zsk.evaluation.report import write_atomically  # noqa: E402
from zsk.files import writable_folder  # noqa: E402
from zsk.terminal import say  # noqa: E402


def write_output(
    definition: Definition, trials: Sequence[Trial], supervised: set[str], folder: Path
) -> None:
    """Merge the finished trials into a folder's results and draw everything anew."""
    finished = [trial for trial in trials if trial.evaluate.finished()]
    old, new = read_results(folder), [read_result(trial) for trial in finished]
    results = merge(old, new)
    kept = {(result.row, result.seed) for result in results}
    if lost := [result for result in old if (result.row, result.seed) not in kept]:
        say(
            f"{len(lost)} results in {folder} are dropped, such as {lost[0].system}, seed "
            f"{lost[0].seed}: their row has new ones of another configuration, code or device"
        )
    write_results(results, folder)
    page = markdown(results, definition, supervised)
    write_atomically(folder / "accuracy.md", page.encode())
    curves = [
        learning_curve(trial, result.protocol)
        for trial, result in zip(finished, new)
        if trial.train is trial.evaluate
    ]
    draw_plots(definition, results, merge_curves(folder, curves, results), folder)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the accuracy benchmark.")
    parser.add_argument(
        "--definition",
        default=ROOT / "configs" / "synthetic" / "tables.yaml",
        help="YAML file of the tables (default: configs/synthetic/tables.yaml)",
    )
    parser.add_argument("--tables", nargs="+", help="default: all, or those of --quick")
    parser.add_argument("--seeds", nargs="+", type=int, help="default: the definition's")
    parser.add_argument(
        "--quick", action="store_true", help="fewer tables, seeds and iterations (section quick)"
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        help="programs at a time, each on one thread (default: the number of cores, %(default)s)",
    )
    parser.add_argument("--work", default="output/benchmark", help="default: %(default)s")
    parser.add_argument(
        "--output", help="folder of tables and plots (default: the work folder, or quick/ therein)"
    )
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    if args.workers < 1:
        raise UserError(f"--workers is {args.workers}, but has to be 1 or more")
    definition = read_definition(
        args.definition, quick=args.quick, tables=args.tables, seeds=args.seeds
    )
    work = Path(args.work)
    output = Path(args.output) if args.output else work / "quick" if args.quick else work
    writable_folder(output, f"the folder {output} for tables and plots")
    for read in (read_results, read_curves):  # a damaged file is reported before the hours
        read(output)
    try:
        plan = Plan(definition, work)
        supervised = supervised_systems(definition)
    except UserError as error:
        raise UserError(f"{args.definition}: {error}") from error
    failures = run_jobs(plan.jobs, args.workers)
    write_output(definition, plan.trials, supervised, output)
    print(output / "accuracy.md")
    if failures:
        print(f"{len(failures)} of {len(plan.jobs)} runs are missing, see above", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    run_cli(main)
