"""The results as a Markdown page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from zsk.evaluation.report import write_atomically

from . import cases
from .measure import Result

PAGE_FILE = "speed.md"
_LEGEND = """\
Medians of the runs, with the least and the most; each case has a process of its own and runs once \
before it is timed. Memory is the most that the process had, libraries and loading included; on a \
GPU it is what was allocated there. Weights are random but for those of the embedded model: time \
does not depend on their values. The photo is scikit-image's coffee, resized."""
_SECTIONS = {
    cases.INFERENCE: (
        "Inference",
        "One photo, 20 names, ResNet-101, CLIP ViT-B/16, 100 proposals. Masks of a random head may "
        "be empty: they are cut at a threshold of 1e-9, so that every proposal is encoded. The "
        "reference is rebuilt from the description of the published code "
        "(`tools/benchmark/speed/reference.py`). On a GPU CLIP is in half precision always; the "
        "rows with half have MODEL.TEST_DTYPE float16.",
    ),
    cases.TRAINING: (
        "Training step",
        "Forward, losses, backward and AdamW on two photos of eight segments; with AMP on a GPU.",
    ),
    cases.ONE_NETWORK: (
        "One network",
        "One photo, 100 proposals. With one network, CLIP's image tower is the backbone, too, and "
        "names the regions from the same activations. A GFLOP is 10⁹ operations, two for a "
        "multiply-add.",
    ),
    cases.NAMES: (
        "Growth with the number of names",
        "One-pass; the text embeddings are in the cache on disk.",
    ),
    cases.PROPOSALS: ("Growth with the number of proposals", "One-pass, 20 names."),
    cases.SIDE: (
        "Growth with the photo's side",
        "One-pass, square photos. CLIP sees each photo at the size that it was trained for.",
    ),
    cases.EMBEDDED_MODEL: (
        "The embedded model",
        "One photo, then other words for it (`configs/embedded/zsk_lite2.yaml`).",
    ),
}


def write_page(results: Sequence[Result], note: str, folder: Path) -> None:
    """Write PAGE_FILE; the folder exists."""
    write_atomically(folder / PAGE_FILE, markdown(results, note).encode())


def markdown(results: Sequence[Result], note: str = "") -> str:
    """A section for each measure, and what the numbers come from. `note`: a sentence at the top."""
    parts = [f"# Speed benchmark\n\n{_LEGEND} {note}".rstrip()]
    for measure in dict.fromkeys([*_SECTIONS, *(result.measure for result in results)]):
        listed = [result for result in results if result.measure == measure]
        if listed:
            title, text = _SECTIONS.get(measure, (measure.capitalize(), ""))
            parts += [f"## {title}", text, _table(listed)]
    devices = ", ".join(sorted({result.device for result in results}))
    revisions = ", ".join(sorted({result.revision for result in results}))
    dates = ", ".join(sorted({result.date for result in results}))
    parts.append(f"{devices}; code {revisions}; {dates}.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(results: Sequence[Result]) -> str:
    rows = [
        {
            **result.settings,
            "variant": result.variant,
            "seconds": _digits(result.median_seconds),
            "least–most": f"{_digits(result.min_seconds)}–{_digits(result.max_seconds)}",
            "runs": result.runs,
            "per second": _digits(1 / result.median_seconds),
            "times as fast": f"{1 / ratio:.2f}×" if (ratio := result.ratio_to_reference) else "-",
            "peak MB": f"{result.peak_mb:,.0f}",
            **({"GFLOP": _digits(result.gflops)} if result.gflops is not None else {}),
        }
        for result in results
    ]
    words = len(results[0].settings) + 1
    align = ["left"] * words + ["right"] * (len(rows[0]) - words)
    return tabulate(rows, headers="keys", tablefmt="pipe", colalign=align, disable_numparse=True)


def _digits(value: float) -> str:
    """Three significant digits."""
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"
