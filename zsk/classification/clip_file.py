"""Reads files of OpenAI CLIP's weights."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from zsk.errors import UserError


def read_clip_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a TorchScript archive as OpenAI publishes them, or of a saved state dict.

    Raises:
        UserError: the file cannot be read, or holds no state dict.
    """
    try:
        state = _read(path)
    except (
        OSError, EOFError, RuntimeError, ValueError, LookupError, AttributeError,
        pickle.UnpicklingError, zipfile.BadZipFile,
    ) as error:  # fmt: skip
        raise UserError(
            f"the CLIP weights file {path} cannot be read, it may be a partial download "
            f"({type(error).__name__}): fetch it again"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise UserError(f"the file {path} holds no state dict: give OpenAI CLIP's weights")
    # A plain dict has no version numbers, so files from before torch counted batches load, too.
    return dict(state)


def _read(file: Path) -> object:
    if zipfile.is_zipfile(file) and _is_script_archive(file):
        # loading builds the archive's modules; none of their methods is called
        return torch.jit.load(str(file), map_location="cpu").state_dict()
    return torch.load(file, map_location="cpu", weights_only=True)


def _is_script_archive(file: Path) -> bool:
    """Both kinds are zip files; only TorchScript carries code."""
    with zipfile.ZipFile(file) as archive:
        return any(name.split("/")[1:2] == ["code"] for name in archive.namelist())
