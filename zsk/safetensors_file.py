"""Tensors, and notes of plain values beside them, in the safetensors format.

The notes and a checksum, which the format itself lacks, are JSON in the file's metadata.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

SUFFIX = ".safetensors"
_KEY = "zsk"  # of the metadata: {"notes": {name: value}, "crc32": int}


def holds_safetensors(path: Path) -> bool:
    """By the content; by the name, too, where it is no format that torch or pickle writes."""
    with open(path, "rb") as file:
        start = file.read(9)
    header = int.from_bytes(start[:8], "little")
    if start[8:9] == b"{" and 8 + header <= path.stat().st_size:
        return True
    return path.suffix.lower() == SUFFIX and not start.startswith((b"PK", b"\x80"))


def to_bytes(content: Mapping[str, Any]) -> bytes:
    """The file that `read_safetensors` gives back as `content`.

    Raises:
        ValueError: an entry is neither a tensor nor of the plain values that JSON has.
    """
    tensors = {
        key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, value in content.items()
        if isinstance(value, Tensor)
    }
    notes = {key: value for key, value in content.items() if key not in tensors}
    try:
        same = json.loads(json.dumps(notes)) == notes
    except TypeError as error:
        raise ValueError(str(error)) from error
    if not same:
        raise ValueError("a note would come back as another value")
    ours = json.dumps({"notes": notes, "crc32": _crc32(tensors)})
    return save(tensors, {"format": "pt", _KEY: ours})


def read_safetensors(path: Path) -> dict[str, Any]:
    """The tensors, on the CPU, and the notes of `to_bytes`, by their names.

    Raises an exception of safetensors, or a ValueError, for a damaged file.
    """
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
