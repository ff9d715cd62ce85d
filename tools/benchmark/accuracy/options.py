"""Settings with placeholders -> the words of a command line."""

from __future__ import annotations

import re
from collections.abc import Mapping

from benchmark.accuracy.rows import Definition, Settings

from zsk.errors import UserError


def training_settings(definition: Definition, common: Settings, settings: Settings) -> Settings:
    """Configuration keys of a training with `settings` of its own in a table with `common`."""
    iterations = definition.iterations
    budget = {} if iterations is None else {"SOLVER.MAX_ITER": iterations}
    return {**definition.settings, **budget, **common, **settings}


def as_words(settings: Settings, places: Mapping[str, str]) -> list[str]:
    """Configuration keys and values as words of a command line."""
    return [word for key, value in settings.items() for word in (key, fill(str(value), places))]


def fill(text: str, places: Mapping[str, str]) -> str:
    """Replace {name} by `places[name]`."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in places:
            raise UserError(
                f"{text!r} has the placeholder {match[0]}: known are {', '.join(places)}"
            )
        return places[match[1]]

    return re.sub(r"\{(\w+)\}", value, text)
