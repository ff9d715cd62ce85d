"""Reads and writes files of weights: nothing is executed, and damage is noticed.

In safetensors files, notes of plain values beside the tensors and a checksum, which the format
itself lacks, are JSON in the metadata.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import threading
import zipfile
import zlib
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor
from torch.serialization import safe_globals

from zsk.errors import UserError
from zsk.files import replacing

SUFFIX = ".safetensors"
_KEY = "zsk"  # of the metadata: {"notes": {name: value}, "crc32": int}

# how the old format of torch.save begins, before torch 1.6: a pickled number
_OLD_FORMAT = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")


class Unread:
    """Stands for an object of a training that nobody reads; keeps none of its parts."""

    def __setstate__(self, _: Any) -> None:
        pass


LEFTOVERS: tuple[Any, ...] = (
    *((Unread, f"torch.optim.{name}") for name in ("lr_scheduler.CosineAnnealingLR", "sgd.SGD")),
    (lambda *_: {}, "collections.defaultdict"),
    dict,
)
"""For `read_file`: what Dassl's trainer, which CoOp and POMP have, saves beside the prompts."""
_LOCK = threading.Lock()  # torch's list of safe globals belongs to the process


def read_file(
    path: str | os.PathLike[str],
    what: str = "weights file",
    also: Sequence[Callable[..., Any] | tuple[Callable[..., Any], str]] = (),
) -> Any:
    """The content, on the CPU, of a file of torch.save, of safetensors or of a pickle.

    The content decides which of them a file is, not its suffix; pickles are Detectron2's model zoo.
    Only tensors, numbers, texts, numpy's arrays and scalars, plain containers and
    argparse.Namespace are built; nothing in the file is executed. The CRC-32 that torch.save writes
    for every tensor is compared, which torch.load leaves out; so is that of `save_file`.

    Args:
        also: further classes that a file of torch.save may hold, of which making an object does
            nothing else, such as named tuples; or pairs of such a class and the name of the one
            that it stands for.

    Raises:
        UserError: naming `what` and `path`: the file is missing, damaged or holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{what} {path} {'is no file' if path.exists() else 'does not exist'}")
    try:
        with open(path, "rb") as file:
            start = file.read(32)
        if not start:
            raise pickle.UnpicklingError("it is empty")
        if _holds_safetensors(path, start):
            return _read_safetensors(path)
        if start.startswith(b"PK"):
            _check_records(path)
        elif _OLD_FORMAT not in start:
            with open(path, "rb") as file:
                return _ArrayUnpickler(file, encoding="latin1").load()  # Python 2 wrote some
        allowed: list[Any] = [*also, *_DTYPES, *((value, key) for key, value in _ALLOWED.items())]
        # not the path, by whose suffix torch would choose the format
        with _LOCK, safe_globals(allowed), open(path, "rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch, pickle, zip and numpy have their own kinds
        raise UserError(f"{what} {path} cannot be read: {_reason(error)}") from error


def save_file(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write `content` for `read_file`, whole or not at all, in the format of the path's suffix.

    In a .safetensors file the tensors of "model" stand beside the other entries, as in a bare state
    dict. Other suffixes are torch.save's.

    Raises:
        UserError: the file cannot be written, or safetensors has no place for an entry.
    """
    path = Path(path)
    if path.suffix.lower() != SUFFIX:
        with replacing(path) as unfinished:
            torch.save(content, unfinished)
        return
    flat = {key: value for key, value in content.items() if key != "model"}
    try:
        data = _to_bytes({**content.get("model", {}), **flat})
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{path} cannot be written: safetensors holds tensors and plain notes beside them, but "
            f"no state of a training ({error}): end the name in .pth"
        ) from error
    with replacing(path) as unfinished:
        unfinished.write_bytes(data)


def one_line(error: Exception) -> str:
    """An error's text without line breaks and the codes that colour a terminal."""
    text = str(error) if str(error) else type(error).__name__
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())


def _holds_safetensors(path: Path, start: bytes) -> bool:
    """By the content; by the name, too, where it is no format that torch or pickle writes."""
    header = int.from_bytes(start[:8], "little")
    if start[8:9] == b"{" and 8 + header <= path.stat().st_size:
        return True
    return path.suffix.lower() == SUFFIX and not start.startswith((b"PK", b"\x80"))


