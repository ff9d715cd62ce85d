"""Many files in several processes: order, errors, and workers that die."""

import os
import time
from pathlib import Path

import pytest
from preparation.parallel import map_files

from zsk.errors import UserError

PATHS = [Path(str(number)) for number in range(30)]


def squared(path: Path) -> int:
    return int(path.name) ** 2


def fails_from_11_on(path: Path) -> None:
    # the earlier mistake takes longer to find: it is to be reported all the same
    if path.name == "11":
        time.sleep(0.3)
    if int(path.name) >= 11:
        raise UserError(f"label {path.name} is bad")


def dies(path: Path) -> None:
    os._exit(1)


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_order_and_the_earliest_mistake_is_reported(workers: int) -> None:
    results = map_files(squared, PATHS, workers=workers, description="squares")
    assert results == [number**2 for number in range(30)]
    with pytest.raises(UserError) as caught:
        map_files(fails_from_11_on, PATHS, workers=workers, description="fails")
    assert str(caught.value) == "label 11 is bad"


def test_no_worker_and_a_killed_worker_are_one_sentence() -> None:
    with pytest.raises(UserError, match="worker processes is 0: it has to be 1 or more"):
        map_files(squared, PATHS, workers=0, description="squares")
    with pytest.raises(UserError, match="worker process was killed during deaths.*--workers"):
        map_files(dies, PATHS, workers=2, description="deaths")
