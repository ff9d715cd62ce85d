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


def errors(done) -> list[str]:
    return [line for line in done.stderr.splitlines() if line.startswith("error: ")]


def test_good_data(run_program, split_file: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "out" / "sheet.png"
    done = run_program(TOOL, "--split-file", split_file, "--sheet", sheet)
    assert done.returncode == 0, done.stderr
    assert errors(done) == []
    assert "pets_train: 4 images" in done.stdout and "pets_val: 4 images" in done.stdout
    assert done.stdout.endswith("no problems in pets_train, pets_val\n")
    names = sorted(path.name for path in sheet.parent.iterdir())
    assert names == ["sheet_pets_train.png", "sheet_pets_val.png"]
    assert Image.open(sheet.with_name(names[0])).mode == "RGB"
    assert "4/4" in done.stderr  # the bar


def test_a_fault_is_exit_code_1(run_program, split_file: Path, tmp_path: Path) -> None:
    plant("colours", tmp_path / "photos", tmp_path / "labels")
    plant("truncated", tmp_path / "photos", tmp_path / "labels")
    config = tmp_path / "train.yaml"
    config.write_text("VERSION: 2\nDATASETS: {SPLIT_FILE: split.yaml, TRAIN: ['pets_train']}\n")
    done = run_program(TOOL, "--config-file", config)
    assert done.returncode == 1
    first, second = errors(done)
    assert "photos/b.jpg cannot be read" in first and "labels/b.png holds colours" in second
    assert "| cat " in done.stdout and "2 problems in pets_train" in done.stdout
    assert "Traceback" not in done.stderr


def test_folders_without_a_split(
    tool, split_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ["--images", str(tmp_path / "photos"), "--labels", str(tmp_path / "labels")]
    assert tool.main(folders) == 0
    assert "| id 2         | -       |" in capsys.readouterr().out


def test_folders_with_names(
    tool, split_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ["--images", str(tmp_path / "photos"), "--labels", str(tmp_path / "labels")]
    assert tool.main([*folders, "--class-names", "cat, cow"]) == 1
    captured = capsys.readouterr()
    assert "| cow          | -       |" in captured.out
    assert "labels/c.png holds the id 2" in captured.err


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
def test_a_wrong_call_is_exit_code_2(
    tool, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
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
        (["--images", "no/photos", "--labels", "."], "--images no/photos is not a folder"),
    ],
)
def test_what_is_not_there_is_named(tool, arguments: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        tool.main(arguments)


def test_a_configuration_without_data_sets(tool, tmp_path: Path) -> None:
    config = tmp_path / "empty.yaml"
    config.write_text("VERSION: 2\n")
    with pytest.raises(UserError, match="empty.yaml names no data set"):
        tool.main(["--config-file", str(config)])


def test_a_mistake_is_one_sentence(run_program) -> None:
    done = run_program(TOOL, "nowhere")
    assert done.returncode == 2
    assert done.stderr.startswith("error: the data set 'nowhere'")
    assert len(done.stderr.splitlines()) == 1
