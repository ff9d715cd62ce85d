"""The kinds of values that configuration keys take, for `zsk.key_table` and `zsk.key_limits`."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

_COMPARE = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}


class Rule(NamedTuple):
    """Whether a value is allowed, and what it has to be, in words."""

    holds: Callable[[Any], object]
    wanted: str

    def allows(self, value: Any) -> bool:
        try:
            return bool(self.holds(value))
        except (TypeError, OverflowError):  # a value of another type, or no float holds it
            return False


class Condition(NamedTuple):
    """Keys are read only for some values of another key.

    keys: beginnings of their names.
    switch: the key that decides.
    values: its values, such as "A B" or "not A B"; of a list, how many entries it has.
    """

    keys: tuple[str, ...]
    switch: str
    values: str

    def holds(self, value: Any) -> bool:
        text = str(len(value) if isinstance(value, list) else value)
        first, *others = self.values.split()
        return text not in others if first == "not" else text in (first, *others)

    def words(self, value: Any) -> str:
        """What has to be so; `value`: that of the switch now."""
        wanted = self.values.replace(" ", " or ").replace("not or", "not")
        wanted = f"has {wanted} entries" if isinstance(value, list) else f"is {wanted}"
        return f"{self.switch} {wanted}"


def number(*bounds: str, kinds: tuple[type, ...] = (int, float)) -> Rule:
    """A finite number within bounds such as ">= 0"."""
    limits = [(_COMPARE[sign], float(limit)) for sign, limit in map(str.split, bounds)]

    def holds(value: Any) -> bool:
        return (
            type(value) in kinds  # not bool, which is a kind of int
            and math.isfinite(value)
            and all(compare(value, limit) for compare, limit in limits)
        )

    what = "a whole number" if kinds == (int,) else "a finite number"
    return Rule(holds, " ".join([what, " and ".join(bounds)]).strip())


def whole(*bounds: str) -> Rule:
    return number(*bounds, kinds=(int,))


def one_of(*choices: Any) -> Rule:
    return Rule(lambda value: value in choices, f"one of {', '.join(map(repr, choices))}")


def each(rule: Rule, least: int = 0, most: int | None = None) -> Rule:
    """A list of `least` to `most` entries (None: any number) that keep the rule."""

    def holds(value: Any) -> bool:
        return (
            isinstance(value, list | tuple)
            and least <= len(value) <= (len(value) if most is None else most)
            and all(map(rule.holds, value))
        )

    count = f"{least} or more" if most is None else str(most)
    return Rule(holds, f"a list of {count} entries, each {rule.wanted}")
