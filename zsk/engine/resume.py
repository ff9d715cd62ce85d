"""Checkpoints of a training: written whole, found again, and resumed only where they fit."""

from __future__ import annotations

import glob
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.utils import comm
from torch import nn

from zsk.engine.checkpoint import noted_settings
from zsk.engine.checkpoint_fit import another_configuration, check_model, check_optimizer
from zsk.errors import UserError
from zsk.files import replacing
from zsk.safe_load import one_line, read_file

logger = logging.getLogger(__name__)

POINTER = "last_checkpoint"  # Detectron2's file with the name of the last checkpoint
CHECKPOINTS = "model_*.pth"


class Checkpoint(NamedTuple):
    """A file of a training and what it holds."""

    path: str
    content: dict[str, Any]

    @property
    def iteration(self) -> int:
        """The last one that was trained, counted from 0."""
        return int(self.content["iteration"])

    @property
    def settings(self) -> dict[str, Any]:
        """Those of the training (`zsk.engine.settings.training_settings`), as far as noted."""
        return noted_settings(self.content["trainer"])


class TrainingCheckpointer(DetectionCheckpointer):
    """Writes each file whole or not at all, and compares every shape before it resumes.

    The checkpointable "trainer" is Detectron2's, with the optimizer in `_trainer`.
    """

    model: nn.Module

    def save(self, name: str, **kwargs: Any) -> None:
        if not self.save_dir or not self.save_to_disk:
            return
        content = {"model": self.model.state_dict(), **kwargs}
        content.update((key, part.state_dict()) for key, part in self.checkpointables.items())
        path = Path(self.save_dir, f"{name}.pth")
        logger.info(f"saving checkpoint {path}")
        with replacing(path) as unfinished:
            torch.save(content, unfinished)
        self.tag_last_checkpoint(path.name)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        with replacing(Path(self.save_dir, POINTER)) as unfinished:
            unfinished.write_text(last_filename_basename)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Put model and trainer into the state of the checkpoint, whose memory is given back.

        Raises:
            UserError: it is of another model, optimizer or precision.
        """
        path, content = checkpoint
        logger.info(f"resuming from {path}")
        trainer = self.checkpointables["trainer"]
        try:
            check_model(self.model, content["model"], path)
            check_optimizer(self.model, trainer._trainer.optimizer, content["trainer"], path)
            self.model.load_state_dict(content.pop("model"))
            trainer.load_state_dict(content.pop("trainer"))
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__}: {one_line(error)}"
            difference = f"its state of the training does not fit ({reason})"
            raise another_configuration(path, difference) from error


def checkpoint_to_resume(folder: str) -> Checkpoint | None:
    """The last checkpoint in an OUTPUT_DIR; None in one without checkpoints.

    Where `last_checkpoint` is missing or damaged, the newest whole checkpoint is taken with a
    warning, and `last_checkpoint` names it from then on.

    Raises:
        UserError: the last checkpoint is damaged or holds no training, naming the newest whole one
            beside it; or no checkpoint is whole.
    """
    pointer = Path(folder, POINTER)
    if pointer.is_file():
        name = pointer.read_text(errors="replace").strip()
        if name and Path(folder, name).is_file():
            return _last(str(Path(folder, name)))
        fault = f"{pointer} names no checkpoint (it holds {name[:80]!r})"
    elif not glob.glob(CHECKPOINTS, root_dir=folder):
        return None
    else:
        fault = f"{pointer} is missing"
    newest = _newest_whole(folder)
    if newest is None:
        raise UserError(
            f"{fault}, and no checkpoint in {folder} is whole: start again without --resume, with "
            "another OUTPUT_DIR"
        )
    logger.warning(f"{fault}: resuming from the newest whole checkpoint, {_shown(newest)}")
    if comm.is_main_process():
        with replacing(pointer) as unfinished:
            unfinished.write_text(Path(newest.path).name)
    return newest


def _last(path: str) -> Checkpoint:
    try:
        return _read(path)
    except UserError as error:
        newest = _newest_whole(str(Path(path).parent))
        if newest is None:
            advice = "no other checkpoint is whole, so start again with another OUTPUT_DIR"
        else:
            advice = f"delete it to resume from {_shown(newest)}, the newest whole checkpoint"
        raise UserError(f"{error}; {advice}") from error


def _newest_whole(folder: str) -> Checkpoint | None:
    """The whole checkpoint that is furthest on."""
    newest = None
    for name in sorted(glob.glob(CHECKPOINTS, root_dir=folder), reverse=True):
        try:
            found = _read(str(Path(folder, name)))
        except UserError:
            continue
        if newest is None or found.iteration > newest.iteration:
            newest = found
    return newest


def _shown(checkpoint: Checkpoint) -> str:
    return f"{Path(checkpoint.path).name} (iteration={checkpoint.iteration})"


def _read(path: str) -> Checkpoint:
    """A whole checkpoint. Raises UserError."""
    content = read_file(path, "checkpoint")
    try:
        optimizer = content["trainer"]["_trainer"]["optimizer"]
        numbers = content["iteration"], content["trainer"]["iteration"]
        parts = content["model"], optimizer["state"], *optimizer["param_groups"]
    except (KeyError, TypeError) as error:
        raise UserError(
            f"checkpoint {path} holds no training: it lacks {one_line(error)}"
        ) from error
    if not all(isinstance(number, int) for number in numbers):
        raise UserError(f"checkpoint {path} holds no training: its iteration is no number")
    if not all(isinstance(part, Mapping) for part in parts):
        raise UserError(f"checkpoint {path} holds no training: its parts are no dictionaries")
    return Checkpoint(path, content)
