"""Videos in a user's words: labels of every frame, drawn over it.

Letters: H x W frame, h x w scores, K names.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from zsk.drawing.legend import Entry, draw_legend
from zsk.drawing.overlay import OPACITY, draw_overlay
from zsk.drawing.palette import fixed_colours
from zsk.errors import UserError, lacks_memory
from zsk.files import remove_unfinished
from zsk.progress import progress
from zsk.segmenter import ClassNames, Segmenter
from zsk.video_files import VideoReader, VideoWriter, check_ending
from zsk.vocabulary import ignore_label

SCORED_SIDE = 512  # pixels; the scores of larger frames are made at this size and enlarged
_LEGEND_SHARE = 0.4  # of the height of a frame, at most; else names are written on the regions
_LEGEND_OPACITY = 0.85


@dataclass(frozen=True)
class VideoReport:
    """What `segment_video` did.

    Attributes:
        frames: of the video that was written.
        repeated: how many of them show the frame before: the file has none for their time.
        missing: frames that the file announces, but that are not there at its end.
        skipped: seconds of pauses that the video lacks, since the file does not state its length.
        rate: frames per second.
        size: (width, height) of its frames before a codec cuts odd sides.
    """

    frames: int
    repeated: int
    missing: int
    rate: float
    size: tuple[int, int]
    skipped: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.frames} frames of {self.size[0]}x{self.size[1]} at {self.rate:.4g} per second"
        )

    def notes(self) -> list[str]:
        """What a user should know, a sentence each."""
        notes = []
        if self.repeated:
            notes.append(
                f"note: {self.repeated} of {self.frames} frames show the one before again: the "
                "file holds a picture for longer, or one could not be read"
            )
        if self.missing:
            notes.append(
                f"note: the video ends early: {self.missing} of the {self.frames + self.missing} "
                "frames that its file announces could not be read, or are cut off in it"
            )
        if self.skipped:
            notes.append(
                f"note: pauses of {self.skipped:,.1f} seconds are left out: the file does not "
                "state its length, so its time stamps may be wrong; a sound would not fit"
            )
        if self.size[0] % 2 or self.size[1] % 2:
            even = f"{self.size[0] // 2 * 2}x{self.size[1] // 2 * 2}"
            notes.append(f"note: videos have even sides, so the output is cut to {even} pixels")
        return notes


def segment_video(
    segmenter: Segmenter,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    class_names: ClassNames,
    *,
    overwrite: bool = False,
    opacity: float = OPACITY,
    legend: bool = True,
    **options: Any,
) -> VideoReport:
    """Write a video of the same size, rate and length with the names of its pixels drawn over it.

    Args:
        source: a video file.
        target: the file to write; its ending says how (`zsk.video_files.CODECS`). There is no
            sound in it.
        class_names: as for `Segmenter.__call__`.
        overwrite: whether `target` may be replaced.
        opacity, legend: as for `FramePainter`.
        options: of `FrameLabels`.

    Raises:
        UserError: the video cannot be read or written, or as `Photo.segment`.
    """
    source, target = Path(source), Path(target)
    check_target(source, target, overwrite)
    video = VideoReader(source)
    labels_of = FrameLabels(segmenter, class_names, **options)
    draw = FramePainter(labels_of.vocabulary.names, video.size, opacity, legend)
    repeated, picture = 0, np.empty(0)
    remove_unfinished(target.parent)
    with VideoWriter(target, video.rate, video.size) as writer:
        for place, frame in progress(video, source.name, video.announced):
            while writer.count < place:
                writer.write(picture)
                repeated += 1
            picture = draw(frame, labels_of(frame))
            writer.write(picture)
        while video.missing <= 0 and writer.count < (video.announced or 0):
            writer.write(picture)  # the last frame stays for long
            repeated += 1
    missing = max(0, (video.announced or 0) - writer.count)
    return VideoReport(writer.count, repeated, missing, video.rate, video.size, video.skipped)


class FrameLabels:
    """Labels of one frame after the other.

    Args:
        class_names: K, as for `Segmenter.__call__`.
        stride: every so many frames are segmented; those between keep the labels, unless a frame
            has another size.
        smooth: in [0,1), the weight of the frames before: 0 takes each frame by itself. The class
            scores are averaged, with weights that fall by this factor from frame to frame.
        background, threshold, lam: as for `Photo.segment`.

    Raises:
        UserError: a number is out of its range, or as `Segmenter.__call__`.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        class_names: ClassNames,
        *,
        stride: int = 1,
        smooth: float = 0.0,
        background: str | None = None,
        threshold: float = 0.0,
        lam: float | None = None,
    ) -> None:
        if not isinstance(stride, int | np.integer) or stride < 1:
            raise UserError(f"stride is {stride!r}: give a whole number from 1")
        if not isinstance(smooth, int | float | np.number) or not 0 <= smooth < 1:
            raise UserError(f"smooth is {smooth!r}: give a number from 0 to below 1")
        segmenter.check_numbers(threshold, lam)
        self.vocabulary = segmenter.vocabulary(class_names)
        self._segmenter = segmenter
        self._asked: dict[str, Any] = {"background": background, "lam": lam}
        self._stride, self._smooth, self._threshold = stride, smooth, threshold
        self._frames = 0
        self._mean = self._labels = np.empty((0, 0))

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """(H,W,3) uint8 RGB -> (H,W) int64, ids into the vocabulary; `ignore_label` is background.

        Raises:
            UserError: there is not enough memory.
        """
        size = frame.shape[0], frame.shape[1]
        if self._frames % self._stride == 0 or self._labels.shape != size:
            scores = self._scores(frame)
            if self._smooth and self._mean.shape == scores.shape:  # else there is none before
                scores = self._smooth * self._mean + (1 - self._smooth) * scores
            self._mean = scores
            self._labels = enlarged_labels(scores, size, self._threshold, len(self.vocabulary))
        self._frames += 1
        return self._labels

    def _scores(self, frame: np.ndarray) -> np.ndarray:
        """(K,h,w) float32 in [0,1], with a background (K+1,h,w)."""
        height, width = frame.shape[:2]
        scale = min(1.0, SCORED_SIDE / max(height, width))
        size = max(1, round(scale * height)), max(1, round(scale * width))
        try:
            photo = self._segmenter.look(frame)
            return photo.probabilities(self.vocabulary, size=size, **self._asked)
        except (MemoryError, RuntimeError) as error:
            if not lacks_memory(error):
                raise
            raise UserError(
                f"a frame of {width}x{height} pixels needs more memory than there is: scale the "
                "video down, or give fewer names"
            ) from error


