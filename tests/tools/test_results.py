"""The list of results: merging, reading back, means and deviations by hand."""

import json
from pathlib import Path

import pytest
from benchmark.accuracy.results import by_row, merge, read_results, spread, write_results
from examples import result

from zsk.errors import UserError


def test_mean_and_sample_deviation_by_hand() -> None:
    # deviations -2, 0, 2: (4 + 0 + 4) / (3 - 1) = 4
    assert spread([48.0, 50.0, 52.0]) == (50.0, 2.0)
    assert spread([48.0, None]) == (48.0, None)
    assert spread([None, None]) is spread([]) is None


def test_merge_replaces_the_same_row_and_seed_alone() -> None:
    old = [result(seed=1, hiou=1.0), result(seed=2, hiou=2.0), result("B", hiou=3.0)]
    new = [result(seed=2, hiou=9.0), result(settings={"X": 1}, hiou=8.0)]
    found = {(r.system, len(r.settings), r.seed): r.hiou for r in merge(old, new)}
    assert found == {("A", 0, 1): 1.0, ("A", 0, 2): 9.0, ("A", 1, 1): 8.0, ("B", 0, 1): 3.0}


@pytest.mark.parametrize("change", [{"iterations": 900}, {"revision": "def"}])
def test_merge_drops_a_row_of_another_length_or_code(change) -> None:
    """A mean over seeds of 300 and of 900 iterations would be of neither."""
    old = [result(seed=1), result(seed=2), result("B", seed=2)]
    merged = merge(old, [result(seed=1, **change)])
    assert [(r.system, r.seed) for r in merged] == [("A", 1), ("B", 2)]


def test_rows_are_told_apart_whatever_the_order_of_settings() -> None:
    rows = by_row(
        [
            result(seed=2, settings={"X": 1, "Y": 2}),
            result(seed=1, settings={"Y": 2, "X": 1}),
            result(seed=1, settings={"X": 1}),
        ]
    )
    assert [[r.seed for r in listed] for listed in rows.values()] == [[1, 2], [1]]


def test_written_and_read_again(tmp_path: Path) -> None:
    results = [result(), result("B", hiou=None, settings={"X": [1, "b"]})]
    write_results(results, tmp_path)
    assert read_results(tmp_path) == results
    assert json.loads((tmp_path / "accuracy.json").read_text())[1]["hiou"] is None
    assert read_results(tmp_path / "elsewhere") == []


def test_the_published_results_are_read(checkout: Path) -> None:
    assert len(read_results(checkout / "docs" / "results")) > 100


@pytest.mark.parametrize("content", ["{", "[1]", '[{"table": "t"}]'])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "accuracy.json").write_text(content)
    with pytest.raises(UserError, match="accuracy.json cannot be read"):
        read_results(tmp_path)
