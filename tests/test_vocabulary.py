"""Vocabulary: checks, the seen mask and the table that keeps unseen ids out of training."""

import numpy as np
import pytest
import torch

from zsk.errors import UserError
from zsk.vocabulary import Vocabulary


def animals() -> Vocabulary:
    return Vocabulary(("cat", "cow", "dog"), ("house cat", "cow", "dog"), (True, False, True))


def test_no_class_is_refused() -> None:
    with pytest.raises(UserError, match="at least one class"):
        Vocabulary((), (), ())


@pytest.mark.parametrize(
    "names, prompts, seen, message",
    [
        (("cat",), (), (True,), "1 names, 0 prompt names and 1 seen"),
        (("cat", "dog"), ("cat", "dog"), (True,), "2 prompt names and 1 seen"),
        (("cat", " "), ("cat", "dog"), (True, True), "class name at position 2 of 2 is empty"),
        (("cat", "dog"), ("cat", ""), (True, True), "prompt name at position 2 of 2 is empty"),
        (("cat", "dog "), ("cat", "dog"), (True, True), "'dog ' has spaces around it"),
        (("cat", "Cat"), ("a", "b"), (True, True), "class name 'Cat' occurs twice"),
        (("tv", "monitor"), ("screen",) * 2, (True, False), "prompt name 'screen' occurs twice"),
    ],
)
def test_bad_words_are_named(
    names: tuple[str, ...], prompts: tuple[str, ...], seen: tuple[bool, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        Vocabulary(names, prompts, seen)


def test_lists_become_tuples_so_that_it_can_be_a_key() -> None:
    from_lists = Vocabulary(["cat"], ["cat"], [1])  # type: ignore[arg-type]
    assert {from_lists: 1}[Vocabulary(("cat",), ("cat",), (True,))] == 1


def test_seen_mask() -> None:
    mask = animals().seen_mask
    assert mask.dtype == torch.bool
    assert mask.tolist() == [True, False, True]
    assert len(animals()) == 3


def test_seen_only_keeps_order_and_prompt_names() -> None:
    expected = Vocabulary(("cat", "dog"), ("house cat", "dog"), (True, True))
    assert animals().seen_only() == expected
    assert expected.seen_only() == expected


def test_nothing_seen_cannot_train() -> None:
    unseen = Vocabulary(("cat",), ("cat",), (False,))
    with pytest.raises(UserError, match="none of the 1 classes"):
        unseen.seen_only()
    with pytest.raises(UserError, match="none of the 1 classes"):
        unseen.seen_lookup()


def test_seen_lookup_maps_everything_else_to_ignore() -> None:
    table = animals().seen_lookup()
    assert table.dtype == np.uint8
    assert table.shape == (256,)
    assert table[:3].tolist() == [0, 255, 1]
    assert (table[3:] == 255).all()


def test_seen_lookup_at_the_limit_of_8_bits() -> None:
    names = tuple(f"class {k}" for k in range(256))
    table = Vocabulary(names[:255], names[:255], (True,) * 254 + (False,)).seen_lookup()
    assert table.tolist() == [*range(254), 255, 255]
    with pytest.raises(UserError, match="at most 254 seen classes"):  # no-object has the next id
        Vocabulary(names[:255], names[:255], (True,) * 255).seen_lookup()
    with pytest.raises(UserError, match="at most 255 classes"):
        Vocabulary(names, names, (True,) * 256).seen_lookup()


def test_fingerprint_changes_with_every_part() -> None:
    variants = [
        animals(),
        Vocabulary(("cat", "cow", "dogs"), ("house cat", "cow", "dog"), (True, False, True)),
        Vocabulary(("cat", "cow", "dog"), ("cat", "cow", "dog"), (True, False, True)),
        Vocabulary(("cat", "cow", "dog"), ("house cat", "cow", "dog"), (True, True, True)),
        Vocabulary(("cow", "cat", "dog"), ("cow", "house cat", "dog"), (False, True, True)),
    ]
    assert len({v.fingerprint() for v in variants}) == len(variants)
    assert animals().fingerprint() == animals().fingerprint()
    assert len(animals().fingerprint()) == 64


def test_words_as_string_and_list_agree() -> None:
    words = Vocabulary.from_words(" red bus ,sky", trained=["Sky ", "tree"])
    assert words == Vocabulary(("red bus", "sky"), ("red bus", "sky"), (False, True))
    assert words == Vocabulary.from_words(["red bus", " sky"], trained={"SKY"})


@pytest.mark.parametrize(
    "words, message",
    [
        ("", "position 1 of 1 is empty"),
        ([], "at least one class"),
        ("cat,,dog", "position 2 of 3 is empty"),
        ("cat, dog,Cat", "'Cat' occurs twice"),
    ],
)
def test_bad_user_words(words: str | list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Vocabulary.from_words(words)


def test_seen_by_name_or_prompt_name_of_what_was_trained() -> None:
    names, prompts = ("cow", "tv", "sofa"), ("cattle", "television", "sofa")
    vocabulary = Vocabulary.from_trained(names, prompts, ["COW ", "Television", "couch"])
    assert (vocabulary.names, vocabulary.prompt_names) == (names, prompts)
    assert vocabulary.seen == (True, True, False)


def test_names_without_as_many_prompt_names_are_refused() -> None:
    with pytest.raises(UserError, match="2 names, 1 prompt names"):
        Vocabulary.from_trained(("cow", "tv"), ("cow",), ())
