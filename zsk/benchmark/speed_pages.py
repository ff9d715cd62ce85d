"""The speed measurements as a Markdown page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tabulate import tabulate

from zsk.evaluation.report import write_atomically

from . import speed_cases as cases
from .speed_bars import curve, judge, slope
from .speed_device import is_gpu, peak_tflops
from .speed_results import Measurement, part_names
from .speed_runs import Failure

PAGE_FILE = "speed.md"

_TITLES = {
    cases.INFERENCE: "Inference, random weights",
    cases.BATCHES: "Batched evaluation",
    cases.TRAINED: "Inference, trained model",
    cases.HEAD: "Proposal head alone",
    cases.WITHOUT_CLIP: "Whole inference without CLIP",
    cases.TRAIN: "Training step",
    cases.PROPOSALS: "Growth with the number of proposals",
    cases.NAMES: "Growth with the number of names",
    cases.SIDE: "Growth with the image side",
    cases.STAGES: "Growth with the number of stages",
}
_NOTES = {
    cases.INFERENCE: (
        "One synthetic photo (a gradient under noise), 20 names, R101 and CLIP ViT-B/16. The head "
        "runs, but its masks are replaced by cells of seeded random partitions, since a random "
        "head's may be empty or all alike; so nothing is to be learned here of what pruning saves, "
        "see the trained model. The reference is a reconstruction: a loop masks, crops and resizes "
        "each proposal, all crops are encoded together and the texts are encoded for every image, "
        "which we assume of the published program (see `zsk/benchmark/speed_reference.py`)."
    ),
    cases.BATCHES: (
        "Synthetic photos of VOC's size, resized as the configuration's evaluation does it, masks "
        "as above; loading and decoding take no part."
    ),
    cases.TRAINED: (
        "The model's own proposals; the reference is the same loop with "
        "this model's head and encoder. What pruning and one-pass do to accuracy is a matter for "
        "the accuracy benchmark."
    ),
    cases.TRAIN: (
        "Forward, losses, backward and AdamW, random weights, ground truth of 8 segments. On a CPU "
        "the memory is that of a step that is not timed, in which blocks of 0.5 MB and more go "
        "back to the system once they are freed (glibc's mmap threshold): holes in the heap, up to "
        "300 MB, would hide what the heads differ by."
    ),
    cases.NAMES: "Text embeddings come from a warm cache; they are random, which changes no time.",
    cases.SIDE: "Square photos. One-pass CLIP sees a photo at the size that it was trained for.",
}
_ON_GPU = (cases.INFERENCE, cases.BATCHES, cases.TRAINED, cases.TRAIN)
_LEGEND = """\
Seconds are per photo (in training per step), medians over the runs with least and most; the \
variants of a table run in turns, each in a process of its own, and so do the points of the growth \
curves, which share one process (whose other heads do not count; what they left in the heap may). \
Memory is the highest of the process while it ran (weights and libraries included; on a GPU what \
was allocated), of which the model is the part given. Model and parameters are counted as built: \
CLIP's text tower, which a CPU \
reads when texts are encoded, counts in the memory alone. GFLOPs are 10⁹ operations, two for a \
multiply-add: convolutions, matrix products and attention as torch counts them."""


_GPU_LEGEND = """\
A run on the GPU is as many in a row as fit into half a second, timed by events on its stream; the \
parts are from a run that waits for the device after each, so they add up to more. Peak FLOPs are \
the data sheet's: in half precision those of the tensor cores, dense, in single precision those \
without tensor cores, although torch lets convolutions use TF32."""


def write_page(
    results: Sequence[Measurement], note: str, folder: Path, failures: Sequence[Failure] = ()
) -> None:
    """Write PAGE_FILE."""
    write_atomically(folder / PAGE_FILE, markdown(results, note, failures).encode("utf-8"))


def markdown(results: Sequence[Measurement], note: str, failures: Sequence[Failure] = ()) -> str:
    """The bars, a section for each measure, what failed, and what the numbers come from.

    `note`: a sentence or two about this run, put at the top.
    """
    parts = ["# Speed benchmark\n", f"{_LEGEND} {note}", "", _bars(results)]
    for measure in dict.fromkeys([*_TITLES, *(r.measure for r in results)]):
        listed = [result for result in results if result.measure == measure]
        if listed:
            parts.append(_section(measure, listed))
    if failures:
        failed = _table(["point", "variant", "error"], [list(f) for f in failures], left=3)
        parts.append(f"## Failed\n\n{failed}\n")
    parts.append(_footer(results))
    return "\n".join(parts)


