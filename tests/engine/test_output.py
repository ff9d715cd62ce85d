"""OUTPUT_DIR is tried before training, and a mistake in the training loop is reported once."""

import errno
import logging
from pathlib import Path

import pytest
from detectron2.engine import TrainerBase

from zsk.engine.output import check_output_folder, locked_output_folder, report_mistakes_once
from zsk.engine.settings import config_of_training_kept
from zsk.errors import UserError


def test_a_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    check_output_folder(str(tmp_path / "a" / "b"))
    (tmp_path / "a" / "b" / "kept").touch()
    check_output_folder(str(tmp_path / "a" / "b"))
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["kept"]


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder, reason in (("file", "File exists"), ("file/output", "Not a directory")):
        with pytest.raises(UserError, match=f"OUTPUT_DIR .*{folder} cannot be made .{reason}"):
            check_output_folder(str(tmp_path / folder))


@pytest.mark.parametrize(
    "name", ["last_checkpoint", "config.yaml", "metrics.json", "log.txt", "model_final.pth"]
)
def test_a_folder_in_place_of_a_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=f"{name} is a folder, but .* move it away, or"):
        check_output_folder(str(tmp_path))


@pytest.mark.parametrize(
    "code, reason",
    [(errno.ENOSPC, "No space left on device"), (errno.EROFS, "Read-only file system")],
)
def test_a_folder_that_takes_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, reason: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(code, reason)

    monkeypatch.setattr("zsk.engine.output.TemporaryFile", full)
    with pytest.raises(UserError, match=f"OUTPUT_DIR .* takes no files .*{reason}"):
        check_output_folder(str(tmp_path))
    assert not list(tmp_path.iterdir())


class Failing(TrainerBase):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def run_step(self) -> None:
        raise self.error


@pytest.mark.parametrize("error, logged", [(UserError("a.jpg is empty"), 0), (ValueError(), 1)])
def test_detectron2_logs_no_traceback_of_a_mistake(caplog, error: Exception, logged: int) -> None:
    report_mistakes_once()
    with caplog.at_level(logging.ERROR), pytest.raises(type(error)):
        Failing(error).train(0, 1)
    assert len([record for record in caplog.records if record.exc_info]) == logged


def test_one_training_at_a_time_writes_into_a_folder(tmp_path: Path) -> None:
    with locked_output_folder(str(tmp_path)):
        with pytest.raises(UserError, match="another training writes into OUTPUT_DIR"):
            with locked_output_folder(str(tmp_path)):
                pass
    with locked_output_folder(str(tmp_path)):
        pass


def test_the_configuration_of_a_training_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    for checkpoint, expected in ((False, "an evaluation's"), (True, "the training's")):
        file.write_text("the training's")
        if checkpoint:
            (tmp_path / "model_0000003.pth").touch()
        with config_of_training_kept(str(tmp_path)):
            file.write_text("an evaluation's")
        assert file.read_text() == expected
