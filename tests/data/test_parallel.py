"""Many files in several processes: order, errors, and workers that die or are left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zsk.data.parallel import default_workers, map_files
from zsk.errors import UserError

PATHS = [Path(str(number)) for number in range(30)]


def squared(path: Path) -> int:
    return int(path.name) ** 2


def process_id(path: Path) -> int:
    return os.getpid()


def fails_from_11_on(path: Path) -> None:
    # the earlier mistake takes longer to find: it is to be reported all the same
    if path.name == "11":
        time.sleep(0.3)
    if int(path.name) >= 11:
        raise UserError(f"label {path.name} is bad")


def fails_at_once_or_writes(path: Path) -> None:
    if path.name == "0":
        raise UserError("label 0 is bad")
    time.sleep(0.02)
    path.touch()


def dies(path: Path) -> None:
    os._exit(1)


@pytest.mark.parametrize("workers", [1, 2, 3, 100])
def test_results_come_in_the_order_of_the_files(workers: int) -> None:
    results = map_files(squared, PATHS, workers=workers, description="squares")
    assert results == [number**2 for number in range(30)]
    assert map_files(squared, [], workers=workers, description="none") == []


def test_one_worker_stays_in_this_process_and_several_do_not() -> None:
    assert set(map_files(process_id, PATHS, workers=1, description="ids")) == {os.getpid()}
    assert os.getpid() not in map_files(process_id, PATHS, workers=2, description="ids")


@pytest.mark.parametrize("workers", [1, 3])
def test_the_earliest_mistake_is_reported_as_it_was_raised(workers: int) -> None:
    with pytest.raises(UserError) as caught:
        map_files(fails_from_11_on, PATHS, workers=workers, description="fails")
    assert str(caught.value) == "label 11 is bad"


def test_after_a_mistake_nothing_new_is_begun(tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(400)]
    with pytest.raises(UserError, match="label 0 is bad"):
        map_files(fails_at_once_or_writes, paths, workers=2, description="fails")
    assert len(list(tmp_path.iterdir())) < 200


@pytest.mark.parametrize("workers", [0, -2])
def test_no_worker_is_a_mistake(workers: int) -> None:
    with pytest.raises(UserError, match=f"worker processes is {workers}: it has to be 1 or more"):
        map_files(squared, PATHS, workers=workers, description="squares")


def test_a_killed_worker_is_a_sentence() -> None:
    with pytest.raises(UserError, match="worker process was killed during deaths.*--workers"):
        map_files(dies, PATHS, workers=2, description="deaths")


def test_default_workers_fit_the_machine() -> None:
    assert 1 <= default_workers() <= min(16, os.cpu_count() or 1)


def test_workers_end_with_a_killed_program(checkout: Path) -> None:
    program = """
import time
from pathlib import Path
from zsk.data.parallel import map_files

def wait(path):
    print("working", flush=True)
    time.sleep(600)

map_files(wait, [Path(str(number)) for number in range(12)], workers=3, description="waits")
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=checkout, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    process.send_signal(signal.SIGKILL)
    # the pipe ends when the last process that can write to it has ended
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
