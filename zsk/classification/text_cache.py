"""Text embeddings on disk, so that a program that starts again does not encode the same texts.

Letters: K classes, E width of the text space.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .encoder import VisionLanguageEncoder

FORMAT = 1  # to be raised when the same weights and texts give other embeddings
MIN_TEXTS_CPU = 16  # fewer texts are encoded faster than the weights are hashed
MIN_TEXTS_GPU = 1024

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
        file = self.folder / f"{_key(encoder, templates, names)}.npy"
        kept = _read(file, (len(names), encoder.embed_dim))
        if kept is not None:
            return kept.to(encoder.device)
        rows = encode()
        self._write(file, rows)
        return rows

    def _write(self, file: Path, rows: Tensor) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.folder, suffix=".part")
            try:
                with os.fdopen(handle, "wb") as part:
                    np.save(part, rows.cpu().numpy(), allow_pickle=False)
                os.replace(name, file)
            except BaseException:
                os.unlink(name)
                raise
        except OSError as error:
            logger.warning(
                "text embeddings cannot be kept in %s (%s): set ZSK_CACHE_DIR to a folder that can "
                "be written to",
                self.folder,
                error.strerror,
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
    """The rows in a file; None where there is no file or its content is invalid."""
    try:
        rows = np.load(file, allow_pickle=False)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile):
        return None
    if rows.shape != shape or rows.dtype != np.float32:
        return None
    lengths = np.linalg.norm(rows, axis=1)
    return torch.from_numpy(rows) if np.all(np.abs(lengths - 1) < 1e-3) else None
