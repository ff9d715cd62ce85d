"""Text embeddings on disk, so that a program that starts again does not encode the same texts.

Letters: K classes, E width of the text space.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zsk.errors import UserError
from zsk.files import remove_unfinished, replacing

from .encoder import VisionLanguageEncoder

FORMAT = 1  # to be raised when the same weights and texts give other embeddings
MIN_TEXTS_CPU = 16  # fewer texts are encoded faster than the weights are hashed
MIN_TEXTS_GPU = 1024
_DIGEST_BYTES = 32

logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """$ZSK_CACHE_DIR/text, or ~/.cache/zsk-net/text."""
    chosen = os.environ.get("ZSK_CACHE_DIR")
    # not Path.home(), which raises where no home is known
    home = os.path.expanduser("~")
    return Path(os.path.expanduser(chosen) if chosen else f"{home}/.cache/zsk-net") / "text"


class TextCache:
    """One file per (encoder, weights, device type, templates, names).

    Several processes may share the folder: a file appears whole or not at all. A damaged file is
    written again; a folder that cannot be written to gives a warning.

    Args:
        folder: None takes `cache_folder()`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = cache_folder() if folder is None else folder

    def rows(
        self,
        encoder: VisionLanguageEncoder,
        templates: Sequence[str],
        names: Sequence[str],
        encode: Callable[[], Tensor],
    ) -> Tensor:
        """(K,E) float32 unit rows on the encoder's device: from the disk, or from `encode()`.

        Few texts are encoded without reading the disk, see MIN_TEXTS_CPU.
        """
        on_cpu = encoder.device.type == "cpu"
        if len(names) * len(templates) < (MIN_TEXTS_CPU if on_cpu else MIN_TEXTS_GPU):
            return encode()
        file = self.folder / f"{_key(encoder, templates, names)}.rows"
        kept = _read(file, (len(names), encoder.embed_dim))
        if kept is not None:
            return kept.to(encoder.device)
        rows = encode()
        self._write(file, rows)
        return rows

    def _write(self, file: Path, rows: Tensor) -> None:
        content = rows.cpu().numpy().tobytes()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_unfinished(self.folder)
            with replacing(file) as unfinished:
                unfinished.write_bytes(hashlib.sha256(content).digest() + content)
        except (OSError, UserError) as error:
            logger.warning(
                "text embeddings cannot be kept in %s (%s): set ZSK_CACHE_DIR to a folder that can "
                "be written to",
                self.folder,
                getattr(error, "strerror", None) or error,
            )


def _key(encoder: VisionLanguageEncoder, templates: Sequence[str], names: Sequence[str]) -> str:
    # with the type of the device, since a GPU encodes in half precision
    content = [
        FORMAT,
        type(encoder).__name__,
        encoder.fingerprint(),
        encoder.device.type,
        list(templates),
        list(names),
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _read(file: Path, shape: tuple[int, int]) -> Tensor | None:
    """The rows in a file: SHA-256, then float32; None where there is no file or it is damaged."""
    try:
        size = _DIGEST_BYTES + 4 * shape[0] * shape[1]
        if not file.is_file() or file.stat().st_size != size:  # a pipe would never end
            return None
        content = file.read_bytes()
    except OSError:
        return None
    digest, rows = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(rows).digest() != digest:
        return None
    return torch.from_numpy(np.frombuffer(rows, np.float32).reshape(shape).copy())
