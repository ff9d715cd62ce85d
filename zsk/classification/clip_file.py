"""Files of OpenAI CLIP's weights, which are read as often as a part of them is needed."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from zsk.errors import UserError


class ClipFile:
    """A TorchScript archive as OpenAI publishes them, or a saved state dict.

    Args:
        path: the file; it has to stay as it is for as long as it is read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()  # the folder may be left before it is read again
        self._version: tuple[int, int] | None = None

    def read(self) -> dict[str, Tensor]:
        """The tensors on the CPU, as they were saved; a state dict's are views of the file.

        Raises:
            UserError: it is no such file, or another one than at the first time.
        """
        try:
            version = self._version_now()
            if self._version not in (None, version):
                raise UserError(
                    f"the CLIP weights file {self.path} has changed while it was in use: start "
                    "again, and write other weights to another file"
                )
            state = _read(self.path)
        except (
            OSError, EOFError, RuntimeError, ValueError, LookupError, AttributeError,
            pickle.UnpicklingError, zipfile.BadZipFile,
        ) as error:  # fmt: skip
            raise UserError(
                f"the CLIP weights file {self.path} cannot be read, it may be a partial download "
                f"({type(error).__name__}): fetch it again"
            ) from error
        if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
            raise UserError(f"the file {self.path} holds no state dict: give OpenAI CLIP's weights")
        self._version = version
        return state

    def _version_now(self) -> tuple[int, int]:
        status = self.path.stat()
        return status.st_size, status.st_mtime_ns


def _read(file: Path) -> object:
    is_zip = zipfile.is_zipfile(file)
    if is_zip and _is_script_archive(file):
        return dict(torch.jit.load(str(file), map_location="cpu").state_dict())
    # mapped, only what is used of it takes memory; the format before zip files cannot be
    return torch.load(file, map_location="cpu", weights_only=True, mmap=is_zip)


def _is_script_archive(file: Path) -> bool:
    """Both kinds are zip files; only TorchScript carries code."""
    with zipfile.ZipFile(file) as archive:
        return any(name.split("/")[1:2] == ["code"] for name in archive.namelist())
