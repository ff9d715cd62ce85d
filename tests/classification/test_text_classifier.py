import pytest
import torch
from tiny_clip import ColourEncoder

from zsk.classification import text_cache
from zsk.classification import text_classifier as module
from zsk.classification.clip_encoder import ClipEncoder
from zsk.classification.prompts import TEMPLATES
from zsk.classification.text_classifier import TextClassifier
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary


def vocabulary(*words: str) -> Vocabulary:
    return Vocabulary(words, words, (False,) * len(words))


def test_an_ensemble_is_the_scaled_mean_of_unit_rows():
    # yellow has length √2 before it is scaled: a mean of the raw rows would be another direction
    text = TextClassifier(ColourEncoder(), ["{} red", "{} yellow"])(vocabulary("any", "other"))
    half = 0.5**0.5
    mean = torch.tensor([(1 + half) / 2, half / 2, 0.0])
    torch.testing.assert_close(text, (mean / mean.norm()).expand(2, 3))


def test_an_equal_vocabulary_is_encoded_once_and_another_one_anew():
    encoder = ColourEncoder()
    classifier = TextClassifier(encoder, ["{}"])
    first = classifier(vocabulary("red", "green"))
    assert torch.equal(classifier(vocabulary("red", "green")), first)
    assert encoder.texts == ["red", "green"]
    swapped = classifier(vocabulary("green", "red"))
    assert torch.equal(swapped, first.flip(0))
    alone = classifier(vocabulary("green"))
    assert alone.tolist() == [[0.0, 1.0, 0.0]]
    grün = classifier(Vocabulary(("grün",), ("green",), (True,)))  # the prompt name counts
    assert torch.equal(grün, alone) and encoder.texts == ["red", "green"]


class AnyWord(ColourEncoder):
    def _text_features(self, texts):
        self.texts += texts
        return torch.ones(len(texts), 3)


def test_a_name_replaces_the_braces_and_nothing_else():
    classifier = TextClassifier(AnyWord(), ["a {}.", "{}"])
    classifier(vocabulary("hot dog", "{0} {x}"))
    assert classifier.encoder.texts == ["a hot dog.", "hot dog", "a {0} {x}.", "{0} {x}"]


def test_only_new_words_are_encoded_and_old_ones_are_forgotten(monkeypatch):
    monkeypatch.setattr(module, "KEPT_WORDS", 3)
    classifier = TextClassifier(AnyWord(), ["{}"])
    texts = classifier.encoder.texts
    classifier(Vocabulary.from_words("a, b"))
    classifier(Vocabulary.from_words("c, b"))
    assert texts == ["a", "b", "c"]
    classifier(Vocabulary.from_words("b, d"))  # one too many: "a" and "c" go
    classifier(Vocabulary.from_words("d, b, a"))
    assert texts == ["a", "b", "c", "d", "a"]


@pytest.mark.parametrize("cached", [False, True])
def test_rows_made_in_inference_mode_can_serve_in_training(cached, tmp_path, monkeypatch):
    monkeypatch.setattr(text_cache, "MIN_TEXTS_CPU", 1)
    for _ in range(2):  # the second time, rows may come from the disk
        encoder = ColourEncoder()
        torch.nn.init.ones_(encoder.network("scale").weight)
        classifier = TextClassifier(encoder, ["{}"], tmp_path if cached else None)
        with torch.inference_mode():
            classifier(vocabulary("red"))
    weights = torch.ones(1, 3, requires_grad=True)
    (weights @ classifier(vocabulary("red")).T).sum().backward()
    assert weights.grad.tolist() == [[1.0, 0.0, 0.0]]
    assert encoder.texts == ([] if cached else ["red"])


def test_classes_that_are_one_to_the_encoder_are_named(caplog):
    TextClassifier(ColourEncoder(), ["{}"])(vocabulary("red", "green"))
    assert not caplog.messages
    TextClassifier(AnyWord(), ["{}"])(vocabulary("cafe", "café"))
    assert caplog.messages.pop() == "'cafe' and 'café' are one to the text encoder: leave one out"
    TextClassifier(AnyWord(), ["{}"])(vocabulary("cafe", "café", "caffè"))
    assert caplog.messages.pop().endswith("leave one out (2 other pairs, too)")


def test_a_class_that_is_too_long_is_named(tiny_clip):
    encoder = ClipEncoder(str(tiny_clip))
    long = Vocabulary(("cat", "endless"), ("cat", "very " * 80 + "long"), (True, True))
    with pytest.raises(UserError, match="'endless'.*77 tokens"):
        TextClassifier(encoder, TEMPLATES["vild"])(long)
