"""Checkpoints of a training: written whole, found again, and resumed only where they fit."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.utils import comm
from torch import Tensor, nn

from zsk.errors import UserError
from zsk.files import replacing
from zsk.safe_load import one_line, read_file

logger = logging.getLogger(__name__)

POINTER = "last_checkpoint"  # Detectron2's file with the name of the last checkpoint
CHECKPOINTS = "model_*.pth"
ADAM_MOMENTS = {"step", "exp_avg", "exp_avg_sq"}  # of each parameter that had a step


class Checkpoint(NamedTuple):
    """A file of a training and what it holds."""

    path: str
    content: dict[str, Any]

    def __str__(self) -> str:
        return f"{Path(self.path).name} (iteration={self.iteration})"

    @property
    def iteration(self) -> int:
        """The last one that was trained, counted from 0."""
        return int(self.content["iteration"])


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
        _point_to(self.save_dir, last_filename_basename)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Put model and trainer into the state of the checkpoint, whose memory is given back.

        Raises:
            UserError: it is of another model, optimizer or precision.
        """
        path, content = checkpoint
        logger.info(f"resuming from {path}")
        trainer = self.checkpointables["trainer"]
        try:
            saved = content["trainer"]["_trainer"]["optimizer"]
            _check_model(self.model, content["model"])
            _check_optimizer(self.model, trainer._trainer.optimizer, saved)
            self.model.load_state_dict(content.pop("model"))
            trainer.load_state_dict(content.pop("trainer"))
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            difference = one_line(error)
            if not isinstance(error, ValueError):
                reason = f"{type(error).__name__}: {difference}"
                difference = f"its state of the training does not fit ({reason})"
            raise UserError(
                f"checkpoint {path} is of another configuration: {difference}; resume with the "
                "configuration that wrote it, or train without --resume into another OUTPUT_DIR"
            ) from error


def checkpoint_to_resume(folder: str) -> Checkpoint | None:
    """The last checkpoint in an OUTPUT_DIR; None in one without checkpoints.

    Where `last_checkpoint` is missing or damaged, the newest whole checkpoint is taken with a
    warning, and `last_checkpoint` names it from then on.

    Raises:
        UserError: the last checkpoint is damaged or holds no training, naming the newest whole one
            beside it; or no checkpoint is whole.
    """
    pointer, name, fault = Path(folder, POINTER), "", "is missing"
    if pointer.is_file():
        name = pointer.read_text(errors="replace").strip()
        fault = f"names no checkpoint (it holds {name[:80]!r})"
    elif not list(Path(folder).glob(CHECKPOINTS)):
        return None
    if name and Path(folder, name).is_file():
        return _last(Path(folder, name))
    newest = _newest_whole(folder)
    if newest is None:
        raise UserError(
            f"{pointer} {fault}, and no checkpoint in {folder} is whole: start again without "
            "--resume, with another OUTPUT_DIR"
        )
    logger.warning(f"{pointer} {fault}: resuming from the newest whole checkpoint, {newest}")
    if comm.is_main_process():
        _point_to(folder, Path(newest.path).name)
    return newest


def _point_to(folder: str, name: str) -> None:
    with replacing(Path(folder, POINTER)) as unfinished:
        unfinished.write_text(name)


def _last(path: Path) -> Checkpoint:
    try:
        return _read(path)
    except UserError as error:
        newest = _newest_whole(path.parent)
        advice = "no other checkpoint is whole, so start again with another OUTPUT_DIR"
        if newest is not None:
            advice = f"delete it to resume from {newest}, the newest whole checkpoint"
        raise UserError(f"{error}; {advice}") from error


def _newest_whole(folder: str | Path) -> Checkpoint | None:
    """The whole checkpoint that is furthest on."""
    newest = None
    for path in sorted(Path(folder).glob(CHECKPOINTS), reverse=True):
        try:
            found = _read(path)
        except UserError:
            continue
        if newest is None or found.iteration > newest.iteration:
            newest = found
    return newest


def _read(path: Path) -> Checkpoint:
    content = read_file(path, "checkpoint")
    try:
        optimizer = content["trainer"]["_trainer"]["optimizer"]
        parts = content["model"], optimizer["state"], *optimizer["param_groups"]
        numbers = content["iteration"], content["trainer"]["iteration"]
        kinds = *(isinstance(part, Mapping) for part in parts), *(type(n) is int for n in numbers)
        if not all(kinds):
            raise TypeError("parts of its state")
    except (LookupError, TypeError) as error:
        raise UserError(
            f"checkpoint {path} holds no training: it lacks {one_line(error)}"
        ) from error
    return Checkpoint(str(path), content)


def _check_model(model: nn.Module, saved: Mapping[str, Any]) -> None:
    """Raise a ValueError with the first tensor that only one side has, or in another shape."""
    here, there = (
        {key: tuple(value.shape) for key, value in state.items()}
        for state in (model.state_dict(), saved)
    )
    for key in [*here, *there]:
        if here.get(key) != there.get(key):
            sizes = there.get(key, "absent"), here.get(key, "absent")
            raise ValueError(f"{key} is {sizes[0]} there and {sizes[1]} here")


def _check_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]
) -> None:
    """Raise a ValueError for a state of another optimizer, or of other parameters."""
    there, here = saved["param_groups"], optimizer.param_groups
    kinds = ["AdamW" if "betas" in groups[0] else "SGD" for groups in (there, here)]
    if kinds[0] != kinds[1]:
        raise ValueError(f"the optimizer is {kinds[0]} there and {kinds[1]} here")
    sizes = [[len(group["params"]) for group in groups] for groups in (there, here)]
    if sizes[0] != sizes[1]:
        counts = [f"{sum(size)} parameters in {len(size)} groups" for size in sizes]
        raise ValueError(f"the optimizer has {counts[0]} there and {counts[1]} here")
    # a fused optimizer reads and writes past the end of a state that is too short
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for number, (group, parameter) in enumerate((g, p) for g in here for p in g["params"]):
        state, name = saved["state"].get(number, {}), names.get(id(parameter))
        if state and "betas" in group and not ADAM_MOMENTS <= state.keys():
            raise ValueError(f"the optimizer lacks {ADAM_MOMENTS - state.keys()} of {name}")
        for key, moment in state.items():
            wanted = () if key == "step" else tuple(parameter.shape)
            if isinstance(moment, Tensor) and moment.shape != wanted:
                found = tuple(moment.shape)
                raise ValueError(f"the optimizer's {key} of {name} is {found} and not {wanted}")
