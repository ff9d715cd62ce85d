"""The demo's command line: with a stand-in for the model, and for real with the embedded one."""

import importlib
import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zsk.segmenter import DEFAULT_CONFIG, Segmentation
from zsk.vocabulary import Vocabulary

DEMO = Path(__file__).resolve().parents[1] / "demo" / "demo.py"


def save_photo(path, size=(8, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def demo_files(monkeypatch):
    monkeypatch.syspath_prepend(str(DEMO.parent))
    return importlib.import_module("demo_files")


class FakeSegmenter:
    """Labels everything with the first name; `name` is the text encoder it claims to use."""

    name = "ViT-B/16"

    def __init__(self, config_file, weights, device, opts):
        from detectron2.config import CfgNode

        self.cfg = CfgNode(
            {"MODEL": {"WEIGHTS": weights or "w.pth", "CLIP": {"NAME": FakeSegmenter.name}}}
        )

        FakeSegmenter.batches = []

    def together(self, images, class_names):
        FakeSegmenter.batches.append(len(images))
        if not isinstance(class_names, Vocabulary):
            class_names = Vocabulary.from_words(class_names)
        labels = [np.zeros(image.shape[:2], dtype=np.int64) for image in images]
        return [Segmentation(one, class_names) for one in labels]


@pytest.fixture
def run(demo_files, monkeypatch, tmp_path):
    """Runs the demo's main in this process with the stand-in; results go to tmp_path/out."""
    demo = importlib.import_module("demo")
    monkeypatch.setattr(demo, "Segmenter", FakeSegmenter)
    monkeypatch.setattr(
        demo, "default_vocabulary", lambda cfg: Vocabulary.from_words("sky, ground")
    )
    return lambda *arguments: demo.main([*map(str, arguments), "--output", str(tmp_path / "out")])


def written(tmp_path):
    return sorted(path.name for path in (tmp_path / "out").iterdir())


def test_three_files_per_photo(run, tmp_path, capsys):
    photo = save_photo(tmp_path / "in" / "one.png")
    assert run("--input", photo, "--class-names", "cat, sofa") == 0
    assert written(tmp_path) == ["one.json", "one_labels.png", "one_overlay.png"]
    with Image.open(tmp_path / "out" / "one_labels.png") as labels:
        assert (labels.mode, labels.size) == ("P", (8, 6))
    summary = json.loads((tmp_path / "out" / "one.json").read_text())
    assert summary == {
        "image": str(photo),
        "width": 8,
        "height": 6,
        "names": ["cat", "sofa"],
        "shares": {"cat": 1.0, "sofa": 0.0},
        "config": str(DEFAULT_CONFIG),
        "weights": "w.pth",
    }
    out = capsys.readouterr().out
    assert "[1/1] one.png: cat 100%" in out and "note:" not in out


def test_the_configurations_names_are_the_default(run, tmp_path):
    run("--input", save_photo(tmp_path / "one.png"))
    assert json.loads((tmp_path / "out" / "one.json").read_text())["names"] == ["sky", "ground"]


def test_the_embedded_model_is_announced_as_weak(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(FakeSegmenter, "name", "embedded")
    run("--input", save_photo(tmp_path / "one.png"))
    (note,) = [line for line in capsys.readouterr().out.splitlines() if "weak" in line]
    assert "--weights" in note


def test_a_bad_photo_is_named_and_the_others_are_done(run, tmp_path, capsys):
    save_photo(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.jpg").write_bytes(b"x")
    whole = save_photo(tmp_path / "in" / "c.jpg", (64, 64)).read_bytes()
    (tmp_path / "in" / "c.jpg").write_bytes(whole[: len(whole) // 2])
    save_photo(tmp_path / "in" / "d.png")
    assert run("--input", tmp_path / "in") == 2
    captured = capsys.readouterr()
    errors = captured.err.splitlines()
    assert len(errors) == 2 and all(line.startswith("error: ") for line in errors)
    assert "b.jpg" in errors[0] and "c.jpg" in errors[1]
    assert "2 of 4 photos" in captured.out
    assert [name for name in written(tmp_path) if name.endswith(".json")] == ["a.json", "d.json"]


def test_photos_go_through_the_model_together(run, tmp_path, capsys):
    """Five, one of them unreadable, two at a time: each gets its own results and its line."""
    for number in range(5):
        save_photo(tmp_path / "in" / f"{number}.png", (4 + number, 3))
    (tmp_path / "in" / "2.png").write_bytes(b"x")
    assert run("--input", tmp_path / "in", "--batch-size", 2, "--class-names", "cat") == 2
    assert FakeSegmenter.batches == [2, 1, 1]
    captured = capsys.readouterr()
    lines = [line.split(":")[0] for line in captured.out.splitlines() if line.startswith("[")]
    assert lines == ["[1/5] 0.png", "[2/5] 1.png", "[4/5] 3.png", "[5/5] 4.png"]
    assert "2.png" in captured.err and "4 of 5 photos" in captured.out
    for number in (0, 1, 3, 4):
        summary = json.loads((tmp_path / "out" / f"{number}.json").read_text())
        assert (summary["width"], summary["height"]) == (4 + number, 3)


def test_the_next_photos_are_read_while_these_are_worked_on(demo_files, monkeypatch):
    reading = {name: threading.Event() for name in "abc"}

    def read_image(path):
        reading[path.name].set()
        return np.zeros((1, 1, 3), dtype=np.uint8)

    monkeypatch.setattr(demo_files, "read_image", read_image)
    batches = demo_files.read_ahead([Path(name) for name in reading], 1)
    assert [photo.name for photo, _ in next(batches)] == ["a"]
    assert reading["b"].wait(timeout=60)  # nobody has asked for it
    assert not reading["c"].is_set()  # and no more than one batch waits in memory
    assert [photo.name for batch in batches for photo, _ in batch] == ["b", "c"]


def test_a_batch_of_none_is_refused(run, tmp_path):
    with pytest.raises(SystemExit) as stop:
        run("--input", tmp_path, "--batch-size", 0)
    assert stop.value.code == 2


def test_a_missing_path_is_named_and_the_other_photos_are_done(run, tmp_path, capsys):
    save_photo(tmp_path / "a.png")
    assert run("--input", tmp_path / "none.png", tmp_path / "a.png", tmp_path / "nowhere") == 2
    captured = capsys.readouterr()
    errors = captured.err.splitlines()
    assert len(errors) == 2 and "none.png" in errors[0] and "nowhere" in errors[1]
    assert "1 of 3 photos" in captured.out and "a.json" in written(tmp_path)


def test_missing_paths_alone_are_refused(run, tmp_path, demo_files):
    with pytest.raises(demo_files.UserError, match="none.png"):
        run("--input", tmp_path / "none.png", tmp_path / "nowhere")


def test_a_photo_of_one_pixel(run, tmp_path):
    assert run("--input", save_photo(tmp_path / "dot.png", (1, 1))) == 0
    assert "dot_overlay.png" in written(tmp_path)


def test_sample_photos_share_one_list_of_names(run, tmp_path):
    assert run("--sample-photos") == 0
    summaries = [json.loads(p.read_text()) for p in sorted((tmp_path / "out").glob("*.json"))]
    assert [Path(s["image"]).name for s in summaries] == [
        "astronaut.png",
        "chelsea.png",
        "coffee.png",
        "motorcycle_left.png",
    ]
    assert len({tuple(s["names"]) for s in summaries}) == 1
    assert {"cat", "person", "motorcycle", "cup", "dog"} < set(summaries[0]["names"])


def test_nothing_to_do_is_refused(run):
    with pytest.raises(SystemExit) as stop:
        run("--class-names", "cat")
    assert stop.value.code == 2


def test_an_output_that_is_a_file_is_refused(demo_files, tmp_path):
    photo = save_photo(tmp_path / "one.png")
    with pytest.raises(demo_files.UserError, match="one.png cannot be made a folder"):
        importlib.import_module("demo").main(["--input", str(photo), "--output", str(photo)])


def test_find_photos(demo_files, tmp_path):
    for name in ("b.JPG", "a.png", "sub/c.png"):
        save_photo(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no photo")
    names = [path.name for path in demo_files.find_photos([str(tmp_path)])]
    assert names == ["a.png", "b.JPG"]
    names = [path.name for path in demo_files.find_photos([str(tmp_path / "*" / "*.png")])]
    assert names == ["c.png"]
    assert len(demo_files.find_photos([str(tmp_path / "notes.txt")])) == 1  # named, so tried


@pytest.mark.parametrize("pattern", ["missing.jpg", "missing/", "*.webp", "empty"])
def test_an_input_without_photo_is_refused_by_name(demo_files, tmp_path, pattern):
    (tmp_path / "empty").mkdir()
    with pytest.raises(demo_files.UserError, match=pattern.replace("*", r"\*")):
        demo_files.find_photos([f"{tmp_path}/{pattern}"])


def test_equal_stems_do_not_overwrite_each_other(demo_files, tmp_path):
    paths = [tmp_path / name for name in ("a/cat.jpg", "b/cat.png", "b/CAT.jpg", "b/dog.jpg")]
    named = demo_files.name_results({path: path.stem for path in paths}, tmp_path / "out")
    names = [target.name for target in named.values()]
    assert names == ["cat", "b_cat", "CAT_2", "dog"]  # letter case is not enough


def test_the_same_file_twice_is_one_photo(demo_files, tmp_path):
    photo = save_photo(tmp_path / "a" / "cat.png")
    again = tmp_path / "a" / ".." / "a" / "cat.png"
    assert list(demo_files.name_results({photo: "cat", again: "cat"}, tmp_path)) == [photo]


def test_no_result_replaces_a_photo(demo_files, tmp_path):
    photos = {tmp_path / name: Path(name).stem for name in ("cat.jpg", "cat_labels.png")}
    named = demo_files.name_results(photos, tmp_path)
    assert named[tmp_path / "cat.jpg"].name == f"{tmp_path.name}_cat"
    assert named[tmp_path / "cat_labels.png"].name == "cat_labels"


def run_command(*arguments, cwd):
    return subprocess.run(
        [sys.executable, str(DEMO), *map(str, arguments)], capture_output=True, text=True, cwd=cwd
    )


def test_a_missing_configuration_is_one_line_and_exit_code_2(tmp_path):
    save_photo(tmp_path / "one.png")
    done = run_command("--input", "one.png", "--config-file", "none.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ") and "none.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_from_another_folder_with_the_embedded_model(tmp_path):
    save_photo(tmp_path / "in" / "one.png", (40, 30))
    save_photo(tmp_path / "in" / "two.jpg", (1, 1))
    done = run_command(
        "--input", "in", "--class-names", "cat, sofa", "--device", "cpu", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    results = tmp_path / "output" / "demo"
    assert len(list(results.iterdir())) == 6
    with Image.open(results / "one_labels.png") as labels:
        assert labels.size == (40, 30) and set(np.unique(np.asarray(labels))) <= {0, 1}
    assert sum(json.loads((results / "one.json").read_text())["shares"].values()) == (
        pytest.approx(1.0)
    )
