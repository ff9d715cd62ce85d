"""Which cases the speed benchmark measures, how often, and which of them in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from . import speed_cases as cases
from .speed_cases import ZS_MASKFORMER, ZSK, Case, Kind, Point, Turns

GROUPS = {
    "inference": "the reference, our crops and one-pass on one photo",
    "batches": "photos of VOC's size, one by one and eight together (by default on a GPU only)",
    "trained": "a trained model, with pruning (see --trained)",
    "heads": "ZS-MaskFormer's head and dynamic kernels: alone, and all of the model but CLIP",
    "training": "a training step with either head",
    "growth": "one-pass over proposals, names, image side and stages; crops over proposals",
}
"""What --only takes, in the order in which it is measured."""

_EVERYTHING = ("MODEL.CLIP.PRUNE.TOLERANCE", 0.0)
_HEAD_ONLY = ("MODEL.ENSEMBLE.MODE", "head")


@dataclass(frozen=True)
class Extent:
    """How large the benchmark is: the full one by default.

    Attributes:
        opts: over every case with random weights.
        head_opts: over those of a configuration.
        usual: proposals, names and stages while another one of them grows.
        repeats: of what a bar rests on.
        train_repeats: of a training step, whose runs differed by 6 to 16 % on two cores.
        fast_repeats: of what takes a second or two.
        slow_repeats: of what takes 40 seconds on two cores and no bar rests on.
    """

    opts: tuple[str, ...] = ()
    head_opts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    photo: tuple[int, int] = (512, 680)
    voc_photo: tuple[int, int] = (375, 500)
    batches: tuple[int, ...] = (1, 8)
    train_side: int = 512
    usual: Mapping[str, int] = field(
        default_factory=lambda: {cases.PROPOSALS: 100, cases.NAMES: 20, cases.STAGES: 4}
    )
    proposals: tuple[int, ...] = (25, 50, 100, 200, 400)
    crop_proposals: tuple[int, ...] = (25, 50, 100)  # at half a second each
    names: tuple[int, ...] = (20, 200, 2000)
    sides: tuple[int, ...] = (256, 512, 1024, 2048)
    stages: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    repeats: int = 3
    train_repeats: int = 7
    fast_repeats: int = 5
    slow_repeats: int = 1


def plan(
    extent: Extent, clip: str, trained: Sequence[Point], half: bool, groups: Sequence[str]
) -> list[Turns]:
    """All turns of some groups, in order.

    Args:
        clip: CLIP's weights (MODEL.CLIP.NAME).
        trained: points about trained models.
        half: measure everything in half precision as well; a GPU is there, so that nothing is slow.
        groups: keys of GROUPS.
    """
    if half:
        extent = replace(extent, slow_repeats=extent.repeats)
    make = _Maker(extent, clip)
    made: dict[str, Callable[[], list[list[Point]]]] = {
        "inference": lambda: [[make.inference()]],
        "batches": lambda: [[make.batch(count)] for count in extent.batches],
        "trained": lambda: [[point] for point in trained],
        "heads": lambda: [[point] for point in make.heads()],
        "training": lambda: [[make.training()]],
        "growth": lambda: [make.one_pass_growth(), make.crop_growth()],
    }
    listed = [(group, points) for group in GROUPS if group in groups for points in made[group]()]
    with_half = _with_half if half else _as_it_is
    return [Turns(group, tuple(with_half(point) for point in points)) for group, points in listed]


def trained_point(config: str, opts: Sequence[str], photos: Sequence[str], extent: Extent) -> Point:
    """A trained model's ways to name its proposals: the reference, crops, pruned and one-pass."""
    base = Case("", "inference", config, tuple(opts), trained=True, photos=tuple(photos))
    file = Path(config)
    name = file.parent.name if file.stem == "config" else file.stem  # a run's folder says more
    settings = {"config": name, "photos": len(photos)}
    ways = list(_ways_to_name(base, base, extent))
    pruned = base.over(cases.PRUNED, _mode("crop"), repeats=extent.repeats)
    return Point(cases.TRAINED, settings, (*ways[:2], pruned, *ways[2:]), cases.REFERENCE)


def _mode(region_mode: str) -> tuple[str, ...]:
    return ("MODEL.ENSEMBLE.MODE", "ensemble", "MODEL.CLIP.REGION_MODE", region_mode)


