"""Numbers that the method's source reports. None of them was measured with this code."""

from __future__ import annotations

from typing import NamedTuple

from zsk.data.splits import get_split
from zsk.vocabulary import Vocabulary


class ReportedResult(NamedTuple):
    """One row of the source's tables, in percent; `note` qualifies it where that is needed."""

    method: str
    hiou: float
    seen: float
    unseen: float
    note: str = ""


class Benchmark(NamedTuple):
    """A benchmark that the source reports on.

    Attributes:
        title: as it is called in tables.
        split: its name in `zsk.data.splits`.
        images: how many the validation set has; numbers over fewer do not compare.
        results: the source's rows in its order.
    """

    title: str
    split: str
    images: int
    results: tuple[ReportedResult, ...]


_SIGN_NOTE = (
    "printed in another column order in the source (32.3, 15.5, 20.9); only this order satisfies "
    "the formula of hIoU."
)
_OFF_NOTE = "as the source prints them; by the formula, these two means give an hIoU of {}."

BENCHMARKS: dict[str, Benchmark] = {
    "voc_zs_val": Benchmark(
        "VOC 15/5",
        "voc",
        1449,
        (
            ReportedResult("SPNet", 21.8, 73.3, 15.0, _OFF_NOTE.format(24.9)),
            ReportedResult("ZS3Net", 28.7, 77.3, 17.7),
            ReportedResult("CaGNet", 39.7, 78.4, 25.6, _OFF_NOTE.format(38.6)),
            ReportedResult("SIGN", 41.7, 75.4, 28.9),
            ReportedResult("ZS-MaskFormer", 75.3, 86.4, 66.7),
            ReportedResult("ZSK-Net", 85.7, 91.3, 80.7),
        ),
    ),
    "coco_stuff_zs_val": Benchmark(
        "COCO-Stuff 156/15",
        "coco_stuff",
        5000,
        (
            ReportedResult("SPNet", 16.8, 20.5, 14.3),
            ReportedResult("ZS3Net", 15.0, 34.7, 9.5),
            ReportedResult("CaGNet", 18.2, 35.5, 12.2),
            ReportedResult("SIGN", 20.9, 32.3, 15.5, _SIGN_NOTE),
            ReportedResult("ZS-MaskFormer", 36.4, 39.8, 33.5),
            ReportedResult("ZSK-Net", 37.3, 39.7, 35.4, _OFF_NOTE.format(37.4)),
        ),
    ),
}
"""Data set name → the benchmark that it is."""


def find_benchmark(dataset: str, vocabulary: Vocabulary) -> Benchmark | None:
    """The benchmark of this data set, None where it is none or has other classes or groups."""
    benchmark = BENCHMARKS.get(dataset)
    if benchmark is None:
        return None
    split = get_split(benchmark.split)
    same = (split.names, split.seen) == (vocabulary.names, vocabulary.seen)
    return benchmark if same else None
