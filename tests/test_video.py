"""`zsk video`: with a stand-in for the model that names colours, and for real."""

import resource
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from zsk.cli import options, video, webcam
from zsk.drawing.palette import fixed_colours
from zsk.errors import UserError
from zsk.video import FrameLabels, FramePainter, VideoReport, enlarged_labels, segment_video
from zsk.video_files import VideoReader, VideoWriter, writable_rate
from zsk.vocabulary import Vocabulary

RED, GREEN = (200, 30, 30), (30, 160, 30)


class RedOrGreen:
    """A segmenter whose scores are the red and the green of a frame, over 255."""

    def __init__(self, *arguments):
        self.looks = 0

    def vocabulary(self, class_names):
        return Vocabulary.from_words(class_names)

    def with_background(self, vocabulary, background):
        return vocabulary

    def check_numbers(self, threshold, lam):
        pass

    def look(self, frame):
        self.looks += 1
        self.frame = frame
        return self

    def probabilities(self, vocabulary, *, size, background, lam):
        small = cv2.resize(self.frame, size[::-1])
        return small[..., : len(vocabulary)].transpose(2, 0, 1).astype(np.float32) / 255


def moving_square(number):
    """(48,64,3) RGB: a red square of 16 pixels on green, a pixel further in each frame."""
    frame = np.full((48, 64, 3), GREEN, np.uint8)
    frame[4:20, number % 48 : number % 48 + 16] = RED
    return frame


def save_clip(path, frames=50, rate=10.0, size=(160, 120)):
    with VideoWriter(path, rate, size) as writer:
        for number in range(frames):
            writer.write(cv2.resize(moving_square(number), size))
    return path


@pytest.fixture
def clip(tmp_path):
    """Five seconds."""
    return save_clip(tmp_path / "clip.mp4")


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setattr(options, "Segmenter", RedOrGreen)
    monkeypatch.setattr(sys, "argv", ["zsk video"])
    return lambda *arguments: video.main(list(map(str, arguments)))


@pytest.mark.parametrize("ending", ["mp4", "avi", "webm"])
def test_rate_size_and_frames_are_those_of_the_input(run, clip, tmp_path, capsys, ending):
    target = tmp_path / f"out.{ending}"
    options = ("--words", "red, green", "-o", target, "--opacity", 1)
    assert run(clip, *options) == 0
    assert capsys.readouterr().out.startswith(f"{target}: 50 frames of 160x120 at 10 per second")
    result = VideoReader(target)
    assert (result.rate, result.size) == (10, (160, 120))
    frames = dict(result)
    assert list(frames) == list(range(50))
    red, green = fixed_colours(2).astype(int)
    for number in (0, 20, 40):  # a few pixels inside of the square, and far from it
        inside, outside = frames[number][20, int(2.5 * number) + 20], frames[number][80, 150]
        assert np.abs(inside - red).max() < 60 and np.abs(outside - green).max() < 60


def test_every_fourth_frame_is_segmented(clip, tmp_path):
    labels_of = FrameLabels(segmenter := RedOrGreen(), "red, green", stride=4)
    labels = [labels_of(moving_square(number)) for number in range(10)]
    assert segmenter.looks == 3
    edges = [int((found == 0).any(axis=0).argmax()) for found in labels]
    assert edges == [0, 0, 0, 0, 4, 4, 4, 4, 8, 8]


@pytest.mark.parametrize("stride, smooth", [(4, 0.0), (1, 0.5)])
def test_frames_of_another_size_get_labels_of_theirs(stride, smooth):
    labels_of = FrameLabels(RedOrGreen(), "red, green", stride=stride, smooth=smooth)
    frames = [np.full((*size, 3), RED, np.uint8) for size in ((48, 64), (48, 64), (20, 10))]
    assert [labels_of(frame).shape for frame in frames] == [(48, 64), (48, 64), (20, 10)]