def enlarged_labels(
    scores: np.ndarray, size: tuple[int, int], threshold: float, count: int
) -> np.ndarray:
    """The class with the best score at every pixel of a frame.

    Args:
        scores: (K,h,w) float32 in [0,1], or (K+1,h,w) with a background; enlarged bilinearly. A
            class that is nowhere the best one before is nowhere the best one.
        size: (H,W).
        threshold: pixels with a lower score are background.
        count: K.
    """
    best = np.full(size, -1, dtype=np.float32)
    labels = np.full(size, ignore_label(count))
    for k in np.unique(scores.argmax(axis=0)):
        here = cv2.resize(scores[k], (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
        better = here > best
        labels[better] = k if k < count else ignore_label(count)
        best[better] = here[better]
    labels[best < threshold] = ignore_label(count)
    return labels


class FramePainter:
    """Draws labels over frames; a name has the same colour in all of them.

    Args:
        names: K.
        size: (width, height) of the frames.
        opacity: of the colours, 0 to 1.
        legend: at the bottom of each frame; else, and where it would cover too much, the names are
            written on the regions.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        size: tuple[int, int],
        opacity: float = OPACITY,
        legend: bool = True,
    ) -> None:
        self._names, self._opacity = names, opacity
        self._colours = fixed_colours(len(names))
        entries = [Entry(n, None, tuple(c)) for n, c in zip(names, self._colours.tolist())]
        drawn = draw_legend(entries, size[0], min(26, max(10, size[0] // 50)))
        self.legend = drawn if legend and drawn.height <= _LEGEND_SHARE * size[1] else None

    def __call__(self, frame: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(H,W,3) uint8 RGB and (H,W) labels -> (H,W,3) uint8 RGB."""
        picture = draw_overlay(
            Image.fromarray(frame), labels, self._names, self._colours,
            opacity=self._opacity, show_names=self.legend is None,
        )  # fmt: skip
        if self.legend is not None:
            place = 0, picture.height - self.legend.height, picture.width, picture.height
            below = picture.crop(place)
            picture.paste(Image.blend(below, self.legend, _LEGEND_OPACITY), place)
        return np.asarray(picture)


def check_target(source: Path, target: Path, overwrite: bool) -> None:
    """Refuse an output before the model takes its time.

    Raises:
        UserError: it has an ending without a codec, no folder, is a folder or the input, or exists.
    """
    check_ending(target)
    if target.exists() and source.exists() and target.samefile(source):
        raise UserError(f"the output {target} is the input: give another name")
    if not target.parent.is_dir():
        raise UserError(f"the output {target} cannot be written: its folder does not exist")
    if target.exists() and not target.is_file():
        raise UserError(f"the output {target} is no file: give another name")
    if target.exists() and not overwrite:
        raise UserError(f"the output {target} exists: give --overwrite to replace it")
    if not os.access(target.parent, os.W_OK):
        raise UserError(f"the output {target} cannot be written: its folder is read-only")
