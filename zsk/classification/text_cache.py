"""Text embeddings on disk, so that a program that starts again does not encode them again.

Measured on 2026-11-23 with a CLIP of ViT-B/16's size on one CPU thread: 0.1 s per text, and once
per start 0.3 s for the fingerprint of the weights. On a GPU a text costs far less than on a CPU and
the fingerprint as much, so that only large template ensembles gain there (our estimate).

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

FORMAT = 1  # raise it when the same weights and texts come to give other embeddings
MIN_TEXTS_CPU = 16  # fewer texts than this are encoded sooner than the weights are hashed
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

    Any number of processes may share the folder: a file appears whole or not at all. A file that is
    damaged is written anew; a folder that cannot be written to costs a warning.

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

        Few texts are encoded without a look at the disk, see MIN_TEXTS_CPU.
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
    # The device's type, because a GPU encodes in half precision.
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
    """The rows in a file; None where there is none, or none that can be believed."""
    try:
        rows = np.load(file, allow_pickle=False)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile):
        return None
    if rows.shape != shape or rows.dtype != np.float32:
        return None
    lengths = np.linalg.norm(rows, axis=1)
    return torch.from_numpy(rows) if np.all(np.abs(lengths - 1) < 1e-3) else None
