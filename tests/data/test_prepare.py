"""Preparation: the mapping of values, repeatability, atomic writes, and the two programs."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zsk.data.images import read_label
from zsk.data.prepare import LabelCounts, counts_table, prepare_labels, to_joint_ids
from zsk.data.splits import get_split, voc_value_table
from zsk.errors import UserError

VOC = get_split("voc")


def write_label(path: Path, values: list[list[int]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, np.uint8)).save(path)
    return path


def prepare(sources: list[Path], root: Path) -> LabelCounts:
    return prepare_labels(
        sources, voc_value_table(), VOC, joint_folder=root / "all", seen_folder=root / "seen"
    )


def snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_background_ids_and_ignore(tmp_path: Path) -> None:
    # VOC: 0 background, 1 aeroplane, 15 person, 16 pottedplant (unseen), 20 tvmonitor (unseen)
    source = write_label(tmp_path / "in" / "a.png", [[0, 1, 15, 16, 20, 255]])
    counts = prepare([source], tmp_path)
    assert read_label(tmp_path / "all" / "a.png").tolist() == [[255, 0, 14, 15, 19, 255]]
    assert read_label(tmp_path / "seen" / "a.png").tolist() == [[255, 0, 14, 255, 255, 255]]
    assert counts == LabelCounts(images=1, seen_pixels=2, unseen_pixels=2, images_without_seen=0)


def test_images_without_a_seen_pixel_are_kept_and_counted(tmp_path: Path) -> None:
    sources = [
        write_label(tmp_path / "in" / "background.png", [[0, 255]]),
        write_label(tmp_path / "in" / "unseen.png", [[17, 17]]),
        write_label(tmp_path / "in" / "seen.png", [[17, 1]]),
    ]
    counts = prepare(sources, tmp_path)
    assert counts == LabelCounts(images=3, seen_pixels=1, unseen_pixels=3, images_without_seen=2)
    assert len(list((tmp_path / "seen").iterdir())) == 3
    assert read_label(tmp_path / "seen" / "unseen.png").tolist() == [[255, 255]]


def test_again_changes_nothing_and_counts_the_same(tmp_path: Path) -> None:
    sources = [write_label(tmp_path / "in" / f"{stem}.png", [[1, 16]]) for stem in "ab"]
    counts = prepare(sources, tmp_path)
    before = snapshot(tmp_path)
    assert prepare(sources, tmp_path) == counts
    assert snapshot(tmp_path) == before


def test_an_interrupted_run_is_continued(tmp_path: Path) -> None:
    sources = [write_label(tmp_path / "in" / f"{stem}.png", [[1, 16]]) for stem in "ab"]
    prepare(sources, tmp_path)
    before = snapshot(tmp_path)
    (tmp_path / "seen" / "b.png").unlink()
    (tmp_path / "all" / "a.png").unlink()
    prepare(sources, tmp_path)
    after = snapshot(tmp_path)
    assert {name: data for name, (_, data) in after.items()} == {
        name: data for name, (_, data) in before.items()
    }


def test_a_failed_write_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_label(tmp_path / "in" / "a.png", [[1]])

    def full(self: Image.Image, path: Path, **_: object) -> None:
        path.write_bytes(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(UserError, match=r"cannot write .*a.png \(No space left on device\)"):
        prepare([source], tmp_path)
    assert list((tmp_path / "all").iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "all").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="cannot write .*all .*writable"):
        prepare([write_label(tmp_path / "in" / "a.png", [[1]])], tmp_path)


def test_bad_labels_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a.png holds the value 21, which the benchmark"):
        prepare([write_label(tmp_path / "in" / "a.png", [[0, 21]])], tmp_path)
    Image.new("RGB", (2, 2)).save(tmp_path / "rgb.png")
    with pytest.raises(UserError, match="rgb.png holds colours"):
        prepare([tmp_path / "rgb.png"], tmp_path)
    with pytest.raises(UserError, match="gone.png does not exist"):
        prepare([tmp_path / "gone.png"], tmp_path)
    assert list((tmp_path / "all").iterdir()) == []


def test_mapping_keeps_shape_and_type() -> None:
    joint = to_joint_ids(np.array([[1], [0]], np.uint8), voc_value_table(), Path("a.png"))
    assert joint.dtype == np.uint8
    assert joint.tolist() == [[0], [255]]


def test_counts_table() -> None:
    rows = [("train", LabelCounts(10_582, 1_000, 200, 3)), ("val", LabelCounts())]
    lines = counts_table(rows).splitlines()
    assert lines[1].split() == ["train", "10,582", "1,000", "200", "3"]
    assert lines[2].split() == ["val", "0", "0", "0", "0"]


def test_voc_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_main) -> None:
    root = tmp_path / "VOC2012"
    for stem, values in (("a", [[0, 1]]), ("b", [[20, 20]]), ("c", [[16, 2]])):
        write_label(root / "SegmentationClassAug" / f"{stem}.png", values)
    (root / "train.txt").write_text("a\nb\n")
    (root / "val.txt").write_text("c\n")
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    for _ in range(2):
        code, out, err = run_main("prepare_voc")
        assert code == 0, err
        assert out.splitlines()[1].split() == ["train", "2", "1", "2", "1"]
        assert out.splitlines()[2].split() == ["val", "1", "1", "1", "0"]
    written = {str(p.relative_to(root / "zsk")) for p in (root / "zsk").rglob("*.png")}
    assert written == {
        "train/a.png",
        "train/b.png",
        "train_seen/a.png",
        "train_seen/b.png",
        "val/c.png",
    }
    assert read_label(root / "zsk" / "val" / "c.png").tolist() == [[15, 1]]


def test_coco_program_prepares_what_is_there(tmp_path: Path, run_main) -> None:
    # 0 person, 20 cow (category 21, unseen), 181 wood
    write_label(tmp_path / "stuffthingmaps" / "val2017" / "a.png", [[0, 20, 181, 255]])
    code, _, err = run_main("prepare_coco_stuff", "--root", tmp_path)
    assert code == 0, err
    assert read_label(tmp_path / "zsk" / "val2017" / "a.png").tolist() == [[0, 19, 170, 255]]
    assert sorted(path.name for path in (tmp_path / "zsk").iterdir()) == ["val2017"]


@pytest.mark.parametrize("program", ["prepare_voc", "prepare_coco_stuff"])
def test_programs_say_what_is_missing(tmp_path: Path, run_main, program: str) -> None:
    code, out, err = run_main(program, "--root", tmp_path / "x")
    assert code == 2
    assert out == ""
    assert err.startswith("error: ") and err.count("\n") == 1
    assert "datasets/README.md" in err
