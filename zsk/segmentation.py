"""What a photo shows in a user's words: labels, segments, pictures and files.

Letters: H x W photo, K names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from zsk.answer import Answer
from zsk.drawing.overlay import OPACITY, draw_overlay
from zsk.errors import UserError
from zsk.files import replacing
from zsk.segments import (
    Opinion,
    Segment,
    best_opinions,
    find_segments,
    outlines,
    run_lengths,
)
from zsk.visualization import draw_segmentation, label_image, pixel_shares
from zsk.vocabulary import Vocabulary, ignore_label

RESULT_ENDINGS = ("_overlay.png", "_labels.png", "_coco.json", ".json")


@dataclass(frozen=True, eq=False, repr=False)
class Segmentation:
    """What a `Segmenter` found in one photo; made by `Photo.segment`.

    Attributes:
        labels: (H,W) int64, ids into `vocabulary`; background pixels have `background`.
        confidence: (H,W) float32 in [0,1], the share of the best name in the scores of a pixel,
            low where no proposal claims the pixel.
        vocabulary: the K names that competed for each pixel.
        image: (H,W,3) uint8 RGB, the photo.
        origin: what it was made of, for the JSON file: "image" (a path, where the photo was one),
            "config", "weights", "clip", "opts", "background", "threshold" and "lam".
    """

    labels: np.ndarray
    confidence: np.ndarray
    vocabulary: Vocabulary
    image: np.ndarray
    _answer: Answer = field(repr=False)
    origin: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        height, width = self.labels.shape
        found = [f"{name} {share:.0%}" for name, share in self.shares().items() if share][:3]
        return f"<Segmentation {width}x{height}: {', '.join(found) or 'background'}>"

    @property
    def names(self) -> tuple[str, ...]:
        """The K names: `names[k]` is that of label k."""
        return self.vocabulary.names

    @property
    def background(self) -> int:
        """The label of pixels without a name: 255, or 65535 for more than 255 names."""
        return ignore_label(len(self.vocabulary))

    def shares(self) -> dict[str, float]:
        """Name → fraction of the pixels, largest first; a name that was not found has 0.

        The shares of the names and of the background sum to 1.
        """
        return pixel_shares(self.labels, self.names)

    def probabilities(self) -> np.ndarray:
        """(K,H,W) float32 in [0,1], class scores per pixel, computed anew.

        Over the names they sum to at most 1; the rest is what no proposal claims, and the
        background where it is a name.
        """
        return self._answer.probabilities()[: len(self.names)].cpu().numpy()

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """One segment for each name in the photo, the largest first."""
        return find_segments(self.labels, self.confidence, self.names, self._answer)

    def at(self, x: int, y: int, best: int = 5) -> tuple[Opinion, ...]:
        """The best names at a pixel, with the opinions of head and CLIP apart.

        Args:
            x, y: column and row in pixels, from the upper left corner.
            best: how many names at most, from 1.

        Raises:
            UserError: the pixel is not on the photo, or `best` is no such number.
        """
        height, width = self.labels.shape
        whole = all(isinstance(value, (int, np.integer)) for value in (x, y))
        if not (whole and 0 <= x < width and 0 <= y < height):
            raise UserError(f"the pixel ({x}, {y}) is not on the photo of {width}x{height} pixels")
        if not (isinstance(best, (int, np.integer)) and best > 0):
            raise UserError(f"best is {best!r}, but has to be a whole number from 1")
        pixel = torch.full((height, width), -1)
        pixel[y, x] = 0
        return best_opinions(self._answer, pixel, self.names, best)[0]

    def overlay(
        self,
        *,
        opacity: float = OPACITY,
        show_names: bool = True,
        outline: bool = True,
        dim_below: float = 0.0,
        colours: np.ndarray | None = None,
    ) -> np.ndarray:
        """The photo in grey under the colours of its names, (H,W,3) uint8 RGB, at full resolution.

        Args:
            opacity, show_names, outline, colours: as for `zsk.drawing.overlay.draw_overlay`.
            dim_below: in [0,1]; pixels of a lower confidence are hatched.

        Raises:
            UserError: as for `draw_overlay`.
        """
        panel = draw_overlay(
            Image.fromarray(self.image), self.labels, self.names, colours, opacity=opacity,
            outline=outline, show_names=show_names,
            confidence=self.confidence if dim_below else None, dim_below=dim_below,
        )  # fmt: skip
        return np.asarray(panel)

    def picture(self, *, opacity: float = OPACITY, dim_below: float = 0.0) -> Image.Image:
        """Photo and overlay side by side with names and a legend, RGB; arguments of `overlay`."""
        confidence = self.confidence if dim_below else None
        return draw_segmentation(
            self.image, self.labels, self.names,
            opacity=opacity, confidence=confidence, dim_below=dim_below,
        )  # fmt: skip

    def label_png(self) -> Image.Image:
        """The label ids as a palette image; 16-bit grey for more than 255 names."""
        return label_image(self.labels, len(self.names))

    def to_label_png(self, path: str | PathLike[str]) -> None:
        """Write the label ids as a palette PNG, as data sets store them.

        Raises:
            UserError: the file cannot be written.
        """
        with replacing(path) as unfinished:
            self.label_png().save(unfinished, format="PNG")

    def to_coco(
        self, polygons: bool = False, file_name: str | None = None, image_id: int = 1
    ) -> dict[str, Any]:
        """A dictionary in COCO's format: an annotation for each segment, with its score.

        Args:
            polygons: outlines instead of run lengths. Run lengths are exact; polygons have no
                holes.
            file_name, image_id: of the photo, in "images"; None takes the name of its file, ""
                where it was none.

        Returns:
            "images", "annotations" and "categories"; the category of label k has the id k + 1.
        """
        if file_name is None:
            file_name = Path(str(self.origin.get("image", ""))).name
        height, width = self.labels.shape
        annotations = []
        for number, segment in enumerate(self.segments, 1):
            left, top, right, bottom = segment.box
            annotation = {
                **{"id": number, "image_id": image_id, "category_id": segment.label + 1},
                **{"bbox": [left, top, right - left, bottom - top], "area": segment.area},
                **{"iscrowd": 0, "score": segment.score},
            }
            outline = outlines(segment.mask) if polygons else run_lengths(segment.mask)
            annotations.append({**annotation, "segmentation": outline})
        image = {"id": image_id, "file_name": file_name, "width": width, "height": height}
        categories = [{"id": k, "name": name} for k, name in enumerate(self.names, 1)]
        return {"images": [image], "annotations": annotations, "categories": categories}

    def summary(self) -> dict[str, Any]:
        """Origin, size, names, shares and segments without their masks, for JSON."""
        return {**self.origin, **self._results()}

    def _results(self) -> dict[str, Any]:
        height, width = self.labels.shape
        aliases = dict(zip(self.names, map(list, self.vocabulary.aliases)))
        return {
            **{"width": width, "height": height, "names": self.names},
            **{"aliases": {name: further for name, further in aliases.items() if further}},
            **{"shares": self.shares()},
            **{"segments": [segment.summary() for segment in self.segments]},
        }

    def save(
        self,
        folder: str | PathLike[str],
        stem: str = "photo",
        origin: Mapping[str, Any] | None = None,
        *,
        coco: bool = False,
        **drawn: Any,
    ) -> list[Path]:
        """Write `<stem>_overlay.png`, `<stem>_labels.png` and, as a mark of all, `<stem>.json`.

        Files of the same names are replaced, and `<stem>_coco.json` is removed.

        Args:
            folder: is made where it is missing.
            origin: entries of the JSON file, beside or in place of those of the attribute, not of
                results ("names", "shares", …); "image" is the file name in COCO's format.
            coco: also write `<stem>_coco.json`.
            drawn: arguments of `picture`.

        Returns:
            the paths of the files.

        Raises:
            UserError: a file cannot be written, `stem` is no name of a file, `origin` holds what
                JSON cannot, or COCO's format lacks the name of the photo.
        """
        target, summary = Path(folder), {**self.origin, **(origin or {}), **self._results()}
        if not stem or Path(stem).name != stem or "\0" in stem:
            raise UserError(f"the stem {stem!r} is no name of a file: give the folder apart")
        try:
            json.dumps(summary, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise UserError(f"origin cannot be written as JSON: {error}") from error
        if coco and not (file_name := Path(str(summary.get("image") or "")).name):
            raise UserError(
                "COCO's format needs the name of the photo, which was no file here: give it as "
                'origin={"image": "photo.jpg"}'
            )
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"the folder {target} cannot be made: {error.strerror}") from error
        picture = self.picture(**drawn)  # first, for it may refuse its arguments
        overlay, labels, coco_file, mark = (target / (stem + end) for end in RESULT_ENDINGS)
        for earlier in (mark, coco_file):  # they would not fit the label image that is replaced
            with suppress(OSError):
                earlier.unlink()
        self.to_label_png(labels)
        with replacing(overlay) as unfinished:
            picture.save(unfinished)
        if coco:
            _write_json(coco_file, self.to_coco(file_name=file_name))
        _write_json(mark, summary)
        return [overlay, labels, *([coco_file] if coco else []), mark]


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    with replacing(file) as unfinished:
        # a name that is no UTF-8 becomes JSON's escapes, which json.loads turns into that name
        unfinished.write_text(text, encoding="utf-8", errors="backslashreplace")
