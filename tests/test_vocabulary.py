"""Vocabulary: checks, the seen mask and the table that keeps unseen ids out of training."""

import numpy as np
import pytest
import torch

from zsk.data.splits import EVALUATION_SETS, SPLITS, get_split
from zsk.errors import UserError
from zsk.spelling import same_class
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
        (("caf\u00e9", "cafe\u0301"), ("a", "b"), (True, True), "occurs twice"),  # looks the same
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
    with pytest.raises(UserError, match="at most 65535 names, .* but 65536 were given"):
        Vocabulary(names, names, (True,) * 65536)


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
    assert Vocabulary.from_words(["dining_table"]).prompt_names == ("dining table",)
    with pytest.raises(UserError, match="'dining table' occurs twice"):
        Vocabulary.from_words("dining_table, dining table")
    with pytest.raises(UserError, match="at least one class"):
        Vocabulary.from_words("")


TRAINED = ("diningtable", "dining table", "cat", "shelf", "bus", "glass", "t-shirt", "skis", "Fly")


def test_another_spelling_of_a_trained_name_is_seen_and_said() -> None:
    vocabulary = Vocabulary.from_words(["Dining-Tables", "sofa", "flies"], TRAINED)
    assert vocabulary.seen == (True, False, True)
    assert vocabulary.spellings == (("Dining-Tables", "diningtable"), ("flies", "Fly"))


def test_an_article_is_no_part_of_the_prompt() -> None:
    vocabulary = Vocabulary.from_words("the cat, a_bus, an", TRAINED)
    assert vocabulary.seen == (True, True, False)
    assert vocabulary.names == ("the cat", "a_bus", "an")
    assert vocabulary.prompt_names == ("cat", "bus", "an")
    with pytest.raises(UserError, match="prompt name 'cat' occurs twice"):
        Vocabulary.from_words("cat, a cat")


def test_an_unseen_class_is_spelled_by_its_prompt_name_too() -> None:
    vocabulary = Vocabulary(("beds", "bed"), ("sofa", "bed"), (False, True))
    assert vocabulary.unseen_spellings(["bed", "sofa"]) == {"beds": "sofa"}


def test_an_equal_name_is_no_other_spelling_and_a_similar_one_is_no_match() -> None:
    same = Vocabulary.from_words("CAT, dining table", TRAINED)
    assert same.seen == (True, True) and same.spellings == ()
    for word in ("gras", "glas", "catty", "table", "shel", "sky", "skies"):
        assert not Vocabulary.from_words([word], TRAINED).seen[0], word


def test_an_unseen_class_keeps_its_name() -> None:
    words = ["glass", "Glasses", "t_shirt", "tshirt"]
    vocabulary = Vocabulary.from_words(words, trained=TRAINED, untrained=["glasses", "tshirt"])
    assert vocabulary.seen == (True, False, False, False) and vocabulary.spellings == ()
    assert Vocabulary.from_words("cats", ["cat", "cats"], ["cats"]).spellings == ()  # in two sets


# of ADE20K's 847 classes some are the plural of another one, as "beds" is
ALL_CLASSES = {n: get_split(n) for n in (*SPLITS, *EVALUATION_SETS) if n != "ade20k_847"}


@pytest.mark.parametrize("name", ALL_CLASSES)
def test_no_class_of_a_data_set_is_another_spelling_of_another_class(name) -> None:
    classes = ALL_CLASSES[name]
    for k, own in enumerate(zip(classes.names, classes.prompt_names)):
        pairs = enumerate(zip(classes.names, classes.prompt_names))
        others = [word for j, pair in pairs if j != k for word in pair]
        assert same_class(own, others) == {}


def test_seen_by_name_or_prompt_name_of_what_was_trained() -> None:
    names, prompts = ("cow", "tv", "sofa"), ("cattle", "television", "sofa")
    vocabulary = Vocabulary.from_trained(names, prompts, ["COW ", "Television", "couch"])
    assert (vocabulary.names, vocabulary.prompt_names) == (names, prompts)
    assert vocabulary.seen == (True, True, False)
    with pytest.raises(UserError, match="2 names, 1 prompt names"):
        Vocabulary.from_trained(("cow", "tv"), ("cow",), ())


def test_aliases_are_words_of_one_class():
    found = Vocabulary.from_words("cat, sofa|Couch |settee", trained=["couch"])
    assert found.names == ("cat", "sofa") and found.seen == (False, True)
    assert found.aliases == ((), ("Couch", "settee"))
    words = found.one_class_per_word()
    assert words.prompt_names == ("cat", "sofa", "Couch", "settee")
    assert words.seen == (False, True, True, True) and not words.aliases
    scores = torch.tensor([[0.1, 0.2, 0.3, 0.25]])
    torch.testing.assert_close(found.add_aliases(scores), torch.tensor([[0.1, 0.75]]))
    torch.testing.assert_close(found.add_aliases(scores.T, dim=0), torch.tensor([[0.1], [0.75]]))
    assert found.fingerprint() != Vocabulary.from_words("cat, sofa", ["sofa"]).fingerprint()
    plain = Vocabulary.from_words("cat, sofa")
    assert plain.aliases == () and plain.one_class_per_word() is plain
    assert plain.add_aliases(scores) is scores
    assert found.notes() == ["\"sofa\" stands for 'Couch', 'settee', too"]


@pytest.mark.parametrize(
    "words, message",
    [
        ("cat, sofa|cat", "the word 'cat' occurs twice"),
        ("sofa|sofa", "the word 'sofa' occurs twice"),
        ("sofa||couch", "name at position 1 of 1 is empty"),
        ("cat, sofa|", "name at position 2 of 2 is empty"),
    ],
)
def test_aliases_are_checked_as_names_are(words, message):
    with pytest.raises(UserError, match=message):
        Vocabulary.from_words(words)
