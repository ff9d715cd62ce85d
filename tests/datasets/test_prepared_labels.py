"""Prepared labels: values by hand, counts, and mistakes that name the file."""

from pathlib import Path

import pytest
from preparation.labels import LabelCounts, prepare_labels
from preparation.tables import counted_from_1

from zsk.data.splits import get_split
from zsk.errors import UserError


def prepare(sources: list[Path], root: Path) -> LabelCounts:
    folders = {"joint_folder": root / "all", "seen_folder": root / "seen"}
    return prepare_labels(sources, counted_from_1("voc"), get_split("voc"), **folders, workers=1)


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="gone.png does not exist"):
        prepare([tmp_path / "gone.png"], tmp_path)
    assert list((tmp_path / "all").iterdir()) == []
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "all").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="all cannot be made: .*writable"):
        prepare([tmp_path / "in" / "a.png"], tmp_path / "file")
