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

from torch import Tensor

from zsk.errors import UserError
from zsk.files import remove_unfinished
from zsk.safe_load import read_file, save_file

from .encoder import VisionLanguageEncoder

FORMAT = 2  # to be raised when the same weights and texts give other embeddings
MIN_TEXTS_CPU = 16  # fewer texts are encoded faster than the weights are hashed
MIN_TEXTS_GPU = 1024

logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """$ZSK_CACHE_DIR/text, or ~/.cache/zsk-net/text."""
    folder = os.environ.get("ZSK_CACHE_DIR") or "~/.cache/zsk-net"
    return Path(os.path.expanduser(folder)) / "text"  # not Path's, which raises without a home


def cached_rows(
    folder: Path,
    encoder: VisionLanguageEncoder,
    templates: Sequence[str],
    names: Sequence[str],
    encode: Callable[[], Tensor],
) -> Tensor:
    """(K,E) float32 unit rows on the encoder's device: from the disk, or from `encode()`.

    One file per (encoder, weights, device type, templates, names). Several processes may share the
    folder: a file appears whole or not at all. A damaged file is written again; a folder that
    cannot be written to gives a warning. Few texts are encoded without reading the disk, see
    MIN_TEXTS_CPU.
    """
    device = encoder.device.type  # a GPU encodes in half precision
    if len(names) * len(templates) < (MIN_TEXTS_CPU if device == "cpu" else MIN_TEXTS_GPU):
        return encode()
    key = [FORMAT, type(encoder).__name__, encoder.fingerprint(), device]
    content = json.dumps([*key, list(templates), list(names)])
    file = folder / f"{hashlib.sha256(content.encode()).hexdigest()}.safetensors"
    try:
        kept: Tensor = read_file(file)["rows"]
        return kept.to(encoder.device)
    except (UserError, LookupError):  # not there, or damaged
        rows = encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_unfinished(folder)
        save_file(file, {"rows": rows})
    except (OSError, UserError) as error:
        logger.warning(
            f"text embeddings cannot be kept in {folder} "
            f"({getattr(error, 'strerror', None) or error}): set ZSK_CACHE_DIR to a folder "
            "that can be written to"
        )
    return rows
