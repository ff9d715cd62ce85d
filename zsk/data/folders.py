"""Finds the files of a folder by their stems."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from zsk.errors import UserError


def files_by_stem(
    folder: str, suffixes: Sequence[str], what: str, hint: str = "", sub_folders: bool = False
) -> dict[str, str]:
    """Stem -> path of the files with one of the suffixes; hidden files are skipped.

    With `sub_folders` a stem has the path from `folder`, with slashes. Symbolic links to folders
    are followed, but not back to a folder that they lie in.

    Raises:
        UserError: naming the folder, when it is missing, cannot be read or holds no such file, or
            two files share a stem. `what` ("photos") and `hint` stand in the message.
    """
    if not os.path.isdir(folder):
        raise UserError(f"the folder of {what} {folder} does not exist{hint}")
    found: dict[str, str] = {}
    for path, ending in _walk(folder, suffixes, sub_folders):
        stem = Path(os.path.relpath(path, folder)).as_posix()[: -len(ending)]
        if stem in found:
            told = f"{path} and {found[stem]} share the stem {stem!r}: remove one"
            if what == "photos":
                told += (
                    "; where one is the label of the other, set image_suffix (and label_suffix) "
                    "in the split file"
                )
            raise UserError(told)
        found[stem] = path
    if not found:
        deeper = not sub_folders and any(_walk(folder, suffixes, True))
        below = ", but those below do: set sub_folders to yes in the split file" if deeper else ""
        raise UserError(
            f"the folder of {what} {folder} holds no file ending in {', '.join(suffixes)}"
            f"{below}{hint}"
        )
    return found


def _walk(folder: str, suffixes: Sequence[str], sub_folders: bool) -> Iterator[tuple[str, str]]:
    """The paths of all files with one of the suffixes, and which one; hidden ones are skipped."""

    def refuse(error: OSError) -> None:
        raise UserError(f"the folder {error.filename} cannot be read ({error.strerror})") from error

    for parent, below, names in os.walk(folder, onerror=refuse, followlinks=True):
        shown = [name for name in below if sub_folders and not name.startswith(".")]
        below[:] = [name for name in shown if not _leads_back(parent, name)]
        for name in names:
            ending = next((s for s in suffixes if name.lower().endswith(s.lower())), None)
            if ending is not None and not name.startswith("."):
                yield os.path.join(parent, name), ending


def _leads_back(parent: str, name: str) -> bool:
    """Whether a link in a folder points to that folder or one above, where a walk has no end."""
    path = os.path.join(parent, name)
    if not os.path.islink(path):
        return False
    target = Path(os.path.realpath(path))
    above = (os.path.realpath(folder) for folder in (Path(parent), *Path(parent).parents))
    return any(Path(folder).is_relative_to(target) for folder in above)
