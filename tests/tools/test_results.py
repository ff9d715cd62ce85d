"""The list of results: merging, reading back, means and deviations by hand."""

from pathlib import Path

import pytest
from benchmark.accuracy.results import merge, read_results, spread, write_results
from examples import result

from zsk.errors import UserError


def test_mean_and_sample_deviation_by_hand() -> None:
    # deviations -2, 0, 2: (4 + 0 + 4) / (3 - 1) = 4
    assert spread([48.0, 50.0, 52.0]) == (50.0, 2.0)
    assert spread([48.0, None]) == (48.0, None)
    assert spread([None, None]) is spread([]) is None


def test_merge_replaces_the_same_row_and_seed_alone() -> None:
    old = [result(seed=1, hiou=1.0), result(seed=2, hiou=2.0), result("B", hiou=3.0)]
    old += [result("C", settings={"X": 1, "Y": 2}), result("C")]
    new = [result(seed=2, hiou=9.0), result("C", settings={"Y": 2, "X": 1}, hiou=8.0)]
    found = [(r.system, len(r.settings), r.seed, r.hiou) for r in merge(old, new)]
    kept = [("A", 0, 1, 1.0), ("A", 0, 2, 9.0), ("B", 0, 1, 3.0)]
    assert found == [*kept, ("C", 2, 1, 8.0), ("C", 0, 1, 50.0)]


@pytest.mark.parametrize("change", [{"iterations": 900}, {"revision": "def"}])
def test_merge_drops_a_row_of_another_length_or_code(change) -> None:
    """A mean over seeds of 300 and of 900 iterations would be of neither."""
    merged = merge([result(seed=1), result(seed=2), result("B")], [result(seed=1, **change)])
    assert [(r.system, r.seed) for r in merged] == [("A", 1), ("B", 1)]


def test_written_and_read_again(tmp_path: Path, checkout: Path) -> None:
    results = [result(), result("B", hiou=None, settings={"X": [1, "b"]})]
    write_results(results, tmp_path)
    assert read_results(tmp_path) == results
    assert read_results(tmp_path / "elsewhere") == []
    assert len(read_results(checkout / "docs" / "results")) > 100  # the published ones
    for content in ("{", "[1]", '[{"table": "t"}]'):
        (tmp_path / "accuracy.json").write_text(content)
        with pytest.raises(UserError, match="accuracy.json cannot be read"):
            read_results(tmp_path)
