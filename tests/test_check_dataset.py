"""tools/check_dataset.py as a user runs it."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from faulty_data import plant, write_data
from PIL import Image

from zsk.errors import UserError

TOOL = "tools/check_dataset.py"
SPLIT = """
name: pets
train: {images: photos, labels: labels}
val: {images: photos, labels: labels}
classes: [cat, cow, dog]
unseen: [cow]
"""


@pytest.fixture
def split_file(tmp_path: Path) -> Path:
    write_data(tmp_path)
    path = tmp_path / "split.yaml"
    path.write_text(SPLIT)
    return path


@pytest.fixture
def tool(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The program as a module, where a process of its own would only take longer."""
    monkeypatch.syspath_prepend(checkout / "tools")
    saved = dict(DatasetCatalog), dict(MetadataCatalog)
    for name in [n for n in DatasetCatalog if "_zs_" in n]:  # of another test's root
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    yield importlib.import_module("check_dataset")
    for catalog, content in zip((DatasetCatalog, MetadataCatalog), saved):
        catalog.clear()
        catalog.update(content)


def test_good_data(run_program, split_file: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "out" / "sheet.png"
    done = run_program(TOOL, "--split-file", split_file, "--sheet", sheet)
    assert done.returncode == 0, done.stderr
    assert "pets_train: 4 images" in done.stdout and "pets_val: 4 images" in done.stdout
    assert done.stdout.endswith("no problems in pets_train, pets_val\n")
    names = sorted(path.name for path in sheet.parent.iterdir())
    assert names == ["sheet_pets_train.png", "sheet_pets_val.png"]
    assert Image.open(sheet.with_name(names[0])).mode == "RGB"
    assert "error: " not in done.stderr and "4/4" in done.stderr  # the bar


def test_a_fault_is_exit_code_1(tool, split_file: Path, tmp_path: Path, capsys) -> None:
    for fault in ("colours", "truncated"):
        plant(fault, tmp_path / "photos", tmp_path / "labels")
    config = tmp_path / "train.yaml"
    config.write_text("VERSION: 2\nDATASETS: {SPLIT_FILE: split.yaml, TRAIN: ['pets_train']}\n")
    assert tool.main(["--config-file", str(config)]) == 1
    out, err = capsys.readouterr()
    first, second = [line for line in err.splitlines() if line.startswith("error: ")]
    assert "photos/b.jpg cannot be read" in first and "labels/b.png holds colours" in second
    assert "| cat " in out and "2 problems in pets_train" in out


@pytest.mark.parametrize(
    "names, row, error",
    [
        ([], "| id 2         | -       |", ""),
        (["--class-names", "cat, cow"], "| cow          | -       |", "c.png holds the id 2"),
    ],
)
def test_folders_without_a_split(tool, split_file: Path, capsys, names, row, error) -> None:
    photos, labels = (str(split_file.parent / name) for name in ("photos", "labels"))
    assert tool.main(["--images", photos, "--labels", labels, *names]) == bool(error)
    captured = capsys.readouterr()
    assert row in captured.out and error in captured.err


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "name a data set"),
        (["--images", "x"], "go together"),
        (["--class-names", "cat, dog"], "--class-names needs --images"),
        (["voc_zs_val", "--workers", "0"], "1 or more"),
        (["voc_zs_val", "--sheet", "sheet"], "--sheet sheet has to end in .png"),
    ],
)
def test_a_wrong_call_is_exit_code_2(tool, arguments: list[str], words: str, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        tool.main(arguments)
    assert stop.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["nowhere"], "'nowhere' is not registered"),
        (["--split-file", "none.yaml"], "split file none.yaml: the file does not exist"),
        (["--config-file", "none.yaml"], "config file none.yaml does not exist"),
        (["--config-file", "empty.yaml"], "config file empty.yaml names no data set"),
        (["--images", "no/photos", "--labels", "."], "--images no/photos is not a folder"),
    ],
)
def test_what_is_not_there_is_named(tool, tmp_path, monkeypatch, arguments, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.yaml").write_text("VERSION: 2\n")
    with pytest.raises(UserError, match=words):
        tool.main(arguments)