def test_smooth_is_an_exponential_mean():
    red, green = (np.full((2, 2, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 255, 0)))
    labels_of = FrameLabels(RedOrGreen(), "red, green", smooth=0.6)
    # the score of red: 1, 0.6, 0.36, 0.616
    assert [labels_of(frame)[0, 0] for frame in (red, green, green, red)] == [0, 0, 1, 0]
    at_once = FrameLabels(RedOrGreen(), "red, green")
    assert [at_once(frame)[0, 0] for frame in (red, green, green, red)] == [0, 1, 1, 0]
    sure = FrameLabels(RedOrGreen(), "red, green", smooth=0.6, threshold=0.61)
    assert [sure(frame)[0, 0] for frame in (red, green, green, red)] == [0, 255, 1, 0]


def test_scores_are_enlarged_before_the_best_one_is_taken():
    scores = np.array([[[1.0, 0.2]], [[0.0, 0.6]]], np.float32)
    # eight pixels on two cells: red falls from 1 to 0.2 where green rises from 0 to 0.6; at the
    # third to sixth they are 0.9, 0.7, 0.5, 0.3 and 0.075, 0.225, 0.375, 0.525
    assert enlarged_labels(scores, (1, 8), 0.0, 2).tolist() == [[0, 0, 0, 0, 0, 1, 1, 1]]
    assert enlarged_labels(scores, (1, 8), 0.55, 2).tolist() == [[0, 0, 0, 0, 255, 255, 1, 1]]
    assert enlarged_labels(scores, (1, 8), 0.0, 1).tolist() == [[0, 0, 0, 0, 0, 255, 255, 255]]


def test_a_legend_that_is_the_same_in_all_frames_or_names_on_regions():
    painter = FramePainter(("red", "green"), (320, 240), opacity=1)
    first, second = (
        painter(cv2.resize(moving_square(n), (320, 240)), np.full((240, 320), n)) for n in (0, 1)
    )
    height = painter.legend.height
    colours = fixed_colours(2)
    for picture, colour in ((first, colours[0]), (second, colours[1])):
        assert (picture[: 240 - height] == colour).all()
    legend = first[-height:].reshape(-1, 3).astype(int)
    for colour in colours:  # mixed with the frame
        assert (np.abs(legend - colour).max(axis=1) < 45).any()
    assert FramePainter(tuple(map(str, range(99))), (320, 240)).legend is None
    assert FramePainter(("red",), (320, 240), legend=False).legend is None


def test_damaged_places_keep_the_length_and_are_told_once(run, tmp_path, capsys):
    clip = save_clip(tmp_path / "clip.mp4", 50, 25.0)
    content = bytearray(clip.read_bytes())
    third, damaged = len(content) // 3, len(content) // 20
    content[third : third + damaged] = bytes(damaged)
    clip.write_bytes(content)
    assert run(clip, "--words", "red, green", "-o", tmp_path / "out.mp4") == 0
    said = capsys.readouterr().out
    assert said.count("note:") == 1 and "show the one before again" in said
    assert len(list(VideoReader(tmp_path / "out.mp4"))) == 50
    clip = save_clip(tmp_path / "clip.webm", 50, 25.0)
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    assert run(clip, "--words", "red, green", "-o", tmp_path / "cut.mp4") == 0
    assert "the 50 frames that its file announces could not be read" in capsys.readouterr().out
    assert 1 < len(list(VideoReader(tmp_path / "cut.mp4"))) < 49


def test_a_rate_that_is_the_clock_of_the_file(tmp_path):
    video = VideoReader(save_clip(tmp_path / "clip.mp4", frames=100, rate=500.0))  # 0.2 seconds
    assert (video.rate, video.announced) == (240, 48)  # what the times say, 240 at most
    places = [place for place, _ in video]
    assert (places[0], places[-1], len(set(places))) == (0, 48, len(places))


