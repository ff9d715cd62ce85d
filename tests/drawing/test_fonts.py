"""Fonts for names of any script; which ones are there depends on the machine."""

import logging

import pytest

from zsk.drawing.fonts import font_for, one_line


def is_drawn(text, font=None):
    """Whether no character of it is the box that stands for a missing one."""
    font = font or font_for(text, 20)
    box = bytes(font.getmask("\u0378"))  # not assigned in Unicode
    return all(bytes(font.getmask(character)) != box for character in text)


@pytest.mark.parametrize("name", ["cat", "кошка", "γάτα", "قطة", "Käse, œuf"])
def test_dejavu_has_latin_greek_cyrillic_and_arabic(name):
    assert "DejaVu" in font_for(name, 20).getname()[0]
    assert is_drawn(name)


def test_a_character_that_no_font_has_is_said_once(caplog):
    caplog.set_level(logging.WARNING)
    name = "x\U000e0fff"  # not assigned in Unicode
    for text in ("cat", name, name, name + "y"):
        font = font_for(text, 20)
    assert len(caplog.records) == 1
    assert f'"{name}"' in caplog.text and "fonts-noto-core" in caplog.text
    assert is_drawn("x", font)  # nonetheless
    font_for("\U000e0ffe", 20)  # another one
    assert len(caplog.records) == 2


def test_names_are_drawn_on_one_line_whatever_they_hold():
    assert one_line("a\nb\t c\udcff") == "a b c?"
    assert is_drawn(one_line("a\udcff"))
