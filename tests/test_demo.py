"""`zsk segment`: with a stand-in for the model, and for real with the embedded one."""

import errno
import importlib
import json
import logging
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from halves import use_halves
from PIL import Image

from zsk import segmentation
from zsk.cli import segment
from zsk.cli.photo_files import find_photos
from zsk.cli.results import name_results
from zsk.cli.said_logs import said_logs
from zsk.errors import UserError
from zsk.segmenter import DEFAULT_CONFIG, Segmenter
from zsk.vocabulary import Vocabulary

DEMO = Path(__file__).resolve().parents[1] / "demo" / "demo.py"


def save_photo(path, size=(8, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def asked(monkeypatch):
    """See `use_halves`: the first name on the left, the last one on the right."""
    return use_halves(monkeypatch, "diningtable")


@pytest.fixture
def run(asked, monkeypatch, tmp_path):
    """Runs the demo's main in this process with the stand-in; results go to tmp_path/out."""
    vocabulary = Vocabulary.from_words("sky, ground")
    monkeypatch.setattr(segment, "default_vocabulary", lambda cfg: vocabulary)
    return lambda *arguments: segment.main(
        ["--output", str(tmp_path / "out"), *map(str, arguments)]
    )


def assert_written(folder, *stems):
    """Three files per photo and no other."""
    names = {stem + end for stem in stems for end in (".json", "_labels.png", "_overlay.png")}
    assert {path.name for path in folder.iterdir()} == names


def summary(tmp_path, stem):
    return json.loads((tmp_path / "out" / f"{stem}.json").read_text())


def test_three_files_per_photo(run, tmp_path, capsys):
    photo = save_photo(tmp_path / "in" / "one.png")
    opts = ("--opts", "MODEL.CLIP.TEMPERATURE", "9.0")
    assert run("--input", photo, "--class-names", "cat, sofa", *opts) == 0
    assert_written(tmp_path / "out", "one")
    found = summary(tmp_path, "one")
    assert [segment["name"] for segment in found.pop("segments")] == ["cat", "sofa"]
    assert found == {
        "image": str(photo),
        "width": 8,
        "height": 6,
        "names": ["cat", "sofa"],
        "aliases": {},
        "shares": {"cat": 0.5, "sofa": 0.5},
        "config": str(DEFAULT_CONFIG),
        "weights": "default.pth",
        "clip": "ViT-B/16",
        "opts": ["MODEL.CLIP.TEMPERATURE", "9.0"],
        "background": None,
        "threshold": 0.0,
        "lam": 0.7,
    }
    out = capsys.readouterr().out
    assert "[1/1] one.png: cat 50%, sofa 50%" in out and "note:" not in out
    named = ("--weights", "zsk_lite2", "--overwrite", "--class-names", "cat, sofa")
    assert run("--input", photo, *named) == 0
    origin = summary(tmp_path, "one")
    assert (origin["config"], origin["weights"]) == (str(DEFAULT_CONFIG), "zsk_lite2")


def test_how_to_ask_and_to_draw(run, asked, tmp_path, capsys):
    photo = save_photo(tmp_path / "in" / "one.png")
    drawn = ("--coco", "--opacity", "0.3", "--dim-below", "0.5")
    assert run(photo, "--words", "cat|kitten", "--background", "wall|floor", *drawn) == 0
    found = summary(tmp_path, "one")
    assert found["shares"] == {"cat": 0.5} and found["aliases"] == {"cat": ["kitten"]}
    assert found["background"] == "wall|floor"
    coco = json.loads((tmp_path / "out" / "one_coco.json").read_text())
    assert coco["images"][0]["file_name"] == "one.png" and len(coco["annotations"]) == 1
    assert "is the only name" not in capsys.readouterr().out
    numbers = ("--threshold", "0.5", "--lam", "0.25")
    assert run(photo, "--words", "cat, sofa", *numbers, "--overwrite") == 0
    found = summary(tmp_path, "one")
    assert found["shares"] == {"cat": 0.5, "sofa": 0.0}
    assert (found["threshold"], found["lam"]) == (0.5, 0.25)
    assert asked["model"].lam == 0.25
    with pytest.raises(SystemExit):
        run(photo, "--threshold", "1.5")
    assert "--threshold: invalid number from 0 to 1 value: '1.5'" in capsys.readouterr().err


def test_logs_are_plain_lines(capsys):
    with said_logs():
        for name, level in (("zsk.a", "INFO"), ("zsk.b", "WARNING"), ("zsk.segmenter", "INFO")):
            logging.getLogger(name).log(getattr(logging, level), f"{name} says")
    logging.getLogger("zsk.a").info("said no more")
    assert capsys.readouterr() == ("zsk.a says\n", "zsk.b says\n")


def test_names_from_a_file_and_what_they_count_as(run, tmp_path, capsys):
    (tmp_path / "names.txt").write_text("\ufeffdining_table\nsofa\n\n")
    photo = save_photo(tmp_path / "in" / "one.png")
    assert run("--input", photo, "--class-names", f"@{tmp_path / 'names.txt'}") == 0
    assert summary(tmp_path, "one")["names"] == ["dining_table", "sofa"]
    said = capsys.readouterr().out
    assert '"dining_table" counts as the trained class "diningtable"\n' in said
    run("--input", photo, "--output", tmp_path / "two", "--class-names", "cat,")
    assert 'note: "cat" is the only name, so every pixel gets it' in capsys.readouterr().out
    with pytest.raises(UserError, match="names.csv does not exist"):
        run("--input", photo, "--class-names", "names.csv")


def test_the_configurations_names_and_a_weak_model(run, tmp_path, capsys):
    photo = save_photo(tmp_path / "one.png", (1, 1))
    run("--input", photo, "--opts", "MODEL.CLIP.NAME", "embedded")
    assert summary(tmp_path, "one")["names"] == ["sky", "ground"]
    (note,) = [line for line in capsys.readouterr().out.splitlines() if "weak" in line]
    assert "--weights" in note


def test_what_cannot_be_read_is_named_and_the_others_are_done(run, asked, tmp_path, capsys):
    """Five photos, two at a time, two of them damaged, and a path that is not there."""
    for number in range(5):
        save_photo(tmp_path / "in" / f"{number}.png", (4 + number, 3))
    (tmp_path / "in" / "2.png").write_bytes(b"x")
    whole = save_photo(tmp_path / "in" / "5.jpg", (64, 64)).read_bytes()
    (tmp_path / "in" / "5.jpg").write_bytes(whole[: len(whole) // 2])
    options = ("--batch-size", 2, "--class-names", "cat")
    assert run("--input", tmp_path / "none", tmp_path / "in", *options) == 2
    assert asked["model"].calls == [2, 1, 1]
    captured = capsys.readouterr()
    lines = [line.split(":")[0] for line in captured.out.splitlines() if line.startswith("[")]
    assert lines == ["[1/6] 0.png", "[2/6] 1.png", "[4/6] 3.png", "[5/6] 4.png"]
    assert "4 of 7 photos" in captured.out
    for line, name in zip(captured.err.splitlines(), ("none", "2.png", "5.jpg"), strict=True):
        assert line.startswith("error: ") and name in line
    assert [summary(tmp_path, number)["width"] for number in (0, 1, 3, 4)] == [4, 5, 7, 8]


def test_sample_photos_have_words_of_their_own(run, tmp_path):
    assert run("--sample-photos") == 0
    found = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "out").glob("*.json")}
    expected = {"chelsea": "cat", "motorcycle": "bench", "coffee": "saucer", "astronaut": "flag"}
    assert found.keys() == expected.keys()
    for stem, word in expected.items():
        assert word in found[stem]["names"] and 6 <= len(found[stem]["names"]) <= 8


@pytest.mark.parametrize("words", [["--words", "cat"], ["--input", "x", "--batch-size", 0]])
def test_a_wrong_call_is_exit_code_2(run, words):
    with pytest.raises(SystemExit) as stop:
        run(*words)
    assert stop.value.code == 2


def test_no_photo_at_all_and_an_output_that_is_a_file_are_refused(run, tmp_path):
    with pytest.raises(UserError, match="none.png"):
        run("--input", tmp_path / "none.png", tmp_path / "nowhere")
    photo = save_photo(tmp_path / "one.png")
    with pytest.raises(UserError, match="one.png cannot be written: File exists"):
        run("--input", photo, "--output", photo)


def test_find_photos(tmp_path):
    for name in ("b.JPG", "a.png", "sub/c.png"):
        save_photo(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no photo")
    (tmp_path / "empty").mkdir()
    # a named file is tried
    for end, names in ("", "a.png b.JPG"), ("*/*.png", "c.png"), ("notes.txt", "notes.txt"):
        found = find_photos(f"{tmp_path}/{end}")
        assert [path.name for path in found] == names.split()
    for pattern in ("x.jpg", "*.webp", "empty"):
        with pytest.raises(UserError, match=f"photos .*{re.escape(pattern)}: "):
            find_photos(f"{tmp_path}/{pattern}")


def test_no_result_replaces_another_or_a_photo(tmp_path):
    def stems(folder, *names):
        photos = {tmp_path / name: Path(name).stem for name in names}
        targets = name_results(photos, tmp_path / folder).values()
        return [target.name for target in targets]

    found = stems("out", "a/cat.jpg", "b/cat.png", "b/CAT.jpg", "b/dog.jpg", "b/../b/dog.jpg")
    assert found == ["cat", "b_cat", "CAT_2", "dog"]  # letter case is not enough; one dog
    assert stems("a", "a/cat.jpg", "a/cat_labels.png") == ["a_cat", "cat_labels"]


ODD_NAMES = ("n" * 251, "ü" * 125, "bytes\udcff", ".", "a\nb", "😀", "-x", "[1]*?", "{}%s", " ")


def test_photos_with_odd_names(run, tmp_path):
    """All are segmented, all results lie in the output folder, the JSON holds the right name."""
    for name in ODD_NAMES:
        save_photo(tmp_path / "in" / "x.png").rename(tmp_path / "in" / f"{name}.png")
    assert run("--input", tmp_path / "in", "--class-names", "cat") == 0
    files = list((tmp_path / "out").iterdir())
    found = [json.loads(file.read_bytes())["image"] for file in files if file.suffix == ".json"]
    assert sorted(found) == sorted(str(tmp_path / "in" / f"{name}.png") for name in ODD_NAMES)
    assert len(files) == 3 * len(ODD_NAMES) and len(list(tmp_path.iterdir())) == 2


def test_what_is_no_photo_is_a_line_each(run, tmp_path, capsys):
    folder = save_photo(tmp_path / "in" / "sound.png").parent
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "dangling.jpg").symlink_to("nowhere")
    (folder / "zero.jpg").symlink_to("/dev/zero")
    (folder / "folder.jpg").mkdir()  # no photo, and no mistake
    os.mkfifo(folder / "pipe.jpg")
    (folder / "text.jpg").write_text("no photo")
    (folder / "._sound.png").write_text("macOS's notes, which are left out")
    (folder / "pho\nto.jpg").touch()
    assert run("--input", folder, folder / "loop.jpg", "x" * 300, "", "--class-names", "cat") == 2
    assert_written(tmp_path / "out", "sound")
    captured = capsys.readouterr()
    assert "1 of 9 photos segmented" in captured.out
    assert "the name of a file or folder is empty" in captured.err
    assert len(captured.err.splitlines()) == captured.err.count("error: ") == 8


def test_results_are_no_photos_and_are_kept(run, asked, tmp_path, capsys):
    """Photos and results in one folder: a second run asks first, and reads the photo alone."""
    folder = save_photo(tmp_path / "out" / "one.png").parent
    call = ("--input", folder, "--class-names")
    assert run(*call, "cat") == 0
    with pytest.raises(UserError, match="result .*one_overlay.png exists: give --overwrite"):
        run(*call, "dog")
    assert summary(tmp_path, "one")["names"] == ["cat"] and asked["model"].calls == [1]
    capsys.readouterr()
    assert run(*call, "dog", "--overwrite", "--input", f"{folder}/*") == 0
    assert summary(tmp_path, "one")["names"] == ["dog"] and len(list(folder.iterdir())) == 4
    captured = capsys.readouterr()
    assert "1 of 1 photos" in captured.out and "note: 3 files are results" in captured.err
    with pytest.raises(UserError, match="only results of an earlier run"):
        run("--input", folder / "one_labels.png")
    # those of Python are, too, also of a photo that was no file
    Segmenter()(np.zeros((2, 4, 3), np.uint8), "cat").save(folder, "array")
    assert run(*call, "dog", "--overwrite") == 0
    assert "1 of 1 photos" in capsys.readouterr().out
    for file in folder.glob("array*"):
        file.unlink()
    # somebody's annotations are no results
    (folder / "one.json").write_text('{"image": "one.png"}')
    save_photo(folder / "two.png")
    assert run(*call, "cat", "--overwrite") == 0
    assert "4 of 4 photos" in capsys.readouterr().out


def test_two_stars_are_any_folders(tmp_path):
    for name in ("a.jpg", "b/c.jpg", "b/d/e.jpg", "b/.hidden/f.jpg", "b/.g.jpg"):
        save_photo(tmp_path / name)
    for name in ("round", "b/and_round"):  # following both would never end
        (tmp_path / name).symlink_to(tmp_path)
    found = find_photos(f"{tmp_path}/**/*.jpg")
    assert sorted(path.name for path in found) == ["a.jpg", "c.jpg", "e.jpg"]


def test_results_that_cannot_be_written_are_a_line_each(run, tmp_path, monkeypatch, capsys):
    for name in ("a", "b", "c", "d"):
        save_photo(tmp_path / "in" / f"{name}.png")
    (tmp_path / "out" / "a.json").mkdir(parents=True)
    assert run("--input", tmp_path / "in" / "c.png", "--class-names", "cat") == 0
    save, saved = Image.Image.save, []

    def save_unless_full(image, file, *args, **kwargs):
        save(image, file, *args, **kwargs)
        saved.append(file)
        if len(saved) == 6:  # the second picture of the third photo
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", save_unless_full)
    assert run("--input", tmp_path / "in", "--class-names", "dog", "--overwrite") == 2
    captured = capsys.readouterr()
    first, second = captured.err.splitlines()
    assert first.endswith("a.json cannot be written: Is a directory")
    assert second.endswith("c_overlay.png cannot be written: No space left on device")
    assert "2 of 4 photos" in captured.out and summary(tmp_path, "d")["names"] == ["dog"]
    # no earlier summary beside label images that may be new
    assert not (tmp_path / "out" / "c.json").exists()
    assert not list((tmp_path / "out").glob(".*"))


def test_wrong_words_are_refused_before_the_model_is_loaded(run, tmp_path, monkeypatch):
    monkeypatch.setattr(segment, "segmenter_of", None)
    names = ",".join(f"name {k}" for k in range(70_000))
    with pytest.raises(UserError, match="70000 were given"):
        run("--input", save_photo(tmp_path / "one.png"), "--class-names", names)
    with pytest.raises(UserError, match="the background 'cats' is the name 'cat', too"):
        run(tmp_path / "one.png", "--words", "cat", "--background", "wall, cats")


def test_a_photo_that_needs_too_much_memory(run, tmp_path, monkeypatch, capsys):
    for name, width in (("a", 8), ("b", 9), ("c", 8)):
        save_photo(tmp_path / "in" / f"{name}.png", (width, 6))
    together = Segmenter.together

    def limited(self, images, class_names, **asked):
        if sum(image.shape[1] for image in images) > 8:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return together(self, images, class_names, **asked)

    with monkeypatch.context() as patch:
        patch.setattr(Segmenter, "together", limited)
        assert run("--input", tmp_path / "in", "--batch-size", 3, "--class-names", "cat") == 2
    assert_written(tmp_path / "out", "a", "c")
    assert "b.png (9x6 pixels) needs more memory" in capsys.readouterr().err
    find_segments = segmentation.find_segments

    def limited_too(labels, *args):
        if labels.shape[1] > 8:
            raise MemoryError
        return find_segments(labels, *args)

    monkeypatch.setattr(segmentation, "find_segments", limited_too)
    assert run("--input", tmp_path / "in", "--class-names", "cat", "--overwrite") == 2
    assert_written(tmp_path / "out", "a", "c")
    assert "b.png (9x6 pixels) needs more memory" in capsys.readouterr().err


def test_photos_of_a_kind_that_is_not_read(run, tmp_path, capsys):
    folder = save_photo(tmp_path / "in" / "one.JFIF").parent
    (folder / "two.HEIC").touch()
    assert run(folder, "--words", "cat") == 0
    assert_written(tmp_path / "out", "one")
    found = capsys.readouterr()
    assert f"note: 1 photos are of a kind that is not read and are left out, such as {folder}" in (
        found.err
    )
    assert run(folder / "one.JFIF", folder / "two.HEIC", "--words", "cat", "--overwrite") == 2
    assert "two.HEIC cannot be read (no image of a known format): convert it to PNG" in (
        capsys.readouterr().err
    )


def test_a_closed_pipe_does_not_end_the_run(run, tmp_path, monkeypatch, capsys):
    for name in ("a", "b"):
        save_photo(tmp_path / "in" / f"{name}.png")
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as output, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", output)
        assert run("--input", tmp_path / "in", "--class-names", "cat") == 0
    assert_written(tmp_path / "out", "a", "b")
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.filterwarnings("ignore:.*EXIF data")  # of Pillow, which writes the odd photos
def test_a_little_fuzz(run, tmp_path, capsys, monkeypatch):
    """As `make fuzz` with the model: whole results or a line for each of 30 odd photos."""
    fuzz = importlib.import_module("fuzz_demo")
    (tmp_path / "in").mkdir()
    rng = random.Random(2)
    odd = [fuzz.make_odd_file(tmp_path / "in", number, rng) for number in range(30)]
    code = run("--input", tmp_path / "in", "--class-names", "cat")
    found = fuzz.judge_folder(odd, tmp_path / "out", code, capsys.readouterr().err)
    assert set(found) == {"done", "refused with a line", "sound, done"}
    assert min(found["done"], found["refused with a line"]) > 8
    monkeypatch.chdir(tmp_path)  # fuzz_names goes elsewhere and replaces the model
    monkeypatch.setattr(segment, "segmenter_of", segment.segmenter_of)
    found = fuzz.fuzz_names(tmp_path, 15, rng)
    assert set(found) == {"names, done", "names, refused with a sentence"}


TRAINING_FREE = (
    "clip_b16",
    pytest.param("clip_b16_crops", marks=pytest.mark.slow),
    "dense_clip_b16",
)


@pytest.mark.parametrize("config", TRAINING_FREE)
def test_a_model_without_training(monkeypatch, tmp_path, capsys, tiny_clip, config):
    """With a file of CLIP's weights there are overlays, without one a sentence says where it is."""
    words = ["--input", str(save_photo(tmp_path / "in" / "one.png", (40, 30))), "--device", "cpu"]
    words += ["--output", str(tmp_path / "out"), "--class-names", "cats, sofa"]
    words += ["--config-file", f"configs/training_free/{config}.yaml"]
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ZSK_CLIP_DIR", raising=False)
    with pytest.raises(UserError, match=r"ViT-B-16.pt.* are not in .*clip.load\('ViT-B/16'\)"):
        segment.main(words)
    assert segment.main([*words, "--opts", "MODEL.CLIP.NAME", str(tiny_clip)]) == 0
    assert_written(tmp_path / "out", "one")
    assert "1 of 1 photos segmented" in (said := capsys.readouterr().out)
    assert "counts as the trained class" not in said  # nothing was trained


@pytest.mark.parametrize(
    "program, folder",
    [
        (("-m", "zsk", "segment"), "output/segment"),
        pytest.param((str(DEMO), "--input"), "output/demo", marks=pytest.mark.slow),
    ],
)
def test_the_command_from_another_folder_with_the_embedded_model(tmp_path, program, folder):
    save_photo(tmp_path / "in" / "one.png", (40, 30))
    save_photo(tmp_path / "in" / "two.jpg", (1, 1))
    command = [sys.executable, *program, "in/one.png", "--words", "cat, sofa", "in/two.jpg"]
    env = {**os.environ, "PYTHONPATH": str(DEMO.parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^weights file .*zsk_lite2.pth: all \d+ tensors that", done.stdout, re.M)
    assert not done.stderr
    results = tmp_path / folder
    assert_written(results, "one", "two")
    with Image.open(results / "one_labels.png") as labels:
        assert labels.size == (40, 30) and set(np.unique(np.asarray(labels))) <= {0, 1}
    shares = json.loads((results / "one.json").read_text())["shares"]
    assert sum(shares.values()) == pytest.approx(1.0)
