"""Whether two class names are spellings of one: letter case, article, spaces, hyphens, plural."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

# how a word may end -> its plural, for compounds as well (woman, bookshelf)
_IRREGULAR = {
    **{"man": "men", "person": "people", "child": "children", "ox": "oxen"},
    **{"foot": "feet", "tooth": "teeth", "goose": "geese", "mouse": "mice"},
    **{"leaf": "leaves", "loaf": "loaves", "knife": "knives", "wife": "wives", "elf": "elves"},
    **{"wolf": "wolves", "calf": "calves", "half": "halves", "thief": "thieves"},
    **{"scarf": "scarves", "hoof": "hooves", "dwarf": "dwarves", "wharf": "wharves"},
    **{"cactus": "cacti", "fungus": "fungi", "octopus": "octopi"},
}
# no plurals of what stands before their last letters
_SINGULAR = set(
    "boxers bus canvas clothes customs gas goods iris lens news shorts slacks tights".split()
)


def without_article(name: str) -> str:
    """The name without an article before it: "a cat" → "cat"."""
    return re.sub(r"^(a|an|the)\s+(?=\S)", "", name, flags=re.IGNORECASE)


def normal_form(name: str) -> str:
    """The name without letter case, article, spaces, underscores, hyphens and dashes."""
    words = re.sub(r"[\s_\-\u2010-\u2015]+", " ", unicodedata.normalize("NFKC", name)).strip()
    return without_article(words).casefold().replace(" ", "")


def same_class(words: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """Word → the name that it spells; words without one are left out.

    An equal name (letter case aside) comes first, then one of the same normal form, then one that
    is the word's plural or singular. So names that differ by no more than that stay apart.
    """
    equal: dict[str, str] = {}
    normal: dict[str, str] = {}
    plural: dict[str, str] = {}
    for name in names:
        equal.setdefault(name.strip().casefold(), name)
        normal.setdefault(normal_form(name), name)
        for form in _plurals(normal_form(name)):
            plural.setdefault(form, name)
    found = {}
    for word in words:
        form = normal_form(word)
        hits = [equal.get(word.casefold()), normal.get(form), plural.get(form)]
        hits += [normal.get(other) for other in _plurals(form)]
        hit = next((hit for hit in hits if hit is not None), None)
        if hit is not None:
            found[word] = hit
    return found


def _plurals(form: str) -> list[str]:
    """The English plurals of a normal form, as far as they are simple."""
    if re.search(r"[^aeiou]y$", form):
        regular = [form[:-1] + "ies"]
    elif re.search(r"(s|x|z|sh)$", form):
        regular = [form + "es"]
    elif re.search(r"(o|ch)$", form):  # photos and potatoes, monarchs and watches
        regular = [form + "s", form + "es"]
    else:
        regular = [form + "s"]
    irregular = [
        form.removesuffix(end) + plural for end, plural in _IRREGULAR.items() if form.endswith(end)
    ]
    taken = tuple(_IRREGULAR.values())  # "leaves" are no plural of "leave"
    return irregular + [p for p in regular if p not in _SINGULAR and not p.endswith(taken)]