def test_a_picture_that_stays_for_long(run, tmp_path, capsys):
    """A screen: 10 pictures a second, one of which stays for 2 seconds, the last one for 3."""
    images = [Image.fromarray(moving_square(n)) for n in range(8)]
    durations = [100, 100, 100, 2000, 100, 100, 100, 3000]
    images[0].save(tmp_path / "in.gif", save_all=True, append_images=images[1:], duration=durations)
    assert run(tmp_path / "in.gif", "--words", "red, green", "-o", tmp_path / "out.mp4") == 0
    said = capsys.readouterr().out
    reader = VideoReader(tmp_path / "out.mp4")
    assert reader.rate == pytest.approx(10)
    assert len(list(reader)) == pytest.approx(56, abs=1) and "ends early" not in said


def test_a_pause_that_no_length_confirms_is_told(clip):
    video = VideoReader(clip)
    frames = [frame for frame, _ in video._decoded()][:4]
    video.announced, video._first = None, (frames[0], 0.0)
    video._frames = zip(frames[1:], (0.1, 15.1, 15.2))
    assert [place for place, _ in video] == [0, 1, 2, 3]
    assert video.skipped == pytest.approx(14.9)
    (note,) = VideoReport(4, 0, 0, 10.0, (160, 120), video.skipped).notes()
    assert "pauses of 14.9 seconds are left out" in note


@pytest.mark.parametrize(
    "rate, written",
    [
        *[(30, 30), (29.97, 29.97), (23.976, 23.976), (0.0333, 0.033), (0.0001, 0.002)],
        *[(239.913, 239.91), (90.037, 90.04), (65.535, 65.535)],
    ],
)
def test_a_rate_that_opencv_writes(tmp_path, rate, written):
    assert writable_rate(rate) == pytest.approx(written, abs=1e-9)
    if rate == 239.913:
        assert VideoReader(save_clip(tmp_path / "fast.mp4", 5, writable_rate(rate))).rate == written


def test_odd_sides_are_cut_and_told(run, tmp_path, capsys):
    frames = [Image.fromarray(moving_square(10 * n)[:47, :63]) for n in range(3)]
    frames[0].save(tmp_path / "in.gif", save_all=True, append_images=frames[1:], duration=100)
    assert run(tmp_path / "in.gif", "--words", "red, green", "-o", tmp_path / "out.mp4") == 0
    assert "the output is cut to 62x46 pixels" in capsys.readouterr().out
    assert VideoReader(tmp_path / "out.mp4").size == (62, 46)


def test_numbers_that_cannot_be(tmp_path):
    FrameLabels(RedOrGreen(), "red, green", stride=np.int64(2), smooth=np.float32(0.5))
    for wrong in ({"stride": 1.5}, {"stride": "2"}, {"smooth": "0.5"}):
        with pytest.raises(UserError, match=f"{next(iter(wrong))} is "):
            FrameLabels(RedOrGreen(), "red, green", **wrong)
    with pytest.raises(UserError, match="with 0 frames per second"):
        VideoWriter(tmp_path / "out.mp4", 0, (64, 48))
    frame = np.zeros((48, 62, 3), np.uint8)
    with pytest.raises(UserError, match="a frame of shape"):
        with VideoWriter(tmp_path / "out.mp4", 10, (64, 48)) as writer:
            writer.write(frame)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_read_or_written_is_a_sentence(run, clip, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mp4").write_bytes(b"")
    whole = clip.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "there.mp4").write_text("kept")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "link.mp4").symlink_to(clip)
    for source, problem in {
        "none.mp4": "does not exist",
        "folder.mp4": "is no file",
        "text.mp4": "cannot be read: it is damaged or no video",
        "empty.mp4": "cannot be read: it is damaged or no video",
        "cut.mp4": "cannot be read: it is damaged or no video",
    }.items():
        with pytest.raises(UserError, match=f"{source} {problem}"):
            run(tmp_path / source, "--words", "red", "-o", tmp_path / "out.mp4")
    for target, problem in {
        "there.mp4": "there.mp4 exists: give --overwrite",
        "none/out.mp4": "its folder does not exist",
        "out.txt": "has to end in .mp4",
        "folder.mp4": "is no file",
        "clip.mp4": "is the input",
        "link.mp4": "is the input",
    }.items():
        with pytest.raises(UserError, match=problem):
            run(clip, "--words", "red", "-o", tmp_path / target)
    assert (tmp_path / "there.mp4").read_text() == "kept"
    for arguments, problem in (
        ((clip, "-o", "out.mp4"), "there are no words"),
        ((clip, "--words", "red"), "there is no output"),
        (("--words", "red", "-o", "out.mp4"), "give a video file, or --webcam"),
        ((clip, "--webcam", 0, "--words", "red"), "not both"),
        (("--webcam", 0, "--words", "red", "-o", "out.mp4"), "leave --output out"),
    ):
        with pytest.raises(UserError, match=problem):
            run(*arguments)
    for option in (("--smooth", 1), ("--smooth", -0.1), ("--stride", 0), ("--opacity", 2)):
        with pytest.raises(SystemExit):
            run(clip, "--words", "red", "-o", tmp_path / "out.mp4", *option)
    assert not (tmp_path / "out.mp4").exists()


