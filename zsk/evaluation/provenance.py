"""Which code and which libraries a number comes from."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import detectron2

_ROOT = Path(__file__).resolve().parents[2]
_LIBRARIES = ("torch", "torchvision", "numpy", "scipy", "pillow")


def provenance() -> dict[str, Any]:
    """{"git_revision": str, "versions": {library: version}}, the same on every run of one code."""
    versions = {name: _version(name) for name in _LIBRARIES}
    versions["python"] = platform.python_version()
    versions["detectron2"] = detectron2.__version__  # its distribution has several names
    return {"git_revision": git_revision(_ROOT), "versions": versions}


def git_revision(root: Path) -> str:
    """The commit that is checked out in `root`, with "-dirty" after it when tracked files differ.

    "unknown" when `root` is not the top of a git checkout: an installed package may lie inside
    another repository, whose revision would be wrong.
    """
    top = _git(root, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != root.resolve():
        return "unknown"
    return _git(root, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*") or "unknown"


def _git(root: Path, *arguments: str) -> str | None:
    """Standard output of a git command, None when git is missing or refuses."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
