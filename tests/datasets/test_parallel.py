"""Many files in several threads: order and errors."""

import time
from collections.abc import Iterator
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


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_order_and_the_earliest_mistake_is_reported(workers: int) -> None:
    results = map_files(squared, PATHS, workers=workers, description="squares")
    assert results == [number**2 for number in range(30)]
    with pytest.raises(UserError) as caught:
        map_files(fails_from_11_on, PATHS, workers=workers, description="fails")
    assert str(caught.value) == "label 11 is bad"


class Interrupted(list[Path]):
    """Ctrl-C, a KeyboardInterrupt in the main thread, while the files are handed out."""

    def __iter__(self) -> Iterator[Path]:
        yield from super().__iter__()
        raise KeyboardInterrupt


def test_after_an_interruption_no_further_file_is_begun() -> None:
    begun = []

    def slow(path: Path) -> None:
        begun.append(path)
        time.sleep(0.1)

    with pytest.raises(KeyboardInterrupt):
        map_files(slow, Interrupted(PATHS), workers=2, description="interrupted")
    assert len(begun) < 10


def test_no_worker_is_one_sentence() -> None:
    with pytest.raises(UserError, match="workers is 0: it has to be 1 or more"):
        map_files(squared, PATHS, workers=0, description="squares")
