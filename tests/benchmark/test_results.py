"""The raw list, its merging, and means and deviations by hand."""

import json
from pathlib import Path

import pytest
from examples import result

from zsk.benchmark.results import by_row, merge, read_results, spread, write_results
from zsk.errors import UserError


def test_mean_and_sample_deviation_by_hand() -> None:
    # deviations -2, 0, 2: (4 + 0 + 4) / (3 - 1) = 4
    value = spread([48.0, 50.0, 52.0])
    assert value is not None
    assert (value.mean, value.std, value.count) == (50.0, 2.0, 3)
    one = spread([48.0, None])
    assert one is not None
    assert (one.mean, one.std, one.count) == (48.0, None, 1)
    assert spread([None, None]) is None
    assert spread([]) is None


def test_merge_replaces_the_same_row_and_seed_alone() -> None:
    old = [result(seed=1, hiou=1.0), result(seed=2, hiou=2.0), result("B", hiou=3.0)]
    new = [result(seed=2, hiou=9.0), result(settings={"X": 1}, hiou=8.0)]
    merged = merge(old, new)
    found = {(r.system, len(r.settings), r.seed): r.hiou for r in merged}
    assert found == {("A", 0, 1): 1.0, ("A", 0, 2): 9.0, ("A", 1, 1): 8.0, ("B", 0, 1): 3.0}
    assert merge([], []) == []


def test_merge_drops_a_row_of_another_length() -> None:
    """A mean over seeds of 300 and of 900 iterations would be of neither."""
    old = [result(seed=1), result(seed=2), result("B", seed=2)]
    merged = merge(old, [result(seed=1, iterations=900)])
    assert [(r.system, r.seed, r.iterations) for r in merged] == [("A", 1, 900), ("B", 2, 300)]


def test_merge_drops_a_row_of_other_code() -> None:
    old = [result(seed=1), result(seed=2), result("B", seed=2)]
    merged = merge(old, [result(seed=1, revision="def")])
    assert [(r.system, r.seed, r.revision) for r in merged] == [("A", 1, "def"), ("B", 2, "abc")]


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
    entries = json.loads((tmp_path / "accuracy.json").read_text())
    wanted = (
        "table system settings seed miou_seen miou_unseen hiou pacc proposal_recall_seen "
        "proposal_recall_unseen params train_seconds seconds_per_image iterations revision date"
    )
    assert list(entries[0]) == wanted.split()
    assert entries[1]["hiou"] is None
    assert read_results(tmp_path / "elsewhere") == []


@pytest.mark.parametrize("content", ["{", "[1]", '[{"table": "t"}]'])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "accuracy.json").write_text(content)
    with pytest.raises(UserError, match="accuracy.json cannot be read"):
        read_results(tmp_path)
