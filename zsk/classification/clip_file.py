"""Reads files of OpenAI CLIP's weights, without executing the code that OpenAI's archives hold."""

from __future__ import annotations

import logging
import pickle
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zsk.errors import UserError
from zsk.safe_load import one_line, read_file

_STORAGES = {
    "HalfStorage": torch.float16, "FloatStorage": torch.float32, "DoubleStorage": torch.float64,
    "LongStorage": torch.int64, "IntStorage": torch.int32, "BFloat16Storage": torch.bfloat16,
}  # fmt: skip
logger = logging.getLogger(__name__)

MAX_WIDTH = 1024  # of OpenAI's image transformers, whose heads have 64 channels each
MIN_WIDTH = 512  # of the text towers that OpenAI and LAION publish; smaller ones are of one's own


def read_clip_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a TorchScript archive as OpenAI publishes them, or of a saved state dict.

    Raises:
        UserError: the file cannot be read, is damaged, or holds no state dict.
    """
    state: Any = None
    if zipfile.is_zipfile(path):
        try:
            state = _read_script_archive(path)
        except Exception as error:  # pickle, zip and torch have their own kinds
            raise UserError(
                f"the CLIP weights file {path} cannot be read, it may be a partial download "
                f"({type(error).__name__}: {one_line(error)}): fetch it again"
            ) from error
    if state is None:
        state = read_file(path, "CLIP weights file")
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise UserError(f"the file {path} holds no state dict: give CLIP's weights")
    # A plain dict has no version numbers, so files from before torch counted batches load, too.
    return dict(state)


def check_openai(file: Path, state: dict[str, Tensor], declared: bool) -> None:
    """Refuse what is, or may be, one of open_clip's models: most have GELU and not QuickGELU.

    The weights do not say which. OpenAI's are half-precision numbers, also in copies in single
    precision and in models of which only the image tower was trained further; LAION's are not.

    Args:
        declared: the user says that the model is of OpenAI's class.

    Raises:
        UserError: naming what to give instead.
    """
    text_width = len(state.get("ln_final.weight", ()))
    hidden = state.get("transformer.resblocks.0.mlp.c_fc.weight")
    if any(
        re.match(r"text\.|visual\.trunk\.|visual\.head\.|logit_bias|state_dict", k) for k in state
    ):
        what = "holds a model or a training checkpoint of open_clip, not of OpenAI's CLIP"
    elif len(state.get("visual.conv1.weight", ())) > MAX_WIDTH:
        raise UserError(
            f"the file {file} holds an image tower that is wider than any of OpenAI's, whose model "
            "class would split it into other heads: give MODEL.CLIP.NAME open_clip:MODEL/TAG:"
            f"{file}, or open_clip:FOLDER with its open_clip_config.json"
        )
    elif declared:
        return
    elif file.name.startswith("open_clip_") or (file.parent / "open_clip_config.json").is_file():
        what = "belongs to a model of open_clip, which may have GELU where OpenAI's have QuickGELU"
    elif hidden is None or torch.equal(hidden, hidden.half().to(hidden.dtype)):
        return
    elif text_width >= MIN_WIDTH:
        what = "does not hold numbers of OpenAI's weights, and does not say if it has QuickGELU"
    else:  # too small for a published one of OpenAI's
        logger.info(
            f"the file {file} is taken for a model of OpenAI's class with QuickGELU: if it is one "
            f"of open_clip's, give MODEL.CLIP.NAME open_clip:MODEL/gelu:{file}"
        )
        return
    raise UserError(
        f"the file {file} {what}: give MODEL.CLIP.NAME open_clip:MODEL/TAG:{file}, such as "
        "open_clip:ViT-B-16/laion2b_s34b_b88k, or open_clip:FOLDER with its open_clip_config.json; "
        f"if it is of OpenAI's model class with QuickGELU, openai:{file}"
    )


def _read_script_archive(file: Path) -> dict[str, Tensor] | None:
    """None for a zip file without code, which torch.save writes; only TorchScript carries code."""
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        if not any(name.split("/")[1:2] == ["code"] for name in names):
            return None
        return dict(_tensors(_ArchiveUnpickler(archive, names[0].split("/")[0]).load(), ""))


def _tensors(module: _Inert, prefix: str) -> Iterator[tuple[str, Tensor]]:
    for name, value in vars(module).items():
        if isinstance(value, Tensor):
            yield prefix + name, value
        elif isinstance(value, _Inert):
            yield from _tensors(value, f"{prefix}{name}.")


class _Inert:
    """Stands for every object of an archive that is no tensor, and only keeps its attributes."""

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: dict[str, Any]) -> None:  # without it, pickle sets any attribute
        vars(self).update(state)


class _ArchiveUnpickler(pickle.Unpickler):
    """TorchScript's modules as `_Inert`, their parameters and buffers as tensors."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(archive.open(f"{root}/data.pkl"))
        self._archive, self._root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, start, size, stride, *_: storage.as_strided(size, stride, start)
        return _STORAGES.get(name, _Inert) if module == "torch" else _Inert

    def persistent_load(self, storage: tuple[Any, ...]) -> Tensor:
        _, dtype, key, *_ = storage
        data = self._archive.read(f"{self._root}/data/{key}")  # compares the checksum
        return torch.frombuffer(bytearray(data), dtype=dtype)
