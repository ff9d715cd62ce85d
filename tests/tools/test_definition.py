"""Reading a benchmark's definition: its content, and one sentence for each mistake."""

from pathlib import Path

import pytest
import yaml
from benchmark.accuracy.definition import read_definition
from benchmark.accuracy.rows import Start

from zsk.errors import UserError

ROW = {"system": "A", "config": "a.yaml"}


FROM = {"config": "a.yaml", "settings": {"X": 1}}
REPORTED = {"hIoU": 30, "seen": 60.0, "unseen": 20.0}


@pytest.fixture
def write(tmp_path: Path):
    """Write a definition beside a configuration a.yaml."""
    (tmp_path / "a.yaml").write_text("VERSION: 2\n")
    path = tmp_path / "tables.yaml"

    def write(content) -> Path:
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return write


def one_table(**row) -> dict:
    return {"tables": {"t": {"rows": [{**ROW, **row}]}}}


def varied(*values, plot: str = "K") -> dict:
    """A plot with a logarithmic axis over the key K."""
    rows = [{**ROW, "settings": {"K": value}} for value in values]
    return {"tables": {"t": {"plot": plot, "logarithmic": True, "rows": rows}}}


def with_key(**keys) -> dict:
    return {**one_table(), **keys}


def test_quick_replaces_and_adds(write) -> None:
    content = {
        "seeds": [4, 5],
        "settings": {"X": 1, "Y": 1},
        "tables": {"t": {"rows": [ROW]}, "u": {"rows": [ROW]}},
        "quick": {"tables": ["u"], "seeds": [7], "iterations": 9, "settings": {"Y": 2}},
    }
    whole = read_definition(write(content))
    assert [row.table for row in whole.selected_rows()] == ["t", "u"]
    assert whole.seeds == (4, 5)
    quick = read_definition(write(content), quick=True)
    assert [row.table for row in quick.selected_rows()] == ["u"]
    assert (quick.seeds, quick.iterations) == ((7,), 9)
    assert quick.settings == {"X": 1, "Y": 2}
    chosen = read_definition(write(content), quick=True, tables=["t"], seeds=[0])
    assert chosen.selected == ("t",) and chosen.seeds == (0,)


def test_a_table_and_its_rows(write, tmp_path: Path) -> None:
    row = {**ROW, "from": FROM, "reported": REPORTED, "settings": {"K": 10, 1: "no text"}}
    keys = {"plot": "K", "logarithmic": True, "reported": "a benchmark", "settings": {"Y": 2}}
    (table,) = read_definition(write({"tables": {"t": {**keys, "rows": [row]}}})).tables
    assert (table.logarithmic, table.reported, table.settings) == (True, "a benchmark", {"Y": 2})
    (found,) = table.rows
    assert found.start == Start(str(tmp_path / "a.yaml"), {"X": 1})
    assert found.reported == REPORTED
    assert found.shown_settings == {"K": 10, "1": "no text"} and found.common == {"Y": 2}


@pytest.mark.parametrize(
    "content, words",
    [
        ("", ["no keys"]),
        ("tables: {}", ["tables is empty"]),
        ("tables: {t: {rows: []}}", ["tables.t.rows", "empty"]),
        ("tables: {t: {}}", ["tables.t.rows", "missing"]),
        ("tables: {t: {rows: [1]}}", ["row 1", "a section of keys"]),
        ({"tabels": {}}, ["unknown key tabels"]),
        (with_key(seeds=[]), ["seeds", "[]"]),
        (with_key(seeds=[1, 1]), ["seeds", "different"]),
        (with_key(seeds=[-1]), ["seeds", "0 or more"]),
        (with_key(iterations=0), ["iterations", "1 or more"]),
        (with_key(prepare={"clip": []}), ["prepare.clip", "program"]),
        (one_table(config="b.yaml"), ["row 1", "b.yaml does not exist"]),
        (one_table(trained="no"), ["trained", "true or false"]),
        (one_table(settings={"A": 1}, evaluate={"A": 2}), ["A", "give it once"]),
        (one_table(evaluate={"SOLVER.BASE_LR": 1.0}), ["SOLVER.BASE_LR", "put it into settings"]),
        (one_table(trained=False, evaluate={"A": 2}), ["untrained"]),
        (one_table(trained=False, seeds=1), ["seeds", "untrained"]),
        ({"tables": {"t": {"rows": [ROW, ROW]}}}, ["table t, row 'A'", "the same"]),
        (one_table(**{"from": {"config": "b.yaml"}}), ["row 1: from.config", "does not exist"]),
        (one_table(**{"from": {"settings": {}}}), ["row 1: from.config is missing"]),
        (one_table(**{"from": FROM}, trained=False), ["from", "untrained"]),
        (one_table(**{"from": FROM}, settings={"MODEL.WEIGHTS": "x"}), ["MODEL.WEIGHTS", "from"]),
        (one_table(reported=REPORTED), ["row 'A'", "benchmark in key tables.t.reported"]),
        (one_table(reported={"hIoU": 1.0}), ["reported.seen is missing"]),
        (one_table(reported={**REPORTED, "seen": 101}), ["reported.seen", "from 0 to 100"]),
        (varied(1, 2, plot="curves"), ["tables.t.plot", "'curves'", "no row sets", "learning"]),
        (varied(1, plot=""), ["tables.t.logarithmic", "name such a key"]),
        (varied(1, 0), ["tables.t.logarithmic", "over 0"]),
        (varied("sum"), ["tables.t.logarithmic", "over 0"]),
    ],
)
def test_a_mistake_is_a_sentence_that_names_the_file(write, content, words) -> None:
    path = write(content)
    with pytest.raises(UserError) as error:
        read_definition(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    for word in words:
        assert word in message


def test_mistakes_on_the_command_line(write, tmp_path: Path) -> None:
    path = write(one_table())
    with pytest.raises(UserError, match="--tables.*'u'.*t"):
        read_definition(path, tables=["u"])
    with pytest.raises(UserError, match="--seeds"):
        read_definition(path, seeds=[1, 1])
    with pytest.raises(UserError, match="section quick"):
        read_definition(path, quick=True)
    with pytest.raises(UserError, match="does not exist.*--definition"):
        read_definition(tmp_path / "none.yaml")
