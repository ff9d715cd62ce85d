"""Mistakes in a YAML file that become sentences."""

from pathlib import Path

import pytest

from zsk.errors import UserError
from zsk.strict_yaml import check_keys, read_yaml, typed


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: [1, x]\nb: {c: no}\n")
    assert read_yaml(path) == {"a": [1, "x"], "b": {"c": False}}
    path.write_text("a: 1\nb:\n  c: 1\n  c: 2\n")
    with pytest.raises(UserError, match="key c occurs twice in the section .* line 3"):
        read_yaml(path)
    with pytest.raises(UserError, match="cannot be read as YAML"):
        read_yaml(tmp_path)


def test_keys() -> None:
    check_keys({"a": 1}, "", ("a", "b"), required=("a",))
    with pytest.raises(UserError, match="unknown key x.c: known are a, b"):
        check_keys({"c": 1}, "x.", ("a", "b"))
    with pytest.raises(UserError, match="the key x.b is missing"):
        check_keys({"a": 1}, "x.", ("a", "b"), required=("b",))


@pytest.mark.parametrize("value", [True, "1", 1.5, None])
def test_kinds(value) -> None:
    assert typed({"a": 1}, "a", int, "a number") == 1
    with pytest.raises(UserError, match="key x.a is .* has to be a number"):
        typed({"a": value}, "a", int, "a number", "x.")
