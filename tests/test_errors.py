"""How command lines end: exit codes, and mistakes as one line."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from zsk.errors import UnreadableFile, UserError, lacks_memory, run_cli
from zsk.terminal import say

WRAPPED = (
    "Caught UserError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):"
    '\n  File "x.py", line 1\nzsk.errors.UserError: the file a.jpg is empty\n'
)


def exit_code(main: Callable[[], object]) -> int:
    with pytest.raises(SystemExit) as stopped:
        run_cli(main)
    return stopped.value.code


@pytest.mark.parametrize(
    "error, code, line",
    [
        (UserError("a.jpg is empty:\n  give another"), 2, "error: a.jpg is empty: give another\n"),
        (UserError(WRAPPED), 2, "error: the file a.jpg is empty\n"),  # torch's wrapping is lost
        (
            UnreadableFile(WRAPPED.replace("UserError", "UnreadableFile")),
            2,
            "error: the file a.jpg is empty\n",
        ),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (PermissionError(13, "Permission denied", "a/b"), 2, "error: a/b: Permission denied\n"),
        (
            OSError(28, "No space left"),
            2,
            "error: the output or a file cannot be written: No space left\n",
        ),
    ],
)
def test_a_mistake_and_an_interrupt_are_one_line(capsys, error, code, line) -> None:
    def main() -> None:
        raise error

    assert exit_code(main) == code
    assert capsys.readouterr() == ("", line)


def test_sigterm_is_one_line_after_clean_up(capsys) -> None:
    done = []

    def main() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            done.append("cleaned up")

    assert (exit_code(main), done) == (143, ["cleaned up"])
    assert capsys.readouterr() == ("", "terminated\n")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_handler_of_main_comes_first(capsys) -> None:
    """As training saves a checkpoint first."""

    def main() -> int:
        earlier = signal.signal(signal.SIGTERM, lambda *_: print("saved"))
        os.kill(os.getpid(), signal.SIGTERM)
        signal.signal(signal.SIGTERM, earlier)
        return 143

    assert exit_code(main) == 143 and capsys.readouterr() == ("saved\n", "")


def closed_pipe() -> io.TextIOWrapper:
    reader, writer = os.pipe()
    os.close(reader)
    return open(writer, "w")


@pytest.mark.parametrize(
    "output, reason", [(closed_pipe, "Broken pipe"), (lambda: open("/dev/full", "w"), "No space")]
)
def test_a_closed_and_a_full_output(capsys, monkeypatch, output, reason: str) -> None:
    """The line comes once, also for what was printed, but not yet written."""
    with output() as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        assert exit_code(lambda: print("result")) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: the output or a file cannot be written: ") and reason in line
    with output() as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        say("first")
        say("second")
    assert capsys.readouterr().err.count("the run goes on") == 1


def test_characters_that_the_output_lacks(capsys, monkeypatch) -> None:
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", output)
    exit_code(lambda: print("Saucière"))
    assert output.buffer.getvalue() == b"Sauci\\xe8re\n"  # type: ignore[attr-defined]
    say("a line\nbreak, \x1b[31mred, \udcff", error=True)
    assert capsys.readouterr().err == "a line\\nbreak, \\x1b[31mred, \\udcff\n"


@pytest.mark.parametrize(
    "error, lacks",
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_a_lack_of_memory_is_told_from_other_errors(error, lacks) -> None:
    assert lacks_memory(error) is lacks


def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run_cli(lambda: 1 // 0)


@pytest.mark.slow
def test_a_tool_without_the_clip_package_says_how_to_install_it(checkout, run_program) -> None:
    run = "import runpy, sys; sys.modules['clip'] = None; runpy.run_path(sys.argv[1])"
    path = checkout / "tools"  # as a program's own folder is
    done = run_program("-c", run, path / "train_clip.py", PYTHONPATH=path)
    assert done.returncode == 2
    assert "pip install openai-clip" in done.stderr and "Traceback" not in done.stderr


def test_a_package_that_is_missing_is_a_line() -> None:
    """For a program that does without it, it is an ImportError."""
    missing = "import sys; sys.modules['detectron2'] = None\n"
    command = [sys.executable, "-c", missing + "import zsk"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: the package detectron2 is missing: activate .venv")
    block = """
sys.excepthook = lambda kind, error, trace: print("mine", error)
try:
    import zsk
except ImportError as error:
    print(error)
raise ValueError("later")
"""
    done = subprocess.run([sys.executable, "-c", missing + block], capture_output=True, text=True)
    first, last = done.stdout.splitlines()
    assert first.startswith("the package detectron2 is missing") and last == "mine later"