def test_a_codec_that_opencv_lacks(clip, tmp_path, monkeypatch):
    monkeypatch.setattr("zsk.video_files.CODECS", {".mp4": ("none",), ".avi": ("MJPG",)})
    with pytest.raises(UserError, match="no codec for 160x120 pixels in .mp4: .* ends in .avi"):
        segment_video(RedOrGreen(), clip, tmp_path / "out.mp4", "red, green")
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_leaves_no_half_file(clip, tmp_path, error):
    class Interrupted(RedOrGreen):
        def look(self, frame):
            if self.looks == 20:
                raise error("stop")
            return super().look(frame)

    target = tmp_path / "out.mp4"
    target.write_text("earlier")
    with pytest.raises(error, match="stop"):
        segment_video(Interrupted(), clip, target, "red, green", overwrite=True)
    assert target.read_text() == "earlier"
    assert {file.name for file in tmp_path.iterdir()} == {"clip.mp4", "out.mp4"}


def test_a_full_disk(clip, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(UserError, match="out.avi cannot be written: only .* as on a full disk"):
            segment_video(RedOrGreen(), clip, tmp_path / "out.avi", "red, green")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_camera_without_a_window(run, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(UserError, match="needs a display"):
        run("--webcam", 0, "--words", "red, green")
    monkeypatch.setenv("DISPLAY", ":0")

    def no_windows(*arguments):
        raise cv2.error("The function is not implemented")

    monkeypatch.setattr(cv2, "namedWindow", no_windows)
    with pytest.raises(UserError, match="pip install opencv-python"):
        run("--webcam", 0, "--words", "red, green")


def test_a_camera_is_shown_until_q(run, monkeypatch, clip):
    shown, keys = [], iter([-1, -1, ord("q")])
    monkeypatch.setattr(webcam, "check_display", lambda: None)
    camera = cv2.VideoCapture(str(clip))
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: camera)
    monkeypatch.setattr(cv2, "imshow", lambda title, picture: shown.append(picture.shape))
    monkeypatch.setattr(cv2, "waitKey", lambda wait: next(keys))
    monkeypatch.setattr(cv2, "getWindowProperty", lambda title, what: 1)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: None)
    assert run("--webcam", 0, "--words", "red, green") == 0
    assert shown == [(120, 160, 3)] * 3
    with pytest.raises(UserError, match="camera 0 gives no picture"):
        run("--webcam", 0, "--words", "red, green")  # it is released


@pytest.mark.slow
def test_the_embedded_model_from_the_command_line(run_program, tmp_path):
    target = tmp_path / "out.mp4"
    options = ("--words", "cat, sofa, wall", "--stride", 25, "--smooth", 0.5, "-o", target)
    done = run_program("-m", "zsk", "video", save_clip(tmp_path / "clip.mp4"), *options)
    assert done.returncode == 0, done.stderr
    assert "50 frames of 160x120" in done.stdout and not done.stderr
    assert len(list(VideoReader(target))) == 50
    refused = run_program("-m", "zsk", "video", target, *options)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