def _to_bytes(content: Mapping[str, Any]) -> bytes:
    """Raises a TypeError or ValueError for an entry that is no tensor and no plain note."""
    tensors = {
        key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, value in content.items()
        if isinstance(value, Tensor)
    }
    notes = {key: value for key, value in content.items() if key not in tensors}
    if json.loads(json.dumps(notes)) != notes:
        raise ValueError("a note would come back as another value")
    ours = json.dumps({"notes": notes, "crc32": _crc32(tensors)})
    return save(tensors, {"format": "pt", _KEY: ours})


def _read_safetensors(path: Path) -> dict[str, Any]:
    """The tensors, on the CPU, and the notes of `_to_bytes`, by their names."""
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}
        metadata = file.metadata() or {}
    if _KEY not in metadata:
        return tensors
    ours = json.loads(metadata[_KEY])
    if ours["crc32"] != _crc32(tensors):
        raise ValueError("the checksum of its tensors is wrong")
    return {**tensors, **ours["notes"]}


def _crc32(tensors: Mapping[str, Tensor]) -> int:
    crc = 0
    for key in sorted(tensors):
        crc = zlib.crc32(key.encode(), crc)
        crc = zlib.crc32(tensors[key].reshape(-1).view(torch.uint8).numpy().data, crc)
    return crc


def _check_records(path: Path) -> None:
    if not zipfile.is_zipfile(path):
        raise zipfile.BadZipFile("its end is missing")
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"the checksum of its part {damaged} is wrong")


def _reason(error: Exception) -> str:
    text = one_line(error)
    unsafe = re.search(r"GLOBAL ([\w.]+\w)", text)
    if unsafe:
        return (
            f"it holds an object of {unsafe[1]}, which could run code of the file: save the "
            'weights alone, as torch.save({"model": model.state_dict()}, file)'
        )
    # what torch adds before and behind is advice to load the file unsafely
    text = text.rpartition("WeightsUnpickler error: ")[2].partition(" Check the documentation")[0]
    return f"it is damaged or no checkpoint ({text.partition(' In PyTorch 2.6')[0]})"


def _numeric_dtype(kind: Any, *flags: bool) -> np.dtype[Any]:
    dtype = np.dtype(kind, *flags)
    if dtype.kind not in "biufcSU":
        raise pickle.UnpicklingError(f"GLOBAL numpy.{dtype.name}")
    return dtype


_DTYPES = [type(np.dtype(kind)) for kind in "?bBhHiIlLqQefdgFDGSU"]
_NUMPY = {
    "multiarray.scalar": np.float64(0).__reduce__()[0],
    "multiarray._reconstruct": np.empty(0).__reduce__()[0],
    "numeric._frombuffer": np.empty(0).__reduce_ex__(5)[0],
}
_ALLOWED: dict[str, Any] = {
    # numpy 1 and numpy 2 name the same functions
    **{f"numpy.{core}.{name}": f for core in ("core", "_core") for name, f in _NUMPY.items()},
    "numpy.dtype": _numeric_dtype,
    "numpy.ndarray": np.ndarray,
    "argparse.Namespace": Namespace,
}
_ALLOWED_IN_PICKLES: dict[str, Any] = {
    **_ALLOWED,
    "collections.OrderedDict": OrderedDict,
    "_codecs.encode": lambda text, _encoding: text.encode("latin1"),  # how protocol 2 has bytes
    # backbones that were converted for Detectron2 without numpy
    "torch._utils._rebuild_tensor_v2": torch._utils._rebuild_tensor_v2,
    "torch.storage._load_from_bytes": lambda data: torch.load(io.BytesIO(data), weights_only=True),
}


class _ArrayUnpickler(pickle.Unpickler):
    """Builds numpy's arrays, torch's tensors and plain containers."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED_IN_PICKLES[f"{module}.{name}"]
        except KeyError:
            raise pickle.UnpicklingError(f"GLOBAL {module}.{name}") from None
