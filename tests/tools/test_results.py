"""The list of results: merging, reading back, means by hand; its page and plots."""

import json
import re
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from benchmark.accuracy.pages import markdown
from benchmark.accuracy.plots import CURVES_FILE, draw_plots, merge_curves, read_curves
from benchmark.accuracy.results import merge, read_results, spread, write_results
from benchmark.accuracy.rows import CURVES, Row, Start, Table
from examples import define, result
from matplotlib.figure import Figure
from PIL import Image

from zsk.errors import UserError
from zsk.protocol import INDUCTIVE, LEAK, TRANSDUCTIVE

RESULTS = [
    result("A", 1, 48.0, miou_seen=60.0),
    result("A", 2, 52.0, miou_seen=62.0, train_seconds=104.0),
    result("B", 1, 40.0, settings={"K": 2}, proposal_recall_seen=75.25),
    result("Full", 1, 80.0, miou_seen=90.0, revision="def"),
]


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


@pytest.mark.parametrize(
    "change",
    [{"iterations": 900}, {"revision": "def"}, {"configuration": "x"}, {"device": "a GPU"}],
)
def test_merge_drops_a_row_of_another_length_or_code(change) -> None:
    """A mean over seeds of 300 and of 900 iterations would be of neither."""
    merged = merge([result(seed=1), result(seed=2), result("B")], [result(seed=1, **change)])
    assert [(r.system, r.seed) for r in merged] == [("A", 1), ("B", 1)]


def test_an_untrained_row_has_one_result() -> None:
    untrained = [result(seed=seed, iterations=None, hiou=float(seed)) for seed in (1, 4)]
    assert merge(untrained[:1], untrained[1:]) == untrained[1:]


def test_written_and_read_again(tmp_path: Path, checkout: Path) -> None:
    results = [result(), result("B", hiou=None, settings={"X": [1, "b"]})]
    write_results(results, tmp_path)
    assert read_results(tmp_path) == results
    assert read_results(tmp_path / "elsewhere") == []
    assert len(read_results(checkout / "docs" / "results")) > 100  # the published ones
    older = [{**asdict(result()), "transductive": told} for told in (True, False)]
    for entry in older:
        del entry["protocol"]
    (tmp_path / "accuracy.json").write_text(json.dumps(older))
    assert [r.protocol for r in read_results(tmp_path)] == [TRANSDUCTIVE, INDUCTIVE]
    for content in ("{", "[1]", '[{"table": "t"}]', '[{"protocol": "x"}]'):
        (tmp_path / "accuracy.json").write_text(content)
        with pytest.raises(UserError, match="accuracy.json cannot be read"):
            read_results(tmp_path)


def test_markdown() -> None:
    """In the definition's order; the best of those that compare in bold; "-" where there is none.

    A: hIoU 48 and 52 is 50 ± sqrt((4 + 4) / 1) = 2.8; mIoU 60 and 62: 61 ± 1.4; 100 s and 104 s.
    """
    rows = (Row("t", "B", "b", settings={"K": 2}), Row("t", "A", "a"), Row("t", "Full", "f"))
    tables = (Table("t", "Title", "", rows), Table("empty", "Nothing", "", ()))
    definition = define(tables=tables, settings={"X": "{clip}"})
    page = markdown([*RESULTS, result("C", table="gone")], definition, {"Full"})
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    b, a, full, gone = (row for row in cells if row and row[-1].startswith("0.250"))
    assert b[:8] == ["B", "`K 2`", "300", "1", "40.0", "60.0", "40.0", "70.0"]
    assert b[8:] == ["75.2", "1.25 M", "100 s", "0.250 s"]
    assert a[:6] == ["A", "", "300", "2", "**50.0 ± 2.8**", "**61.0 ± 1.4**"]
    assert a[6:] == ["40.0 ± 0.0", "70.0 ± 0.0", "-", "1.25 M", "102 ± 3 s", "0.250 ± 0.000 s"]
    assert full[:7] == ["Full\\*", "", "300", "1", "80.0", "90.0", "40.0"]
    assert gone[0] == "C" and "fully supervised" in page
    assert "seeds 1, 2; code abc, def." in page and "`X {clip}`" in page
    assert "## Title" in page and "## gone" in page and "## Nothing" not in page


def test_rows_of_several_codes_or_of_another_definition_are_named() -> None:
    row = Row("t", "A", "a")
    definition = define(row)
    own = {"configuration": definition.configuration_key(row)}
    assert "rows were made by" not in markdown([result(**own)], definition, set())
    assert "Seeds of several codes or devices" not in markdown([result(**own)], definition, set())
    mixed = [result(**own), result(seed=2, revision="def", **own), result("B", settings={"K": 1})]
    page = markdown(mixed, definition, set())
    assert "Seeds of several codes or devices: t: A." in page
    assert "1 rows were made by another definition than today's" in page and ": t: B K 1." in page


