"""Running programs: order, failures, and what is finished."""

from dataclasses import replace
from pathlib import Path

import pytest
from benchmark.accuracy.runs import Job, Kind, run_jobs


@pytest.fixture
def job(tmp_path: Path):
    """A job whose program appends its name to order.txt, prints its words and does `code`."""

    def make(name: str, code: str = "", kind: Kind = "train", needs=()) -> Job:
        program = tmp_path / f"{name}.py"
        order = tmp_path / "order.txt"
        program.write_text(
            f"import sys\nprint(sys.argv[1:])\nopen({str(order)!r}, 'a').write({name!r})\n{code}\n"
        )
        needed = tuple(other.folder for other in needs)
        return Job(name, kind, tmp_path / "runs" / name, program, ("KEY", "1"), needed)

    return make


def order(tmp_path: Path) -> str:
    return (tmp_path / "order.txt").read_text()


def test_a_failure_is_told_and_the_others_go_on(job, tmp_path: Path) -> None:
    a = job("a", "print(*range(9), sep='\\n')\nsys.exit('error: no such thing')")
    b, c = job("b", needs=[a]), job("c")
    failed, left_out = run_jobs([a, b, c], workers=1)
    assert order(tmp_path) == "ac"
    assert "a: failed with exit code 1" in failed and str(a.folder / "benchmark.log") in failed
    assert "error: no such thing" in failed and "['KEY'" not in failed
    assert "b: left out" in left_out
    # next time, the failed job is tried again and the one that was left out follows
    a.program.write_text("")
    assert run_jobs([a, b, c], workers=1) == []
    assert order(tmp_path) == "acb"


def test_what_writes_elsewhere_runs_every_time_that_it_is_needed(job, tmp_path: Path) -> None:
    """Its files may be gone, or the checkout another one."""
    a = replace(job("a", kind="prepare"), elsewhere=True)
    jobs = [a, job("b", needs=[a])]
    assert run_jobs(jobs, workers=1) == run_jobs(jobs, workers=1) == []
    assert order(tmp_path) == "ab"
    assert run_jobs([*jobs, job("c", needs=[a])], workers=1) == []
    assert order(tmp_path) == "abac"


def test_a_stopped_training_is_resumed(job) -> None:
    assert job("a").command()[2:] == ["--resume", "KEY", "1"]
    assert "--resume" not in job("e", kind="evaluate").command()


def test_interrupted_programs_are_stopped(job, monkeypatch) -> None:
    a = job("a", "import time; time.sleep(60)")

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmark.accuracy.runs.time.sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_jobs([a], workers=1)  # returns at once: the program does not run on
    assert not a.finished()
