"""A camera's pictures with the names of their pixels, in a window."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2

from zsk.errors import UserError
from zsk.segmenter import Segmenter
from zsk.terminal import say
from zsk.video import FrameLabels, FramePainter
from zsk.video_files import quiet_opencv

_TITLE = "zsk video: q ends it"
_CLOSED = (ord("q"), ord("Q"), 27)


def show_webcam(
    number: int,
    load: Callable[[], Segmenter],
    words: Sequence[str],
    asked: Mapping[str, Any],
    drawn: Mapping[str, Any],
) -> int:
    """Show what a camera sees, segmented, until `q` or Escape is pressed or the window is closed.

    Args:
        number: of the camera, from 0 on.
        load: makes the segmenter, after camera and display were found.
        asked: options of `FrameLabels`.
        drawn: options of `FramePainter`.

    Raises:
        UserError: there is no display, OpenCV has no windows, or the camera is not there, or not
            any more.
    """
    quiet_opencv()
    check_display()
    camera = cv2.VideoCapture(number)
    try:
        found, frame = camera.read()
        if not found:
            raise UserError(
                f"camera {number} gives no picture: give another number with --webcam, and close "
                "other programs that use the camera"
            )
        camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # else the pictures are old
        labels_of = FrameLabels(load(), words, **asked)
        size = frame.shape[1], frame.shape[0]
        draw = FramePainter(labels_of.vocabulary.names, size, **drawn)
        say("press q in the window to end")
        while found:
            rgb = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            cv2.imshow(_TITLE, cv2.cvtColor(draw(rgb, labels_of(rgb)), cv2.COLOR_RGB2BGR))
            if cv2.waitKey(1) & 0xFF in _CLOSED:
                break
            if cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) < 1:
                break
            found, frame = camera.read()
        else:
            raise UserError(f"camera {number} gives no picture any more")
    finally:
        camera.release()
        cv2.destroyAllWindows()
    return 0


def check_display() -> None:
    """Raises UserError where no window can be shown."""
    # without a display, OpenCV with Qt ends the process
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        raise UserError("--webcam needs a display, and there is none here: give a video file")
    try:
        cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL)
    except cv2.error as error:
        raise UserError(
            "--webcam needs a window, which opencv-python-headless does not have: pip uninstall "
            "opencv-python-headless, then pip install opencv-python"
        ) from error
