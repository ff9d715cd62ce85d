"""What the speed benchmark measures: cases that a process of its own can build, and their order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

Kind = Literal["inference", "head", "train"]

ROOT = Path(__file__).resolve().parents[2]
ZSK = "configs/voc-11k-15/zsk_R101_bs8_40k.yaml"
ZS_MASKFORMER = "configs/voc-11k-15/zs_maskformer_R101_bs8_40k.yaml"

REFERENCE = "reference: ZS-MaskFormer, a loop over crops"
CROP = "ours: crops, all classified"
PRUNED = "ours: crops, pruned"
ONE_PASS = "ours: one-pass"
QUERIES, KERNELS = "ZS-MaskFormer head", "dynamic-kernel head"

INFERENCE, TRAINED = "inference", "inference, trained model"
HEAD, WITHOUT_CLIP, TRAIN = "proposal head", "inference without CLIP", "training step"
PROPOSALS, NAMES, SIDE, STAGES = "proposals", "names", "image side", "stages"
GROWTH = (PROPOSALS, NAMES, SIDE, STAGES)
"""The measures that are curves; each has the one setting of its name."""


@dataclass(frozen=True)
class Case:
    """One variant under one setting, as JSON can carry it to another process.

    Attributes:
        variant: what it is called.
        kind: the whole model, its proposal head alone, or a step of training.
        config, opts: the configuration, relative to the checkout, and KEY VALUE … over it.
        published: by the reference's loop (`PublishedInference`).
        trained: with the configuration's own weights; else random ones, and `plausible_masks`.
        photo: (H,W) of the synthetic photo; of each of two in training.
        photos: files to use instead; a run is all of them, the time is per photo.
        names: so many made-up names compete, whose text embeddings are warm; 0: the config's.
        warm_up: run once before, on a small photo. Not worth it where that takes long as well.
        half: in half precision (on a GPU only).
    """

    variant: str
    kind: Kind
    config: str
    opts: tuple[str, ...] = ()
    published: bool = False
    trained: bool = False
    photo: tuple[int, int] = (512, 680)
    photos: tuple[str, ...] = ()
    names: int = 0
    warm_up: bool = True
    half: bool = False

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Case:
        values = json.loads(text)
        lists = {key: tuple(v) for key, v in values.items() if isinstance(v, list)}
        return cls(**{**values, **lists})


@dataclass(frozen=True)
class Point:
    """Cases measured side by side, in turns.

    Attributes:
        measure: what is measured.
        settings: what tells the point from the measure's others.
        reference: the variant that the ratios are to, if any.
        repeats: timed runs of each case.
    """

    measure: str
    settings: dict[str, Any]
    cases: tuple[Case, ...]
    reference: str | None = None
    repeats: int = 3

    def key(self) -> str:
        """Equal for points that measure the same."""
        return json.dumps(asdict(self), sort_keys=True)


@dataclass(frozen=True)
class Extent:
    """How large the benchmark is: the full one by default."""

    opts: tuple[str, ...] = ()  # over every case with random weights
    head_opts: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by configuration
    photo: tuple[int, int] = (512, 680)
    train_side: int = 512
    proposals: tuple[int, ...] = (25, 50, 100, 200, 400)
    crop_proposals: tuple[int, ...] = (25, 50, 100)  # at a quarter of a second each
    names: tuple[int, ...] = (20, 200, 2000)
    sides: tuple[int, ...] = (256, 512, 1024, 2048)
    stages: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    repeats: int = 3
    fast_repeats: int = 5  # of what takes a second or two


def plan(extent: Extent, clip: str, trained: Sequence[Point], half: bool) -> list[Point]:
    """All points in order.

    Args:
        clip: CLIP's weights (MODEL.CLIP.NAME).
        trained: points about trained models, measured after the main table.
        half: measure inference and training in half precision as well.
    """
    make = _Maker(extent, clip)
    points = [make.inference(), *trained, *make.heads(), *make.growth()]
    return [_with_half(point) for point in points] if half else points


def trained_point(config: str, weights: str, photos: Sequence[str], repeats: int) -> Point:
    """A trained model's ways to name its proposals; `weights` "" are the configuration's."""
    opts = ("MODEL.WEIGHTS", weights) if weights else ()
    base = Case("", "inference", config, opts, trained=True, photos=tuple(photos), warm_up=False)
    settings = {"config": Path(config).stem, "photos": len(photos)}
    return Point(TRAINED, settings, _ways_to_name(base, base), REFERENCE, repeats)


def _ways_to_name(published: Case, ours: Case) -> tuple[Case, ...]:
    """The reference, crops, pruned crops and one-pass."""
    mode = ("MODEL.ENSEMBLE.MODE", "ensemble", "MODEL.CLIP.REGION_MODE")
    crop, everything = (*mode, "crop"), ("MODEL.CLIP.PRUNE.TOLERANCE", "0.0")
    return (
        _over(published, REFERENCE, crop, published=True),
        _over(ours, CROP, (*crop, *everything)),
        _over(ours, PRUNED, crop),
        _over(ours, ONE_PASS, (*mode, "one_pass"), warm_up=True),
    )


def _over(case: Case, variant: str, opts: Sequence[str], **changes: Any) -> Case:
    return replace(case, variant=variant, opts=(*case.opts, *opts), **changes)


def _with_half(point: Point) -> Point:
    """Every case twice; the ratios stay those to the reference in single precision."""
    halves = tuple(replace(c, variant=f"{c.variant}, half", half=True) for c in point.cases)
    return replace(point, cases=(*point.cases, *halves))


class _Maker:
    """Makes the points with random weights."""

    def __init__(self, extent: Extent, clip: str) -> None:
        self.extent = extent
        self.clip = clip

    def case(self, variant: str, kind: Kind, config: str, *opts: Any, **changes: Any) -> Case:
        common = ("MODEL.WEIGHTS", "", "MODEL.CLIP.NAME", self.clip, *self.extent.opts)
        words = (*common, *self.extent.head_opts.get(config, ()), *map(str, opts))
        return replace(Case(variant, kind, config, words, photo=self.extent.photo), **changes)

    def inference(self) -> Point:
        published = self.case("", "inference", ZS_MASKFORMER, warm_up=False)
        ours = self.case("", "inference", ZSK, warm_up=False)
        cases = _ways_to_name(published, ours)
        return Point(INFERENCE, self._photo(), cases, REFERENCE, self.extent.repeats)

    def heads(self) -> list[Point]:
        heads = {QUERIES: ZS_MASKFORMER, KERNELS: ZSK}
        mode = ("MODEL.ENSEMBLE.MODE", "head")
        extent, fast, side = self.extent, self.extent.fast_repeats, self.extent.train_side
        alone = tuple(self.case(v, "head", config, *mode) for v, config in heads.items())
        whole = tuple(self.case(v, "inference", config, *mode) for v, config in heads.items())
        step = tuple(
            self.case(v, "train", config, *mode, photo=(side, side)) for v, config in heads.items()
        )
        return [
            Point(HEAD, self._photo(), alone, QUERIES, fast),
            Point(WITHOUT_CLIP, self._photo(), whole, QUERIES, fast),
            Point(TRAIN, {"batch": 2, "image": f"{side}×{side}"}, step, QUERIES, extent.repeats),
        ]

    def growth(self) -> list[Point]:
        """Curves of one-pass, then one of crops over the number of proposals."""
        extent, points = self.extent, []
        for count in extent.proposals:
            case = self._one_pass("MODEL.KERNELS.NUM_KERNELS", count)
            points.append(self._point(PROPOSALS, count, case))
        for names in extent.names:
            points.append(self._point(NAMES, names, self._one_pass(names=names)))
        for side in extent.sides:
            case, repeats = self._one_pass(photo=(side, side)), 1 if side > 1024 else 2
            points.append(replace(self._point(SIDE, side, case), repeats=repeats))
        for stages in extent.stages:
            case = self._one_pass("MODEL.KERNELS.NUM_STAGES", stages)
            points.append(replace(self._point(STAGES, stages, case), repeats=2))
        everything = ("MODEL.CLIP.REGION_MODE", "crop", "MODEL.CLIP.PRUNE.TOLERANCE", "0.0")
        for count in extent.crop_proposals:
            number = ("MODEL.KERNELS.NUM_KERNELS", count)
            case = self.case(CROP, "inference", ZSK, *number, *everything, warm_up=False)
            points.append(replace(self._point(PROPOSALS, count, case), repeats=1))
        return points

    def _one_pass(self, *opts: Any, **changes: Any) -> Case:
        mode = ("MODEL.CLIP.REGION_MODE", "one_pass")
        return self.case(ONE_PASS, "inference", ZSK, *mode, *opts, **changes)

    def _point(self, measure: str, value: int, case: Case) -> Point:
        return Point(measure, {measure: value}, (case,))

    def _photo(self) -> dict[str, Any]:
        height, width = self.extent.photo
        return {"image": f"{height}×{width}"}
