"""Result files are written whole or not at all."""

from __future__ import annotations

import errno
import os
import resource
import tempfile
import time
from pathlib import Path

import pytest
import torch

from zsk.errors import UserError
from zsk.files import remove_unfinished, replacing, writable_folder


def test_a_file_is_replaced_only_by_a_whole_one(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        with replacing(file) as unfinished:
            unfinished.write_text("hal")
            assert unfinished.suffix == ".json" and file.read_text() == "old"
            raise KeyboardInterrupt
    assert file.read_text() == "old"
    with replacing(file) as unfinished:
        unfinished.write_text("new")
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none/a.pth cannot be written: "):
        with replacing(tmp_path / "none" / "a.pth") as unfinished:
            torch.save(1, unfinished)
    folder = tmp_path / "taken"
    folder.mkdir()
    with pytest.raises(UserError, match="taken cannot be written: Is a directory"):
        with replacing(folder) as unfinished:
            unfinished.write_text("new")
    assert list(tmp_path.iterdir()) == [folder]


def test_a_disk_that_fills_up_under_torch_is_named(tmp_path: Path) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
    try:
        with pytest.raises(UserError, match="a.pth cannot be written: the disk is full"):
            with replacing(tmp_path / "a.pth") as unfinished:
                torch.save(torch.zeros(100_000), unfinished)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_later(tmp_path: Path) -> None:
    old, new = tmp_path / ".unfinished-1.png", tmp_path / ".unfinished-2.png"
    for file in (old, new):
        file.write_text("half")
    os.utime(old, (time.time() - 7200,) * 2)
    remove_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == [new]


def test_a_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    writable_folder(folder, "OUTPUT_DIR")
    (folder / "kept").touch()
    writable_folder(folder, "OUTPUT_DIR")
    assert [path.name for path in folder.iterdir()] == ["kept"]


def test_a_file_in_the_way_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder, reason in (("file", "File exists"), ("file/output", "Not a directory")):
        with pytest.raises(UserError, match=f"^OUTPUT_DIR cannot be written: {reason}"):
            writable_folder(tmp_path / folder, "OUTPUT_DIR")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_folder_that_takes_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(UserError, match=f"^OUTPUT_DIR cannot be written: {os.strerror(code)}"):
        writable_folder(tmp_path, "OUTPUT_DIR")
    assert not list(tmp_path.iterdir())
