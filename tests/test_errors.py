"""How command lines end: exit codes, and mistakes as one line."""

import subprocess
import sys

import pytest

from zsk.errors import UserError, run_cli

WRAPPED = (
    "Caught UserError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):"
    '\n  File "x.py", line 1\nzsk.errors.UserError: the file a.jpg is empty\n'
)


@pytest.mark.parametrize(
    "error, code, line",
    [
        (UserError("a.jpg is empty:\n  give another"), 2, "error: a.jpg is empty: give another\n"),
        (UserError(WRAPPED), 2, "error: the file a.jpg is empty\n"),  # torch's wrapping is lost
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_a_mistake_and_an_interrupt_are_one_line(capsys, error, code, line) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as stopped:
        run_cli(main)
    assert stopped.value.code == code
    assert capsys.readouterr() == ("", line)


def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run_cli(lambda: 1 // 0)


@pytest.mark.parametrize("tool", ["train_clip.py", "finetune_clip.py"])
def test_a_tool_without_the_clip_package_says_how_to_install_it(checkout, tool: str) -> None:
    run = "import runpy, sys; sys.modules['clip'] = None; runpy.run_path(sys.argv[1])"
    command = [sys.executable, "-c", run, tool]
    folder = checkout / "tools"  # on sys.path, as a program's own folder is
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "pip install openai-clip" in done.stderr and "Traceback" not in done.stderr
