"""Preparation: the mapping of values, repeatability, atomic writes, counts and workers."""

from pathlib import Path

import numpy as np
import pytest
from label_files import contents, snapshot, write_label_png
from PIL import Image

from zsk.data.images import read_label
from zsk.data.prepare import LabelCounts, counts_table, prepare_labels, to_joint_ids
from zsk.data.splits import get_split, voc_value_table
from zsk.errors import UserError

VOC = get_split("voc")


def prepare(sources: list[Path], root: Path, workers: int = 1) -> LabelCounts:
    return prepare_labels(
        sources,
        voc_value_table(),
        VOC,
        joint_folder=root / "all",
        seen_folder=root / "seen",
        workers=workers,
    )


def test_background_ids_and_ignore(tmp_path: Path) -> None:
    # VOC: 0 background, 1 aeroplane, 15 person, 16 pottedplant (unseen), 20 tvmonitor (unseen)
    source = write_label_png(tmp_path / "in" / "a.png", [[0, 1, 15, 16, 20, 255]])
    counts = prepare([source], tmp_path)
    assert read_label(tmp_path / "all" / "a.png").tolist() == [[255, 0, 14, 15, 19, 255]]
    assert read_label(tmp_path / "seen" / "a.png").tolist() == [[255, 0, 14, 255, 255, 255]]
    assert counts == LabelCounts(images=1, seen_pixels=2, unseen_pixels=2, images_without_seen=0)


def test_images_without_a_seen_pixel_are_kept_and_counted(tmp_path: Path) -> None:
    sources = [
        write_label_png(tmp_path / "in" / "background.png", [[0, 255]]),
        write_label_png(tmp_path / "in" / "unseen.png", [[17, 17]]),
        write_label_png(tmp_path / "in" / "seen.png", [[17, 1]]),
    ]
    counts = prepare(sources, tmp_path)
    assert counts == LabelCounts(images=3, seen_pixels=1, unseen_pixels=3, images_without_seen=2)
    assert len(list((tmp_path / "seen").iterdir())) == 3
    assert read_label(tmp_path / "seen" / "unseen.png").tolist() == [[255, 255]]


def test_again_changes_nothing_and_counts_the_same(tmp_path: Path) -> None:
    sources = [write_label_png(tmp_path / "in" / f"{stem}.png", [[1, 16]]) for stem in "ab"]
    counts = prepare(sources, tmp_path)
    before = snapshot(tmp_path)
    assert prepare(sources, tmp_path) == counts
    assert snapshot(tmp_path) == before


def test_an_interrupted_run_is_continued(tmp_path: Path) -> None:
    sources = [write_label_png(tmp_path / "in" / f"{stem}.png", [[1, 16]]) for stem in "ab"]
    prepare(sources, tmp_path)
    before = contents(tmp_path)
    (tmp_path / "seen" / "b.png").unlink()
    (tmp_path / "all" / "a.png").unlink()
    prepare(sources, tmp_path)
    assert contents(tmp_path) == before


def test_several_workers_write_and_count_what_one_does(tmp_path: Path) -> None:
    # every fourth image holds unseen 16 and background alone
    rows = [[0, 255, 16, 16 if k % 4 == 0 else 1 + k % 15] for k in range(21)]
    sources = [
        write_label_png(tmp_path / "in" / f"{k:02}.png", [row]) for k, row in enumerate(rows)
    ]
    alone = prepare(sources, tmp_path / "alone")
    several = prepare(sources, tmp_path / "several", workers=3)
    # 21 images, of which 0, 4, …, 20 are the fourth ones
    assert alone == several == LabelCounts(21, 15, 27, 6)
    assert contents(tmp_path / "alone") == contents(tmp_path / "several")


def test_a_bad_label_is_named_from_a_worker_too(tmp_path: Path) -> None:
    sources = [write_label_png(tmp_path / "in" / f"{k:02}.png", [[1]]) for k in range(20)]
    sources[13].write_bytes(b"no image")
    with pytest.raises(UserError, match="13.png cannot be read"):
        prepare(sources, tmp_path, workers=3)
    assert not (tmp_path / "all" / "13.png").exists()
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_failed_write_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_label_png(tmp_path / "in" / "a.png", [[1]])

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
        prepare([write_label_png(tmp_path / "in" / "a.png", [[1]])], tmp_path)


def test_bad_labels_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a.png holds the value 21, which the benchmark"):
        prepare([write_label_png(tmp_path / "in" / "a.png", [[0, 21]])], tmp_path)
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
