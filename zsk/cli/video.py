"""`zsk video`: a video, or a camera, segmented with words of the user's own choice."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from zsk.cli.options import (
    add_asking_options,
    add_model_options,
    asked,
    segmenter_of,
    share,
)
from zsk.cli.said_logs import said_logs
from zsk.cli.webcam import show_webcam
from zsk.drawing.overlay import OPACITY
from zsk.errors import UserError
from zsk.files import user_path
from zsk.terminal import say
from zsk.video import check_target, segment_video
from zsk.video_files import VideoReader
from zsk.words import option_words


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Segment a video with words of your own choice.",
        epilog='example: zsk video in.mp4 --words "road, car, sky" -o out.mp4\n'
        "exit code: 0 when the video was written, 2 when something was wrong",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("video", nargs="?", metavar="VIDEO", help="a video file")
    add("--webcam", type=int, metavar="N", help="a camera, 0 is the first one; q ends it")
    add("--words", "--class-names", metavar="WORDS", help="separated by commas, or @FILE")
    add("-o", "--output", metavar="FILE", help="the video to write: .mp4, .webm, .avi, …")
    add("--overwrite", action="store_true", help="replace an earlier output")
    add("--stride", type=int, default=1, metavar="N", help="segment every Nth frame; default: 1")
    smooth_help = "how much the frames before count, against flicker; default: 0"
    add("--smooth", type=share, default=0.0, metavar="0-1", help=smooth_help)
    add_asking_options(parser)
    opacity_help = "of the colours; default: %(default)s"
    add("--opacity", type=share, default=OPACITY, metavar="0-1", help=opacity_help)
    add("--no-legend", action="store_true", help="write the names on the regions instead")
    add_model_options(parser)
    arguments = parser.parse_intermixed_args(argv)
    if arguments.smooth == 1:
        parser.error("--smooth is 1, so that only the first frame would count: give less")
    if arguments.stride < 1:
        parser.error(f"--stride is {arguments.stride}: give at least 1")
    return arguments


@said_logs()
def main(argv: Sequence[str] | None = None) -> int:
    """Write the video, or show the camera; a UserError for what is wrong."""
    args = parse_arguments(argv)
    if (args.video is None) == (args.webcam is None):
        raise UserError("give a video file, or --webcam 0, and not both: zsk video --help")
    if args.webcam is not None and args.output is not None:
        raise UserError("--webcam shows a window and writes no file: leave --output out")
    if args.webcam is None and args.output is None:
        raise UserError("there is no output: give the name of the video to write with -o out.mp4")
    if args.words is None:
        raise UserError('there are no words: give --words "road, car, sky"')
    words = option_words(args.words)
    options = {**asked(args), "stride": args.stride, "smooth": args.smooth}
    drawn = {"opacity": args.opacity, "legend": not args.no_legend}
    if args.webcam is not None:
        return show_webcam(args.webcam, lambda: segmenter_of(args), words, options, drawn)
    source, target = user_path(args.video), user_path(args.output)
    check_target(source, target, args.overwrite)
    VideoReader(source)  # what cannot be read is refused before the model is loaded
    segmenter = segmenter_of(args)
    vocabulary = segmenter.vocabulary(words)
    for note in segmenter.with_background(vocabulary, options["background"]).notes():
        say(note)
    start = time.perf_counter()
    report = segment_video(
        segmenter, source, target, words, overwrite=args.overwrite, **drawn, **options
    )
    for note in report.notes():
        say(note)
    seconds = time.perf_counter() - start
    say(f"{target}: {report} ({seconds:.0f} s)")
    return 0
