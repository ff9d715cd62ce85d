"""Vocabulary: checks, the seen mask and the table that keeps unseen ids out of training."""

import numpy as np
import pytest

from zsk.errors import UserError
from zsk.vocabulary import Vocabulary


def animals() -> Vocabulary:
    return Vocabulary(("cat", "cow", "dog"), ("house cat", "cow", "dog"), (True, False, True))


@pytest.mark.parametrize(
    "names, prompts, seen, message",
    [
        ((), (), (), "at least one class"),
        (("cat",), (), (True,), "1 names, 0 prompt names and 1 seen"),
        (("cat", "dog"), ("cat", "dog"), (True,), "2 prompt names and 1 seen"),
        (("cat", " "), ("cat", "dog"), (True, True), "class name at position 2 of 2 is empty"),
        (("cat", "dog"), ("cat", ""), (True, True), "prompt name at position 2 of 2 is empty"),
        (("cat", "dog "), ("cat", "dog"), (True, True), "'dog ' has spaces around it"),
        (("cat", "Cat"), ("a", "b"), (True, True), "class name 'Cat' occurs twice"),
        (("tv", "monitor"), ("screen",) * 2, (True, False), "prompt name 'screen' occurs twice"),
    ],
)
def test_bad_words_are_named(names, prompts, seen, message) -> None:
    with pytest.raises(UserError, match=message):
        Vocabulary(names, prompts, seen)


def test_seen_only_keeps_order_and_prompt_names() -> None:
    expected = Vocabulary(("cat", "dog"), ("house cat", "dog"), (True, True))
    assert animals().seen_only() == expected
    assert expected.seen_only() == expected and animals().seen_mask.tolist() == [True, False, True]
    unseen = Vocabulary(["cat"], ["cat"], [False])
    for use in (unseen.seen_only, unseen.seen_lookup):
        with pytest.raises(UserError, match="none of the 1 classes"):
            use()


def test_seen_lookup_maps_everything_else_to_ignore() -> None:
    table = animals().seen_lookup()
    assert table.dtype == np.uint8 and table.tolist() == [0, 255, 1] + [255] * 253


def test_seen_lookup_at_the_limit_of_8_bits() -> None:
    names = tuple(f"class {k}" for k in range(65536))
    table = Vocabulary(names[:255], names[:255], (True,) * 254 + (False,)).seen_lookup()
    assert table.tolist() == [*range(254), 255, 255]
    # 256 classes: 255 is one of them, and 65535 stands for none
    table = Vocabulary(names[:256], names[:256], (True,) * 256).seen_lookup()
    assert table.dtype == np.uint16 and table.tolist() == [*range(256)] + [65535] * (65536 - 256)
    # 8 bits are enough for the seen classes alone
    table = Vocabulary(names[:256], names[:256], (False,) + (True,) * 255).seen_lookup()
    assert table.dtype == np.uint8 and table.tolist() == [255, *range(255)] + [255] * (65536 - 256)
    with pytest.raises(UserError, match="less than 65535 classes, but the vocabulary has 65536"):
        Vocabulary(names, names, (True,) * 65536).seen_lookup()


def test_fingerprint_changes_with_every_part() -> None:
    names, prompts, seen = ("cat", "cow"), ("house cat", "cow"), (True, False)
    variants = [
        Vocabulary(names, prompts, seen),
        Vocabulary(("cat", "cows"), prompts, seen),
        Vocabulary(names, names, seen),
        Vocabulary(names, prompts, (True, True)),
        Vocabulary(names[::-1], prompts[::-1], seen[::-1]),
    ]
    assert len({v.fingerprint() for v in variants}) == len(variants)
    assert variants[0].fingerprint() == Vocabulary(names, prompts, seen).fingerprint()


def test_words_as_string_and_list_agree() -> None:
    words = Vocabulary.from_words(" red bus ,sky", trained=["Sky ", "tree"])
    assert words == Vocabulary(("red bus", "sky"), ("red bus", "sky"), (False, True))
    assert words == Vocabulary.from_words(["red bus", " sky"], trained={"SKY"})
    for bad, message in (("", "position 1 of 1 is empty"), ("cat,,dog", "position 2 of 3 is")):
        with pytest.raises(UserError, match=message):
            Vocabulary.from_words(bad)


def test_seen_by_name_or_prompt_name_of_what_was_trained() -> None:
    names, prompts = ("cow", "tv", "sofa"), ("cattle", "television", "sofa")
    vocabulary = Vocabulary.from_trained(names, prompts, ["COW ", "Television", "couch"])
    assert (vocabulary.names, vocabulary.prompt_names) == (names, prompts)
    assert vocabulary.seen == (True, True, False)
    with pytest.raises(UserError, match="2 names, 1 prompt names"):
        Vocabulary.from_trained(("cow", "tv"), ("cow",), ())