def _bars(results: Sequence[Measurement]) -> str:
    rows = [[bar.wanted, bar.measured, bar.verdict] for bar in judge(results)]
    table = _table(["bar", "measured", "verdict"], rows, left=3)
    return f"## Bars\n\n{table}\n{_on_gpu(results)}"


def _on_gpu(results: Sequence[Measurement]) -> str:
    """Photos (training steps) per second and share of the peak, where that is known."""
    rows = []
    for result in results:
        if is_gpu(result.device) and result.measure in _ON_GPU:
            peak = peak_tflops(result.device, result.half)
            done = result.gflops / result.median_seconds / 1e3
            rows.append(
                [
                    f"{result.measure}, {', '.join(_settings(result))}",
                    result.variant,
                    f"{1 / result.median_seconds:.1f}",
                    f"{done:.1f}",
                    f"{peak:g}" if peak else "-",
                    f"{done / peak:.1%}" if peak else "-",
                    _memory(result),
                ]
            )
    if not rows:
        return "\nNot measured on a GPU.\n"
    headers = ["on the GPU", "variant", "photos/s (steps/s)", "TFLOPS", "peak", "of the peak"]
    table = _table([*headers, "peak MB (model)"], rows, left=2)
    return f"\n{table}\n\n{_GPU_LEGEND}\n"


def _section(measure: str, results: Sequence[Measurement]) -> str:
    parts = [f"## {_TITLES.get(measure, measure)}\n"]
    if measure in _NOTES:
        parts.append(_NOTES[measure] + "\n")
    rows = [
        [*_settings(result), *(show(result) for show in _COLUMNS.values())] for result in results
    ]
    parts.append(_table([*results[0].settings, *_COLUMNS], rows, left=1 + len(results[0].settings)))
    if any(result.parts for result in results) and measure not in cases.GROWTH:
        parts.append("\nWhere the time goes, seconds:\n\n" + _parts(results))
    if measure in cases.GROWTH:
        parts.append(_slopes(measure, results))
    return "\n".join(parts) + "\n"


def _settings(result: Measurement) -> list[str]:
    return [str(value) for value in result.settings.values()]


def _parts(results: Sequence[Measurement]) -> str:
    names, settings = part_names(results), list(results[0].settings)
    rows = [
        [
            *_settings(result),
            result.variant,
            *(_seconds(result.parts[n]) if n in result.parts else "-" for n in names),
        ]
        for result in results
    ]
    return _table([*settings, "variant", *names], rows, left=1 + len(settings))


def _slopes(measure: str, results: Sequence[Measurement]) -> str:
    """The line through each curve of three points or more."""
    lines = []
    for variant in dict.fromkeys(result.variant for result in results):
        points = curve(results, measure, variant)
        if len(points) > 2:
            start, rise, error = slope(points)
            lines.append(
                f"{variant}: {_seconds(start)} s + {rise * 1e3:.3g} ms each, "
                f"off by {error:.0%} at most."
            )
    return "\n" + "\n".join(lines) if lines else ""


def _seconds(value: float) -> str:
    """Three significant digits."""
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _memory(result: Measurement) -> str:
    return f"{result.peak_mb:,.0f} ({result.model_mb:,.0f})"


def _spread(result: Measurement) -> str:
    return f"{_seconds(result.min_seconds)}–{_seconds(result.max_seconds)}"


def _times(result: Measurement) -> str:
    return "-" if result.times_faster is None else f"{result.times_faster:.2f}×"


_COLUMNS: dict[str, Callable[[Measurement], str]] = {
    "variant": lambda r: r.variant,
    "seconds": lambda r: _seconds(r.median_seconds),
    "least–most": _spread,
    "runs": lambda r: str(r.runs),
    "times as fast": _times,
    "peak MB (model)": _memory,
    "GFLOPs": lambda r: f"{r.gflops:,.1f}",
    "params": lambda r: f"{r.params / 1e6:.1f} M",
    "crops": lambda r: f"{r.crops:.0f}",
}


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """The first `left` columns are words, the others numbers."""
    return tabulate(
        rows,
        headers=headers,
        tablefmt="pipe",
        colalign=["left"] * left + ["right"] * (len(headers) - left),
        disable_numparse=True,
    )


def _footer(results: Sequence[Measurement]) -> str:
    devices = "; ".join(sorted({result.device for result in results}))
    revisions = ", ".join(sorted({result.revision for result in results}))
    dates = ", ".join(sorted({result.date for result in results}))
    return f"{devices}; code {revisions}; {dates}.\n"