def _ways_to_name(published: Case, ours: Case, extent: Extent) -> tuple[Case, ...]:
    """The reference, crops and one-pass."""
    return (
        published.over(cases.REFERENCE, _mode("crop"), published=True, repeats=extent.repeats),
        ours.over(cases.CROP, (*_mode("crop"), *_EVERYTHING), repeats=extent.slow_repeats),
        ours.over(cases.ONE_PASS, _mode("one_pass"), repeats=extent.fast_repeats),
    )


def _with_half(point: Point) -> Point:
    """Every case twice; the ratios stay those to the reference in single precision."""
    halves = tuple(replace(c, variant=f"{c.variant}, half", half=True) for c in point.cases)
    return replace(point, cases=(*point.cases, *halves))


def _as_it_is(point: Point) -> Point:
    return point


class _Maker:
    """Makes the points with random weights."""

    def __init__(self, extent: Extent, clip: str) -> None:
        self.extent = extent
        self.clip = clip

    def case(self, kind: Kind, config: str, **changes: Any) -> Case:
        common = ("MODEL.WEIGHTS", "", "MODEL.CLIP.NAME", self.clip, *self.extent.opts)
        words = (*common, *self.extent.head_opts.get(config, ()))
        return replace(Case("", kind, config, words, photo=self.extent.photo), **changes)

    def inference(self) -> Point:
        ways = _ways_to_name(
            self.case("inference", ZS_MASKFORMER), self.case("inference", ZSK), self.extent
        )
        return Point(cases.INFERENCE, self._photo(), ways, cases.REFERENCE)

    def batch(self, count: int) -> Point:
        base = self.case("inference", ZSK, photo=self.extent.voc_photo, batch=count, resized=True)
        height, width = self.extent.voc_photo
        settings = {"photo": f"{height}×{width}", "batch": count}
        return Point(cases.BATCHES, settings, _ways_to_name(base, base, self.extent)[1:])

    def heads(self) -> list[Point]:
        fast = self.extent.fast_repeats
        return [
            self._both_heads(cases.HEAD, "head", self._photo(), repeats=fast),
            self._both_heads(cases.WITHOUT_CLIP, "inference", self._photo(), repeats=fast),
        ]

    def training(self) -> Point:
        side = self.extent.train_side
        settings, repeats = {"batch": 2, "image": f"{side}×{side}"}, self.extent.train_repeats
        return self._both_heads(cases.TRAIN, "train", settings, photo=(side, side), repeats=repeats)

    def _both_heads(self, measure: str, kind: Kind, settings: dict, **changes: Any) -> Point:
        queries, kernels = (
            self.case(kind, config, **changes).over(variant, _HEAD_ONLY)
            for variant, config in ((cases.QUERIES, ZS_MASKFORMER), (cases.KERNELS, ZSK))
        )
        return Point(measure, settings, (queries, kernels), cases.QUERIES)

    def one_pass_growth(self) -> list[Point]:
        """Curves that share the case in which all is as usual."""
        extent = self.extent
        usual = self.case(
            "inference", ZSK, names=extent.usual[cases.NAMES], repeats=extent.repeats
        ).over(cases.ONE_PASS, _mode("one_pass"))
        points = [
            _grown(cases.PROPOSALS, number, self._proposals(usual, number))
            for number in extent.proposals
        ]
        points += [
            _grown(cases.NAMES, number, replace(usual, names=number)) for number in extent.names
        ]
        for side in extent.sides:
            repeats = 1 if side > 1024 else 2  # half a minute on two cores; no bar rests on it
            case = replace(usual, photo=(side, side), repeats=repeats)
            points.append(_grown(cases.SIDE, side, case))
        for number in extent.stages:
            case = usual
            if number != extent.usual[cases.STAGES]:
                case = usual.over(usual.variant, ("MODEL.KERNELS.NUM_STAGES", number), repeats=2)
            points.append(_grown(cases.STAGES, number, case))
        return points

    def crop_growth(self) -> list[Point]:
        """The usual number is measured with the main table."""
        crops = self.inference().cases[1]
        return [
            _grown(cases.PROPOSALS, number, self._proposals(crops, number))
            for number in self.extent.crop_proposals
        ]

    def _proposals(self, case: Case, number: int) -> Case:
        if number == self.extent.usual[cases.PROPOSALS]:
            return case
        return case.over(case.variant, ("MODEL.KERNELS.NUM_KERNELS", number))

    def _photo(self) -> dict[str, Any]:
        height, width = self.extent.photo
        return {"image": f"{height}×{width}"}


def _grown(measure: str, value: int, case: Case) -> Point:
    return Point(measure, {measure: value}, (case,))
