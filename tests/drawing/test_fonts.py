"""Fonts for names of any script; which ones are there depends on the machine."""

import logging

import pytest

from zsk.drawing.fonts import font_for, note_missing, one_line


@pytest.mark.parametrize("name", ["cat", "кошка", "γάτα", "قطة", "Käse, œuf"])
def test_dejavu_has_latin_greek_cyrillic_and_arabic(name):
    assert "DejaVu" in font_for(name, 20).getname()[0]
    assert font_for(name, 20).getlength(name) > 0


def test_a_character_that_no_font_has_is_said_once(caplog):
    caplog.set_level(logging.WARNING)
    names = ["cat", "x\U000e0fff", "\U000e0ffe"]  # not assigned in Unicode
    note_missing(names)
    note_missing(names)
    assert len(caplog.records) == 1
    assert '"x\U000e0fff"' in caplog.text and "fonts-noto-core" in caplog.text
    assert font_for("x\U000e0fff", 20).getlength("x") > 0  # drawn nonetheless


def test_names_are_drawn_on_one_line_whatever_they_hold():
    assert one_line("a\nb\t c\udcff") == "a b c?"
    assert font_for(one_line("a\udcff"), 20).getlength(one_line("a\udcff")) > 0
