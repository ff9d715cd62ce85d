"""tools/open_vocabulary.py: evaluations and reported numbers in one table."""

from pathlib import Path

import open_vocabulary
import pytest
from saved_files import save_evaluation

from zsk.data.splits import get_split
from zsk.errors import UserError


def save(folder: Path, classes: list[str], images: int, *trained_on: str) -> None:
    metrics = {"mIoU": 43.21, "pAcc": 80.0}
    values = {"IoU": {classes[0]: 43.21}, "Acc": {classes[0]: 50.0}}
    training = {"trained_on": [*trained_on] or ["coco_stuff_supervised_train"]}
    changes = {"classes": classes, "unseen": [], "images": images, "metrics": metrics, **values}
    changes["provenance"] = training
    save_evaluation(folder / "inference/voc_20b_val", None, dataset="voc_20b_val", **changes)


def run(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    monkeypatch.setattr("sys.argv", ["open_vocabulary.py", *map(str, folders)])
    open_vocabulary.main()


def test_one_row_per_folder_above_the_reported_ones(tmp_path, monkeypatch, capsys) -> None:
    classes = list(get_split("voc_20b").names)
    save(tmp_path / "ours", classes, 1449)
    save(tmp_path / "part", classes, 2)
    save(tmp_path / "other", classes, 1449, "voc_zs_train")
    run(monkeypatch, *(tmp_path / name for name in ("ours", "part", "other")))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "| system | A-847 | PC-459 | A-150 | PC-59 | PAS-20 | PAS-20b |"
    assert lines[2] == "| ours | - | - | - | - | - | 43.2 |"
    assert lines[3] == "| part | - | - | - | - | - | 43.2 (2 of 1449 photos) |"
    assert lines[4] == "| other | - | - | - | - | - | 43.2 (trained on voc_zs_train) |"
    assert "| MAFT+, ConvNeXt-L (reported) | 15.1 | 21.6 | 36.1 | 59.4 | 96.5 | - |" in lines


def test_what_does_not_belong_into_the_table_is_refused(tmp_path, monkeypatch) -> None:
    with pytest.raises(UserError, match="has no evaluation of these data sets: give the OUTPUT_"):
        run(monkeypatch, tmp_path)
    save(tmp_path, ["cat", "dog"], 1449)
    with pytest.raises(UserError, match=f"voc_20b_val in {tmp_path} has other classes"):
        run(monkeypatch, tmp_path)
