"""Running programs: order, failures, what is finished, and the time that is left."""

from pathlib import Path

import pytest

from zsk.benchmark.runs import Job, Kind, remaining_seconds, run_jobs


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
    path = tmp_path / "order.txt"
    return path.read_text() if path.exists() else ""


def test_each_after_what_it_needs_and_only_once(job, tmp_path: Path) -> None:
    a = job("a", "import time; time.sleep(0.3)")
    b, c = job("b", needs=[a]), job("c")
    assert run_jobs([a, b, c], workers=2) == []
    assert order(tmp_path) in ("acb", "cab")
    assert run_jobs([a, b, c], workers=2) == []
    assert len(order(tmp_path)) == 3
    assert (a.folder / "benchmark.log").read_text() == "['KEY', '1']\n"


def test_a_failure_is_told_and_the_others_go_on(job, tmp_path: Path) -> None:
    a = job("a", "print(*range(9), sep='\\n')\nsys.exit('error: no such thing')")
    b, c = job("b", needs=[a]), job("c")
    failures = run_jobs([a, b, c], workers=1)
    assert order(tmp_path) == "ac"
    assert len(failures) == 2
    assert "a: failed with exit code 1" in failures[0]
    assert str(a.folder / "benchmark.log") in failures[0]
    assert "error: no such thing" in failures[0] and "['KEY'" not in failures[0]
    assert "b: left out" in failures[1]
    # next time, what failed is tried again and what was left out follows
    a.program.write_text("")
    assert run_jobs([a, b, c], workers=1) == []
    assert order(tmp_path) == "acb"


def test_a_stopped_training_is_resumed(job) -> None:
    a = job("a", "sys.exit(3)")
    assert "--resume" not in a.command()
    run_jobs([a], workers=1)
    assert not a.finished()
    (a.folder / "last_checkpoint").write_text("model_0000009.pth")
    assert a.command()[2:] == ["--resume", "KEY", "1"]
    evaluation = job("e", kind="evaluate")
    evaluation.folder.mkdir(parents=True)
    (evaluation.folder / "last_checkpoint").write_text("model_0000009.pth")
    assert "--resume" not in evaluation.command()


def test_interrupted_programs_are_stopped(job, monkeypatch) -> None:
    a = job("a", "import time; time.sleep(60)")
    calls = iter([None, None])

    def sleep(seconds: float) -> None:
        if next(calls, "done") == "done":
            raise KeyboardInterrupt

    monkeypatch.setattr("zsk.benchmark.runs.time.sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        run_jobs([a], workers=1)  # returns at once: the program does not run on
    assert not a.finished()


def test_remaining_seconds_by_hand() -> None:
    assert remaining_seconds({}, ["train"], [], 1) is None
    durations = {"train": [90.0, 110.0], "evaluate": [10.0]}
    # 2 x 100 + 10 wait, 100 - 30 are left of the one that runs: 280 s for one worker
    waiting = ["train", "train", "evaluate"]
    assert remaining_seconds(durations, waiting, [("train", 30.0)], 1) == 280
    assert remaining_seconds(durations, waiting, [("train", 30.0)], 2) == 140
    # a single run cannot be shared; one that takes longer than expected ends any moment
    assert remaining_seconds(durations, [], [("train", 30.0)], 2) == 70
    assert remaining_seconds(durations, [], [("train", 130.0)], 2) == 0
    # nothing prepared yet: the mean of 90, 110 and 10
    assert remaining_seconds(durations, ["prepare"], [], 1) == 70
