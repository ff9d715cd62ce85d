"""Video files: read at a constant rate whatever their time stamps, written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import cv2
import numpy as np

from zsk.errors import UserError
from zsk.files import replacing

# ending -> codecs; the first that this OpenCV has is taken
CODECS = {
    ".mp4": ("avc1", "mp4v"),
    ".m4v": ("avc1", "mp4v"),
    ".mov": ("avc1", "mp4v"),
    ".mkv": ("avc1", "mp4v"),
    ".avi": ("MJPG",),
    ".webm": ("VP90",),
}
FALLBACK_RATE = 30.0
_LARGEST_RATE = 240.0  # containers without a rate of their own give the ticks of their clock
_LONGEST_GAP = 10.0  # seconds between frames; more is a wrong time stamp
_MEASURED, _CLEARLY = 300, 1.05  # frames whose times are compared, factor over the mean rate
_FAILURES = 30  # frames that cannot be read one after the other are the end


def quiet_opencv() -> None:
    """Silence FFmpeg and OpenCV on stderr, but for OpenCV's line on the codec of a .webm."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


class VideoReader:
    """The frames of a video file.

    Attributes:
        rate: frames per second as OpenCV can write them, FALLBACK_RATE where the file has none; of
            a file whose rate varies that of most of its frames.
        size: (width, height) of the first frame.
        announced: how many frames its length is at `rate`; None where it does not say.
        missing: so many of the frames that it says to have were not decoded so far.
        skipped: seconds of long pauses that the places leave out, since nothing confirms them.

    Raises:
        UserError: there is no such file, or no frame can be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            problem = "is no file" if self.path.exists() else "does not exist"
            raise UserError(f"the video {path} {problem}")
        quiet_opencv()
        # not a relative path, which may look like an address
        self._capture = cv2.VideoCapture(str(self.path.resolve()), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise UserError(f"the video {path} cannot be read: it is damaged or no video")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if 0 < rate <= _LARGEST_RATE else FALLBACK_RATE
        self.rate = writable_rate(max(self.rate, self._measured_rate()))
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.missing = max(0, round(count))
        self.announced = round(count / rate * self.rate) if count > 0 and rate > 0 else None
        self.skipped = 0.0
        self._frames = self._decoded()
        try:
            self._first = next(self._frames)
        except StopIteration:
            raise UserError(f"the video {path} has no frame that can be read") from None
        self.size = self._first[0].shape[1], self._first[0].shape[0]

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        """Once: the places of the frames at `rate`, from 0 on, and the frames, (H,W,3) uint8 RGB.

        A place without a frame is one that cannot be read, or that the camera left out.
        """
        position, next_place, before = -1.0, 0, self._first[1]
        for frame, time in chain([self._first], self._frames):
            seconds, before = time - before, time
            step = seconds * self.rate
            fits = seconds <= _LONGEST_GAP or position + step < (self.announced or 0)
            if not fits and self.announced is None:
                self.skipped += max(0.0, seconds - 1 / self.rate)
            # the first frame, and those without time stamps, follow at the rate
            position += step if 0 < seconds and fits else 1
            place = round(position)
            if place >= next_place:  # else two frames have one place
                next_place = place + 1
                if (frame.shape[1], frame.shape[0]) != self.size:
                    frame = cv2.resize(frame, self.size)
                yield place, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)

    def _measured_rate(self) -> float:
        """That of most of the first frames, where it is clearly over the mean; else 0."""
        times: list[float] = []
        while len(times) < _MEASURED and self._capture.grab():
            times.append(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
        self._capture.open(str(self.path.resolve()), cv2.CAP_FFMPEG)  # from the start again
        steps = np.diff(times)
        usual = float(np.median(steps[steps > 0])) if (steps > 0).any() else 0
        rate = min(1 / usual, _LARGEST_RATE) if usual else 0
        return rate if rate > _CLEARLY * self.rate else 0

    def _decoded(self) -> Iterator[tuple[np.ndarray, float]]:
        """Frames, BGR, and their times in seconds; damaged places are skipped."""
        failures = 0
        while failures < _FAILURES:
            found, frame = self._capture.read()
            if found:
                failures = 0
                self.missing -= 1
                yield frame, self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            else:
                failures += 1


def writable_rate(rate: float) -> float:
    """The rate that OpenCV writes for another: a fraction of a power of ten, at most 65535 over it.

    Asked for a rate that takes more digits, it says that it has no codec.
    """
    for digits in range(4):
        rounded = round(rate, digits)
        if abs(rounded - rate) <= 0.001 or round(rate * 10 ** (digits + 1)) > 65535:
            break
    return max(rounded, 0.002)


class VideoWriter:
    """Writes a video file that gets its name when all frames are in it and can be read back.

    For a `with` block. After an error in it the new file is removed, an older one stays.

    Args:
        path: its ending is one of CODECS.
        rate: frames per second.
        size: (width, height).

    Raises:
        UserError: no codec for the ending, or no such folder; when the block ends: the file cannot
            be written.
    """

    def __init__(self, path: str | os.PathLike[str], rate: float, size: tuple[int, int]) -> None:
        self.path = Path(path)
        self.count, self._size = 0, size
        if not rate > 0:
            raise UserError(f"{path} cannot be written with {rate} frames per second")
        self._unfinished = self.path.with_name(
            f".unfinished-{secrets.token_hex(8)}{self.path.suffix}"
        )
        quiet_opencv()
        if not self.path.parent.is_dir():
            raise UserError(f"{path} cannot be written: there is no folder {self.path.parent}")
        for codec in CODECS[check_ending(self.path)]:
            self._writer = cv2.VideoWriter(
                str(self._unfinished), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), rate, size
            )
            if self._writer.isOpened():
                break
        else:
            self._unfinished.unlink(missing_ok=True)
            others = " or ".join(sorted(CODECS.keys() - {self.path.suffix.lower()}))
            raise UserError(
                f"{path} cannot be written: this OpenCV has no codec for {size[0]}x{size[1]} "
                f"pixels in {self.path.suffix}: give a name that ends in {others}"
            )

    def write(self, frame: np.ndarray) -> None:
        """Append a frame, (H,W,3) uint8 RGB. Raises UserError for one of another size."""
        if frame.shape != (*self._size[::-1], 3):
            raise UserError(
                f"{self.path}: a frame of shape {frame.shape} in a video of a width and height of "
                f"{self._size[0]} and {self._size[1]} pixels"
            )
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        self.count += 1

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._writer.release()
        try:
            if kind is None:
                self._check()
                with replacing(self.path) as final:
                    os.replace(self._unfinished, final)
        finally:
            self._unfinished.unlink(missing_ok=True)

    def _check(self) -> None:
        """OpenCV says nothing about a write that failed."""
        capture, readable = cv2.VideoCapture(str(self._unfinished), cv2.CAP_FFMPEG), 0
        while capture.grab():
            readable += 1
        capture.release()
        if readable != self.count:
            raise UserError(
                f"{self.path} cannot be written: only {readable} of its {self.count} frames can be "
                "read back, as on a full disk"
            )


def check_ending(path: Path) -> str:
    """The ending of a video that can be written, in lower case; UserError for another one."""
    ending = path.suffix.lower()
    if ending not in CODECS:
        raise UserError(
            f"the output {path} has to end in {', '.join(CODECS)}, which say how it is encoded"
        )
    return ending
