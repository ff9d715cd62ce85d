"""The Markdown page and the CSV file, exactly."""

import csv
import io

import pytest
from benchmark.accuracy.pages import as_csv, markdown
from benchmark.accuracy.rows import Row, Table
from examples import define, result

RESULTS = [
    result("A", 1, 48.0, miou_seen=60.0),
    result("A", 2, 52.0, miou_seen=62.0, train_seconds=104.0),
    result("B", 1, 40.0, settings={"K": 2}, proposal_recall_seen=75.25),
    result("Full", 1, 80.0, miou_seen=90.0, revision="def"),
]
ROWS = (Row("t", "B", "b", settings={"K": 2}), Row("t", "A", "a"), Row("t", "Full", "f"))


def test_markdown_exactly() -> None:
    """In the definition's order; the best of those that compare in bold; "-" where there is none.

    A: hIoU 48 and 52 is 50 +- sqrt((4 + 4) / 1) = 2.8; mIoU 60 and 62: 61 +- 1.4; 100 s and 104 s.
    """
    tables = (Table("t", "Title", "", ROWS), Table("empty", "Nothing", "", ()))
    definition = define(tables=tables, settings={"X": "{clip}"})
    page = markdown(RESULTS, definition, {"Full"}).splitlines()
    start = page.index("## Title")
    assert page[0] == "# Accuracy benchmark"
    lines = page[start + 2 : start + 7]
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines]
    assert cells[0] == [
        *("system", "settings", "iterations", "n", "hIoU", "mIoU seen", "mIoU unseen", "pAcc"),
        *("recall seen", "params", "training", "per image"),
    ]
    assert cells[2] == [
        *("B", "`K 2`", "300", "1", "40.0", "60.0", "40.0", "70.0"),
        *("75.2", "1.25 M", "100 s", "0.250 s"),
    ]
    assert cells[3] == [
        *("A", "", "300", "2", "**50.0 ± 2.8**", "**61.0 ± 1.4**", "40.0 ± 0.0", "70.0 ± 0.0"),
        *("-", "1.25 M", "102 ± 3 s", "0.250 ± 0.000 s"),
    ]
    assert cells[4] == [
        *("Full\\*", "", "300", "1", "80.0", "90.0", "40.0", "70.0"),
        *("-", "1.25 M", "100 s", "0.250 s"),
    ]
    assert "fully supervised" in page[start + 8]
    assert page[-2:] == [
        "Definition: tables.yaml; seeds 1, 2; code abc, def.",
        "Settings of all rows: `X {clip}`.",
    ]
    assert "## Nothing" not in page


def test_tables_and_rows_that_the_definition_lacks_come_last() -> None:
    results = [result("Old"), result("A"), result("C", table="gone")]
    page = markdown(results, define(Row("t", "A", "a")), set())
    assert page.index("| A ") < page.index("| Old ") < page.index("## gone") < page.index("| C ")
    assert "supervised" not in page


def test_untrained_row_without_scores() -> None:
    untrained = result(hiou=None, iterations=None, train_seconds=None, params=None)
    page = markdown([untrained], define(), set())
    assert not any(word in page for word in ("hIoU", "training |", "params"))
    assert "| A        |            - |   1 |" in page


def test_csv() -> None:
    lines = list(csv.DictReader(io.StringIO(as_csv(RESULTS))))
    assert [line["system"] for line in lines] == ["A", "B", "Full"]
    assert (lines[0]["seeds"], lines[0]["iterations"]) == ("2", "300")
    assert float(lines[0]["hiou_mean"]) == 50.0
    assert float(lines[0]["hiou_std"]) == pytest.approx(8**0.5)
    assert lines[1]["settings"] == "K 2" and lines[1]["hiou_std"] == ""
    assert lines[0]["proposal_recall_seen_mean"] == ""
