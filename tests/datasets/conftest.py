"""Fixtures that the tests of datasets/ share."""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def run_main(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run a program of datasets/ in this process; gives its exit code, stdout and stderr."""

    def run(program: str, *arguments: object) -> tuple[int, str, str]:
        path = checkout / "datasets" / f"{program}.py"
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            runpy.run_path(str(path), run_name="__main__")
        return (left.value.code or 0, *capsys.readouterr())

    return run
