"""Prepared labels: values by hand, counts, and mistakes that name the file."""

from pathlib import Path

import pytest
from label_files import write_label_png
from PIL import Image
from preparation.labels import LabelCounts, prepare_labels
from preparation.tables import counted_from_1

from zsk.data.label_files import read_label
from zsk.data.splits import get_split
from zsk.errors import UserError


def prepare(sources: list[Path], root: Path) -> LabelCounts:
    folders = {"joint_folder": root / "all", "seen_folder": root / "seen"}
    return prepare_labels(sources, counted_from_1("voc"), get_split("voc"), **folders, workers=1)


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


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch) -> None:
    source = write_label_png(tmp_path / "in" / "a.png", [[1]])

    def full(self: Image.Image, path: Path, **_: object) -> None:
        path.write_bytes(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(
        UserError, match="a.png cannot be written: No space left on device; the data"
    ):
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
    with pytest.raises(UserError, match="all cannot be made: .*writable"):
        prepare([tmp_path / "in" / "a.png"], tmp_path / "file")
