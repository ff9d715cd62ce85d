"""The classes of a segmentation task: names, prompt names and which of them were seen.

The one currency between data, text and metrics. Letter: K classes.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from zsk.errors import UserError
from zsk.spelling import same_class, without_article
from zsk.words import ALIAS_SEPARATOR, Words, class_words

IGNORE_LABEL = 255
"""Label value of pixels that are neither trained on nor scored, for up to 255 classes."""

WIDE_IGNORE_LABEL = 65535
"""The same for more classes, whose labels have 16 bits."""


def ignore_label(num_classes: int) -> int:
    """The label value that stands for no class beside `num_classes` ids."""
    return IGNORE_LABEL if num_classes <= IGNORE_LABEL else WIDE_IGNORE_LABEL


def label_dtype(num_classes: int) -> type[np.unsignedinteger]:
    """The smallest type that holds `num_classes` ids and the ignore label."""
    return np.uint8 if num_classes <= IGNORE_LABEL else np.uint16


@dataclass(frozen=True)
class Vocabulary:
    """An ordered, checked list of classes; the label id of a class is its position.

    Attributes:
        names: K names as the benchmark (or the user) writes them.
        prompt_names: K names as they go into the text prompt, in the same order.
        seen: K booleans, True where training has masks of the class. Mandatory: nothing may
            silently count as unseen. Both groups need not occur (a user's own words).
        aliases: K tuples of further prompt names, whose probabilities are added to that of the
            class; () where no class has any.
        spellings: of a user's own words, pairs (word, trained name) where the word counts as a
            trained class though it is spelled otherwise. Two vocabularies that differ in these
            only are equal.

    Raises:
        UserError: no class, lengths that differ, an empty or padded name, or a name or prompt
            name that occurs twice (letter case aside). Equal prompt names are refused as well:
            they would give two classes the same classifier, and no pixel could tell them apart.
            The same holds for aliases.
    """

    names: tuple[str, ...]
    prompt_names: tuple[str, ...]
    seen: tuple[bool, ...]
    aliases: tuple[tuple[str, ...], ...] = ()
    spellings: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        # tuples of plain values: a vocabulary is hashable, whatever sequences it was built from
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "prompt_names", tuple(self.prompt_names))
        object.__setattr__(self, "seen", tuple(bool(flag) for flag in self.seen))
        aliases = tuple(map(tuple, self.aliases)) if any(self.aliases) else ()
        object.__setattr__(self, "aliases", aliases)
        if not self.names:
            raise UserError("a vocabulary needs at least one class, but none was given")
        if len(self.names) > WIDE_IGNORE_LABEL:
            raise UserError(
                f"a vocabulary holds at most {WIDE_IGNORE_LABEL} names, as many as a label image "
                f"tells apart, but {len(self.names)} were given: give fewer"
            )
        counts = (len(self.names), len(self.prompt_names), len(self.seen))
        if len(set(counts)) != 1:
            raise UserError(
                "a vocabulary needs one prompt name and one seen flag for each class, but has "
                f"{counts[0]} names, {counts[1]} prompt names and {counts[2]} seen flags"
            )
        if len(self.aliases) not in (0, len(self.names)):
            raise UserError(
                f"a vocabulary of {len(self.names)} names has {len(self.aliases)} tuples of "
                "aliases: give one for each class, or none at all"
            )
        _check_words(self.names, "class name")
        _check_words(self.prompt_names, "prompt name")
        if self.aliases:
            _check_words(tuple(itertools.chain(*self._words())), "word")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def seen_mask(self) -> torch.Tensor:
        """(K,) bool tensor on the CPU, True for seen classes."""
        return torch.tensor(self.seen, dtype=torch.bool)

    def _words(self) -> list[tuple[str, ...]]:
        """All prompt names of each class."""
        further = self.aliases or ((),) * len(self)
        return [(first, *others) for first, others in zip(self.prompt_names, further)]

    def one_class_per_word(self) -> Vocabulary:
        """W ≥ K classes: every alias is a class of its own, as seen as the class that it is of."""
        if not self.aliases:
            return self
        words = tuple(itertools.chain(*self._words()))
        seen = (flag for flag, of_class in zip(self.seen, self._words()) for _ in of_class)
        return Vocabulary(words, words, tuple(seen))

    def add_aliases(self, scores: torch.Tensor, dim: int = -1) -> torch.Tensor:
        """Scores of `one_class_per_word()` along `dim`, W → K: those of a class's words added."""
        if not self.aliases:
            return scores
        counts = torch.tensor([len(words) for words in self._words()], device=scores.device)
        classes = torch.arange(len(self), device=scores.device).repeat_interleave(counts)
        shape = list(scores.shape)
        shape[dim] = len(self)
        return scores.new_zeros(shape).index_add(dim, classes, scores)

    def with_last(
        self, words: str, trained: Iterable[str] = (), untrained: Iterable[str] = ()
    ) -> Vocabulary:
        """With one more class: `words` is a name, "|" before its aliases.

        Args:
            trained, untrained: as for `from_words`, which decide whether the class counts as seen.

        Raises:
            UserError: as for `from_words`; `words` are several names, or one of them spells a word
                that is there.
        """
        try:
            last = Vocabulary.from_words(words, trained, untrained)
        except UserError as error:
            raise UserError(f"the background {words!r}: {error}") from error
        if len(last) != 1:
            raise UserError(
                f"the background {words!r} has {len(last)} names: put {ALIAS_SEPARATOR!r} between "
                "words for one class"
            )
        same = same_class(itertools.chain(*last._words()), itertools.chain(*self._words()))
        if same:
            word, name = next(iter(same.items()))
            raise UserError(
                f"the background {word!r} is the name {name!r}, too: leave one of them out"
            )
        names, prompts = self.names + last.names, self.prompt_names + last.prompt_names
        aliases = tuple(words[1:] for words in self._words() + last._words())
        spellings = self.spellings + last.spellings
        return Vocabulary(names, prompts, self.seen + last.seen, aliases, spellings)

    def notes(self) -> list[str]:
        """A line for each name that counts as another one, for the user who typed it."""
        lines = [f'"{word}" counts as the trained class "{name}"' for word, name in self.spellings]
        return lines + [
            f'"{name}" stands for {", ".join(repr(word) for word in further)}, too'
            for name, further in zip(self.names, self.aliases)
            if further
        ]

    def seen_only(self) -> Vocabulary:
        """The seen classes in their order: what training reads.

        Raises:
            UserError: no class is seen.
        """
        if not any(self.seen):
            raise UserError(
                f"none of the {len(self)} classes is marked as seen: training needs at least one"
            )
        attributes: Any = (self.names, self.prompt_names, self.seen, self.aliases)
        return Vocabulary(*(tuple(itertools.compress(each, self.seen)) for each in attributes))

    def seen_lookup(self) -> np.ndarray:
        """(256,) or, over 255 classes, (65536,) table: joint label id → id in ``seen_only()``.

        Unseen ids, ids outside the vocabulary and the ignore label all become the ignore label of
        the seen classes, so indexing a label map with the table cannot let an unseen id through.

        Raises:
            UserError: no class is seen.
        """
        seen = len(self.seen_only())
        table = np.full(ignore_label(len(self)) + 1, ignore_label(seen), label_dtype(seen))
        table[np.flatnonzero(self.seen)] = np.arange(seen)
        return table

    def unseen_spellings(self, trained: Iterable[str]) -> dict[str, str]:
        """Unseen class → the trained name that its name or prompt name spells (`same_class`).

        Trained names that are those of another class count not: "beds" is not "bed" where both are.
        """
        same = same_class([*self.names, *self.prompt_names], trained)
        classes = {w.casefold(): n for n, p in zip(self.names, self.prompt_names) for w in (n, p)}
        found: dict[str, str] = {}
        for name, prompt, seen in zip(self.names, self.prompt_names, self.seen):
            for spelled in (same.get(name), same.get(prompt)) if not seen else ():
                if spelled is not None and classes.get(spelled.casefold(), name) == name:
                    found.setdefault(name, spelled)
        return found

    def fingerprint(self) -> str:
        """64 hex digits (SHA-256) that change with any name, prompt name, flag or order."""
        content = json.dumps(
            [self.names, self.prompt_names, self.seen, *([self.aliases] if self.aliases else [])]
        )
        return hashlib.sha256(content.encode("utf-8")).hexdigest()

    @classmethod
    def from_trained(
        cls, names: Sequence[str], prompt_names: Sequence[str], trained: Iterable[str]
    ) -> Vocabulary:
        """Classes that are seen when the model was trained on one of the same name.

        Args:
            names, prompt_names: K each, as in the attributes.
            trained: names and prompt names of the classes the model was trained on; a class whose
                name or prompt name equals one of them (letter case aside) is marked as seen.

        Raises:
            UserError: as for the class itself.
        """
        known = {name.strip().casefold() for name in trained}
        seen = (
            name.casefold() in known or prompt.casefold() in known
            for name, prompt in zip(names, prompt_names)
        )
        return cls(tuple(names), tuple(prompt_names), tuple(seen))

    @classmethod
    def from_words(
        cls, words: Words, trained: Iterable[str] = (), untrained: Iterable[str] = ()
    ) -> Vocabulary:
        """A vocabulary of a user's own words.

        In the prompt an underscore is a space, and an article before the word is left out.

        Args:
            words: as for `zsk.words.class_words`; "sofa|couch|settee" is a class "sofa" with
                aliases.
            trained: names and prompt names of the classes the model was trained on. A class is
                marked as seen where one of its words spells one of them
                (`zsk.spelling.same_class`).
            untrained: those of the unseen classes beside them: a word that spells one of these as
                well or better is not.

        Raises:
            UserError: as for `zsk.words.class_words`; no word, or a word given twice.
        """
        classes = [word.split(ALIAS_SEPARATOR) for word in class_words(words)]
        known = {name.strip().casefold(): name for name in trained}
        others = [name for name in untrained if name.strip().casefold() not in known]
        found = same_class(itertools.chain(*classes), [*others, *known.values()])
        same = {word: name for word, name in found.items() if name not in others}
        prompts = [
            [without_article(" ".join(word.replace("_", " ").split())) for word in one]
            for one in classes
        ]
        return cls(
            tuple(first for first, *_ in classes),
            tuple(first for first, *_ in prompts),
            tuple(any(word in same for word in one) for one in classes),
            tuple(tuple(further) for _, *further in prompts),
            tuple(pair for pair in same.items() if pair[0].casefold() not in known),
        )


def _check_words(words: tuple[str, ...], what: str) -> None:
    """Refuse empty, padded and repeated words; `what` says what they are in the message."""
    first_position: dict[str, int] = {}
    for position, word in enumerate(words):
        if not word.strip():
            raise UserError(f"the {what} at position {position + 1} of {len(words)} is empty")
        if word != word.strip():
            raise UserError(f"the {what} {word!r} has spaces around it: remove them")
        earlier = first_position.setdefault(unicodedata.normalize("NFC", word).casefold(), position)
        if earlier != position:
            raise UserError(
                f"the {what} {word!r} occurs twice, at positions {earlier + 1} and {position + 1}:"
                " class and prompt names must differ by more than letter case"
            )
