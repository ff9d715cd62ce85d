import subprocess
import sys
from pathlib import Path

import pytest

from zsk.errors import UserError, run_cli

ROOT = Path(__file__).resolve().parents[1]


def test_a_user_error_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise UserError("the file a.jpg is empty:\n  give another")

    with pytest.raises(SystemExit) as stopped:
        run_cli(main)

    assert stopped.value.code == 2
    assert capsys.readouterr() == ("", "error: the file a.jpg is empty: give another\n")


def test_an_interrupt_is_one_line_and_exit_code_130(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stopped:
        run_cli(main)

    assert stopped.value.code == 130
    assert capsys.readouterr() == ("", "interrupted\n")


@pytest.mark.parametrize(("returned", "code"), [(None, None), (0, 0), (3, 3)])
def test_the_return_value_is_the_exit_code(returned: int | None, code: int | None) -> None:
    with pytest.raises(SystemExit) as stopped:
        run_cli(lambda: returned)

    assert stopped.value.code == code  # None is success, too


def test_a_defect_keeps_its_traceback() -> None:
    def main() -> None:
        raise IndexError("ours")

    with pytest.raises(IndexError, match="ours"):
        run_cli(main)


def test_a_user_error_from_a_loader_worker_loses_torchs_wrapping(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def main() -> None:
        raise UserError(
            "Caught UserError in DataLoader worker process 0.\nOriginal Traceback (most recent "
            'call last):\n  File "x.py", line 1\nzsk.errors.UserError: the file a.jpg is empty\n'
        )

    with pytest.raises(SystemExit):
        run_cli(main)

    assert capsys.readouterr().err == "error: the file a.jpg is empty\n"


@pytest.mark.parametrize("tool", ["train_clip.py", "finetune_clip.py"])
def test_a_tool_without_the_clip_package_says_how_to_install_it(tool: str) -> None:
    run = "import runpy, sys; sys.modules['clip'] = None; runpy.run_path(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", run, tool],
        cwd=ROOT / "tools",  # on sys.path, as a program's own folder is
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert "pip install openai-clip" in done.stderr and "Traceback" not in done.stderr
