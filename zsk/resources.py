"""Where the project's own data lies: inside an installed package, beside it in a checkout."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def find_resource(path: str | PathLike[str]) -> Path:
    """The absolute path of "configs/…" or "datasets/photos_….txt"; `path` itself if it is neither.

    setup.py says which files travel with the package.
    """
    for root in (_PACKAGE, _PACKAGE.parent):
        if (root / path).exists():
            return root / path
    return Path(path)