def test_protocols_and_reported_numbers_stand_apart() -> None:
    """A table for each protocol, with its own best; reported columns where a row has some."""
    reported = {"hIoU": 26.1, "seen": 78.0, "unseen": 15.64}
    rows = (Row("t", "A+ST", "a", start=Start("/configs/a.yaml", {"K": 2})),)
    rows += (Row("t", "B", "b"), Row("t", "A", "a", reported=reported))
    table = Table("t", "Title", "", rows, settings={"Y": 3}, reported="VOC 15/5")
    results = [result("A"), result("B", hiou=51.0)]
    results += [result("A+ST", hiou=90.0, protocol=TRANSDUCTIVE), result("Z", protocol=LEAK)]
    more = result("B+ST", protocol=TRANSDUCTIVE)
    page = markdown([*results, more], define(tables=(table,)), set())
    inductive, rest = page.split("### Transductive")
    transductive, leak = rest.split("### Leak")
    assert "## Title" in inductive.split("### Inductive")[0]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in inductive.splitlines()]
    head, b, a = (row for row in cells if len(row) > 3 and row[0] in ("system", "A", "B"))
    assert head[-3:] == ["reported hIoU", "reported seen", "reported unseen"]
    assert b[3] == "**51.0**" and b[-3:] == ["-", "-", "-"]
    assert a[3] == "50.0" and a[-3:] == ["26.1", "78.0", "15.6"]
    assert "ST" not in inductive and "**90.0**" in transductive and "B+ST" in transductive
    assert "reported hIoU" not in rest and "| Z" not in inductive + transductive
    assert re.search(r"^\| Z +\|", leak, re.MULTILINE) and "No zero-shot results" in leak
    for words in ("on VOC 15/5. Not measured here", "`Y 3`", "on top: A+ST from a K 2."):
        assert words in leak


def test_untrained_row_without_scores() -> None:
    untrained = result(hiou=None, iterations=None, train_seconds=None, params=None)
    page = markdown([untrained], define(), set())
    assert not any(word in page for word in ("hIoU", "training |", "params"))
    assert re.search(r"\| A +\| +- \| +1 \|", page)


def curve(seed: int = 1, system: str = "A", points=((10, 1.0, 2.0, None), (20, 3.0, 4.0, None))):
    points = [list(point) for point in points]
    return {"table": "t", "system": system, "settings": {}, "seed": seed, "points": points}


@pytest.mark.parametrize(
    "plot, values, points, drawn",
    [("K", (0, 2), 0, 1), ("K", ("sum", "mean"), 0, 1), ("K", (0,), 0, 0), (CURVES, (), 1, 0)],
)
def test_at_least_two_points_are_drawn(tmp_path: Path, plot, values, points, drawn) -> None:
    results = [result(seed=seed, settings={"K": value}) for seed in (1, 2) for value in values]
    curves = [curve(points=[(10, 1, 1, 1)] * points)]
    found = draw_plots(define(plot=plot), results, curves, tmp_path)
    assert found == list(tmp_path.iterdir()) == [tmp_path / "t.png"] * drawn
    for path in found:  # lines, not text alone
        assert np.ptp(np.asarray(Image.open(path).convert("RGB")).astype(int), axis=2).max() > 90


@pytest.fixture
def drawn(monkeypatch) -> list[Figure]:
    """The figures that are drawn, in place of their files."""
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, file: figures.append(figure))
    monkeypatch.setattr("benchmark.accuracy.plots.replacing", nullcontext)
    return figures


def test_each_learning_curve_has_a_look_of_its_own(tmp_path: Path, drawn) -> None:
    """One point, as after a short training that goes on from another one, is no curve."""
    curves = [curve(system=f"system {i}") for i in range(15)]
    curves.append(curve(system="short", points=((10, 1.0, 2.0, 3.0),)))
    draw_plots(define(plot=CURVES), [], curves, tmp_path)
    lines = drawn[0].axes[0].get_lines()
    assert [line.get_label() for line in lines] == [f"system {i}" for i in range(15)]
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 15


@pytest.mark.parametrize("logarithmic", [False, True])
def test_each_system_is_a_line_over_the_values(tmp_path: Path, drawn, logarithmic) -> None:
    """On a logarithmic axis, 1 to 10 is as far as 10 to 100."""
    values = {"A": (1, 10, 100), "B": (1, 100)}
    protocols = {"A": INDUCTIVE, "B": LEAK}
    results = [
        result(system, seed, 10.0 * seed, settings={"K": value}, protocol=protocols[system])
        for system in values
        for value in values[system]
        for seed in (1, 2)
    ]
    table = Table("t", "Title", "K", (), logarithmic=logarithmic)
    draw_plots(define(tables=(table,)), results, [], tmp_path)
    panel = drawn[0].axes[0]
    lines = {line.get_label(): line for line in panel.get_lines()}
    drawn_at = {name: tuple(line.get_xdata()) for name, line in lines.items()}
    assert drawn_at == {"A": (1, 10, 100), "B (leak)": (1, 100)}
    assert list(lines["A"].get_ydata()) == [15.0] * 3
    first, second, third = (panel.transData.transform((x, 15.0))[0] for x in values["A"])
    assert (second - first == pytest.approx(third - second)) == logarithmic
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["1", "10", "100"]


def test_curves_are_merged(tmp_path: Path) -> None:
    results = [result(seed=1), result(seed=2), result("B", seed=1)]
    assert len(merge_curves(tmp_path, [curve(1), curve(2)], results)) == 2
    new = [curve(2, points=[(10, 9.0, 9.0, 9.0)]), curve(1, "B")]
    merged = merge_curves(tmp_path, new, results)
    found = [(c["system"], c["seed"], len(c["points"])) for c in merged]
    assert found == [("A", 1, 2), ("A", 2, 1), ("B", 1, 2)]
    assert merge_curves(tmp_path, [], results) == merged
    assert merge_curves(tmp_path, [], results[1:]) == merged[1:]  # of code that was replaced
    (tmp_path / CURVES_FILE).write_text("[1]")
    with pytest.raises(UserError, match="learning_curves.json cannot be read"):
        read_curves(tmp_path)
