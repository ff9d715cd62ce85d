"""Checkpoints of a training: written whole, found again, and resumed only where they fit."""

import glob
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
STATE = {"AdamW": {"step", "exp_avg", "exp_avg_sq"}, "SGD": set()}  # entries of each parameter


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

    def has_checkpoint(self) -> bool:
        return bool(self.get_checkpoint_file())

    def get_checkpoint_file(self) -> str:
        return last_checkpoint(self.save_dir)

    def load(self, path: str, checkpointables: list[str] | None = None) -> dict[str, Any]:
        """Resume model and trainer from a checkpoint; the rest of its content is returned.

        Raises:
            UserError: it is damaged, or of another model, optimizer or precision.
        """
        logger.info(f"resuming from {path}")
        content = read_checkpoint(path)
        trainer = self.checkpointables["trainer"]
        try:
            _check_model(self.model, content["model"], path)
            _check_optimizer(self.model, trainer._trainer.optimizer, content["trainer"], path)
            self.model.load_state_dict(content.pop("model"))
            trainer.load_state_dict(content.pop("trainer"))
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__}: {one_line(error)}"
            raise _another(path, f"its state of the training does not fit ({reason})") from error
        return content


def last_checkpoint(folder: str) -> str:
    """Path of the checkpoint to resume in an OUTPUT_DIR, "" in one without checkpoints.

    Where `last_checkpoint` is missing or damaged, the newest whole checkpoint is taken with a
    warning, and `last_checkpoint` names it from then on.

    Raises:
        UserError: `last_checkpoint` is damaged, and no checkpoint is whole.
    """
    pointer = Path(folder, POINTER)
    if pointer.is_file():
        name = pointer.read_text(errors="replace").strip()
        if name and Path(folder, name).is_file():
            return str(Path(folder, name))
        fault = f"{pointer} names no checkpoint (it holds {name[:80]!r})"
    elif not glob.glob(CHECKPOINTS, root_dir=folder):
        return ""
    else:
        fault = f"{pointer} is missing"
    newest = _newest_whole(folder)
    if newest is None:
        raise UserError(
            f"{fault}, and no checkpoint in {folder} is whole: start again without --resume, with "
            "another OUTPUT_DIR"
        )
    name, iteration = newest
    logger.warning(f"{fault}: resuming from the newest whole checkpoint, {name} ({iteration=})")
    if comm.is_main_process():
        with replacing(pointer) as unfinished:
            unfinished.write_text(name)
    return str(Path(folder, name))


def next_iteration(folder: str) -> int:
    """The iteration a resumed run starts with: one after the last checkpoint's, 0 without one.

    Raises:
        UserError: the last checkpoint is damaged, or holds no training.
    """
    path = last_checkpoint(folder)
    return read_checkpoint(path)["iteration"] + 1 if path else 0


def read_checkpoint(path: str) -> dict[str, Any]:
    """The content of the checkpoint to resume.

    Raises:
        UserError: it is damaged, or holds no training; naming the newest whole one beside it.
    """
    try:
        return _read(path)
    except UserError as error:
        newest = _newest_whole(str(Path(path).parent))
        if newest is None:
            advice = "no other checkpoint is whole, so start again with another OUTPUT_DIR"
        else:
            name, iteration = newest
            advice = f"delete it to resume from {name} ({iteration=}), the newest whole checkpoint"
        raise UserError(f"{error}; {advice}") from error


def _read(path: str) -> dict[str, Any]:
    """The content of a whole checkpoint. Raises UserError."""
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
    return content


def _newest_whole(folder: str) -> tuple[str, int] | None:
    """Name and iteration of the whole checkpoint that is furthest on."""
    found = []
    for name in glob.glob(CHECKPOINTS, root_dir=folder):
        try:
            found.append((_read(str(Path(folder, name)))["iteration"], name))
        except UserError:
            continue
    iteration, name = max(found, default=(0, ""))
    return (name, iteration) if name else None


def _check_model(model: nn.Module, saved: Mapping[str, Any], path: str) -> None:
    wanted = model.state_dict()
    for key in [*wanted, *saved]:
        here, there = _shape(wanted.get(key)), _shape(saved.get(key))
        if here != there:
            raise _another(path, f"{key} is {there} there and {here} here")


def _check_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, trainer: Mapping[str, Any], path: str
) -> None:
    """A fused optimizer reads and writes past the end of a state that is too short."""
    saved = trainer["_trainer"]["optimizer"]
    there, here = saved["param_groups"], optimizer.param_groups
    kind = _kind(there)
    if kind != _kind(here):
        raise _another(path, f"the optimizer is {kind} there and {_kind(here)} here")
    sizes = [[len(group["params"]) for group in groups] for groups in (there, here)]
    if sizes[0] != sizes[1]:
        counts = [f"{sum(size)} parameters in {len(size)} groups" for size in sizes]
        raise _another(path, f"the optimizer has {counts[0]} there and {counts[1]} here")
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    numbers = [number for group in there for number in group["params"]]
    for number, parameter in zip(numbers, (p for group in here for p in group["params"])):
        state, name = saved["state"].get(number, {}), names.get(id(parameter))
        for key in sorted(state.keys() | (STATE[kind] if state else set())):
            found = _shape(state.get(key))
            wanted = _shape(torch.empty(()) if key == "step" else parameter)
            if found != wanted and not (kind == "SGD" and found == "absent"):
                raise _another(path, f"the optimizer's {key} of {name} is {found} and not {wanted}")


def _kind(groups: list[dict[str, Any]]) -> str:
    return "AdamW" if "betas" in groups[0] else "SGD"


def _shape(value: Any) -> str:
    if value is None:
        return "absent"
    return str(tuple(value.shape)) if isinstance(value, Tensor) else "no tensor"


def _another(path: str, difference: str) -> UserError:
    return UserError(
        f"checkpoint {path} is of another configuration: {difference}; resume with the "
        "configuration that wrote it, or train without --resume into another OUTPUT_DIR"
    )
