"""What the speed benchmark measures: cases that a process of its own can build."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
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

INFERENCE, TRAINED, BATCHES = "inference", "inference, trained model", "batched evaluation"
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
        photo: (H,W) of the synthetic photos; of each of two in training.
        resized: they are shown at the configuration's test size, as the evaluation shows photos.
        photos: files to use instead, resized always; a run is all of them, the time is per photo.
        batch: photos that go through the model together (there are so many synthetic ones).
        names: so many made-up names compete, whose text embeddings are warm; 0: the config's.
        half: in half precision (on a GPU only).
        repeats: timed runs.
    """

    variant: str
    kind: Kind
    config: str
    opts: tuple[str, ...] = ()
    published: bool = False
    trained: bool = False
    photo: tuple[int, int] = (512, 680)
    resized: bool = False
    photos: tuple[str, ...] = ()
    batch: int = 1
    names: int = 0
    half: bool = False
    repeats: int = 3

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Case:
        values = json.loads(text)
        lists = {key: tuple(v) for key, v in values.items() if isinstance(v, list)}
        return cls(**{**values, **lists})

    def over(self, variant: str, opts: Sequence[Any] = (), **changes: Any) -> Case:
        """This case as another variant, with more options and other attributes."""
        words = (*self.opts, *map(str, opts))
        return replace(self, variant=variant, opts=words, **changes)


@dataclass(frozen=True)
class Point:
    """Cases that stand side by side in a table.

    Attributes:
        measure: what is measured.
        settings: what tells the point from the measure's others.
        reference: the variant that the ratios are to, if any.
    """

    measure: str
    settings: dict[str, Any]
    cases: tuple[Case, ...]
    reference: str | None = None

    def key(self) -> str:
        """Equal for points that measure the same."""
        return json.dumps(asdict(self), sort_keys=True)

    def __str__(self) -> str:
        values = " ".join(str(value) for value in self.settings.values())
        return f"{self.measure} {values}".rstrip()


@dataclass(frozen=True)
class Turns:
    """Points whose cases run in turns, so that a disturbance hits all of them alike.

    Attributes:
        group: what `tools/benchmark.py --only` calls it.
    """

    group: str
    points: tuple[Point, ...]

    def cases(self) -> list[Case]:
        """The different ones, in order."""
        return list(dict.fromkeys(case for point in self.points for case in point.cases))
