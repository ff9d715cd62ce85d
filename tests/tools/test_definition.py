"""Reading a benchmark's definition: what it holds, and one sentence for each mistake."""

from pathlib import Path

import pytest
import yaml
from benchmark.accuracy.definition import read_definition
from benchmark.accuracy.rows import describe

from zsk.errors import UserError

ROW = {"system": "A", "config": "a.yaml"}


@pytest.fixture
def write(tmp_path: Path):
    """Write a definition beside a configuration a.yaml."""
    (tmp_path / "a.yaml").write_text("VERSION: 2\n")

    def write(content) -> Path:
        path = tmp_path / "tables.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return write


def one_table(**row) -> dict:
    return {"tables": {"t": {"rows": [{**ROW, **row}]}}}


def test_defaults(write, tmp_path: Path) -> None:
    definition = read_definition(write(one_table()))
    (row,) = definition.selected_rows()
    assert (row.table, row.system, row.config) == ("t", "A", str(tmp_path / "a.yaml"))
    assert row.trained and not row.shown_settings
    assert definition.seeds == (1, 2, 3) and definition.iterations is None
    assert definition.tables[0].title == "t"


def test_quick_replaces_and_adds(write) -> None:
    content = {
        "seeds": [4, 5],
        "settings": {"X": 1, "Y": 1},
        "prepare": {"clip": ["make.py", "{output}"]},
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
    assert quick.prepare == {"clip": ("make.py", "{output}")}
    chosen = read_definition(write(content), quick=True, tables=["t"], seeds=[0])
    assert chosen.selected == ("t",) and chosen.seeds == (0,)


def test_settings_on_one_line() -> None:
    assert describe({}) == ""
    assert describe({"A.B": 1, "C": "", "D": [1, 2]}) == "A.B 1, C '', D [1, 2]"


@pytest.mark.parametrize(
    "content, words",
    [
        ("", ["no keys"]),
        ("tables: {t: {rows: []}}", ["tables.t.rows", "empty"]),
        ("tables: {}", ["tables is empty"]),
        ("tables: {t: {}}", ["tables.t.rows", "missing"]),
        ("tables: {t: {rows: [1]}}", ["row 1", "a section of keys"]),
        ("a: {b", ["cannot be read as YAML"]),
        ("seeds: [1]\nseeds: [2]", ["seeds", "twice"]),
        ({"tabels": {}}, ["unknown key tabels"]),
        ({**one_table(), "seeds": []}, ["seeds", "[]"]),
        ({**one_table(), "seeds": [1, 1]}, ["seeds", "different"]),
        ({**one_table(), "seeds": [-1]}, ["seeds", "0 or more"]),
        ({**one_table(), "seeds": "1"}, ["seeds"]),
        ({**one_table(), "iterations": 0}, ["iterations", "1 or more"]),
        ({**one_table(), "settings": {"A": {"B": 1}}}, ["settings.A", "number"]),
        ({**one_table(), "prepare": {"clip": []}}, ["prepare.clip", "program"]),
        ({**one_table(), "prepare": {"clip": "make.py {output}"}}, ["prepare.clip", "list"]),
        ({**one_table(), "grid": {"table": "u", "images": 1}}, ["grid.table", "'u'"]),
        ({**one_table(), "grid": {"table": "t", "images": 0}}, ["grid.images"]),
        (
            {**one_table(), "grid": {"table": "t", "images": 1, "systems": ["B"]}},
            ["grid.systems", "'B'"],
        ),
        (one_table(config="b.yaml"), ["row 1", "b.yaml does not exist"]),
        (one_table(trained="no"), ["trained", "true or false"]),
        (one_table(settings={"A": 1}, evaluate={"A": 2}), ["A", "give it once"]),
        (one_table(trained=False, evaluate={"A": 2}), ["untrained"]),
        (one_table(trained=False, seeds=1), ["seeds", "untrained"]),
        (one_table(seeds=0), ["seeds", "1 or more"]),
        ({"tables": {"t": {"rows": [ROW, ROW]}}}, ["table t, row 'A'", "the same"]),
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
