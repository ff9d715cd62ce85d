"""Prepared labels: values by hand, counts, resuming, workers, and mistakes that name the file."""

from pathlib import Path

import pytest
from label_files import contents, snapshot, write_label_png
from PIL import Image
from preparation.labels import LabelCounts, prepare_labels

from zsk.data.images import read_label
from zsk.data.splits import get_split, voc_value_table
from zsk.errors import UserError


def prepare(sources: list[Path], root: Path, workers: int = 1) -> LabelCounts:
    folders = {"joint_folder": root / "all", "seen_folder": root / "seen"}
    return prepare_labels(sources, voc_value_table(), get_split("voc"), **folders, workers=workers)


def test_values_and_counts_by_hand(tmp_path: Path) -> None:
    # VOC: 0 background, 1 aeroplane, 15 person, 16 pottedplant (unseen), 20 tvmonitor (unseen)
    sources = [
        write_label_png(tmp_path / "in" / "a.png", [[0, 1, 15, 16, 20, 255]]),
        write_label_png(tmp_path / "in" / "unseen.png", [[17, 17]]),
        write_label_png(tmp_path / "in" / "background.png", [[0, 255]]),
    ]
    counts = prepare(sources, tmp_path)
    assert read_label(tmp_path / "all" / "a.png").tolist() == [[255, 0, 14, 15, 19, 255]]
    assert read_label(tmp_path / "seen" / "a.png").tolist() == [[255, 0, 14, 255, 255, 255]]
    assert read_label(tmp_path / "seen" / "unseen.png").tolist() == [[255, 255]]
    assert counts == LabelCounts(images=3, seen_pixels=2, unseen_pixels=4, images_without_seen=2)


def test_an_interrupted_run_is_continued(tmp_path: Path) -> None:
    sources = [write_label_png(tmp_path / "in" / f"{stem}.png", [[1, 16]]) for stem in "ab"]
    counts = prepare(sources, tmp_path)
    before = snapshot(tmp_path)
    assert prepare(sources, tmp_path) == counts
    assert snapshot(tmp_path) == before
    (tmp_path / "seen" / "b.png").unlink()
    (tmp_path / "all" / "a.png").unlink()
    assert prepare(sources, tmp_path) == counts
    assert contents(tmp_path) == {name: data for name, (_, data) in before.items()}


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


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a.png holds the value 21, which the benchmark"):
        prepare([write_label_png(tmp_path / "in" / "a.png", [[0, 21]])], tmp_path)
    Image.new("RGB", (2, 2)).save(tmp_path / "rgb.png")
    with pytest.raises(UserError, match="rgb.png holds colours"):
        prepare([tmp_path / "rgb.png"], tmp_path)
    with pytest.raises(UserError, match="gone.png does not exist"):
        prepare([tmp_path / "gone.png"], tmp_path)
    assert list((tmp_path / "all").iterdir()) == []
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "all").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="cannot write .*all .*writable"):
        prepare([tmp_path / "in" / "a.png"], tmp_path / "file")
