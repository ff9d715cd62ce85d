"""OUTPUT_DIR takes one training, and a mistake in the training loop is reported once."""

import logging
from pathlib import Path

import pytest
from detectron2.engine import TrainerBase

from zsk.engine.output import locked_output_folder, report_mistakes_once
from zsk.engine.settings import config_of_training_kept
from zsk.errors import UserError


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
