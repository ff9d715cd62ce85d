import pytest
import torch
from tiny_clip import ColourEncoder, save_tiny_clip

from zsk.classification.clip_encoder import ClipEncoder
from zsk.classification.encoder import VisionLanguageEncoder
from zsk.classification.prompts import TEMPLATES
from zsk.classification.text_cache import MIN_TEXTS_CPU, TextCache
from zsk.classification.text_classifier import CACHED_VOCABULARIES, TextClassifier
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary


def vocabulary(*words: str) -> Vocabulary:
    return Vocabulary(words, words, (False,) * len(words))


def test_one_class():
    text = TextClassifier(ColourEncoder(), ["a {}."])(vocabulary("red"))
    assert text.tolist() == [[1.0, 0.0, 0.0]]


def test_it_is_the_prompt_name_that_is_encoded():
    named = Vocabulary(("unknown",), ("green",), (True,))
    assert TextClassifier(ColourEncoder(), ["{}"])(named).tolist() == [[0.0, 1.0, 0.0]]


def test_an_ensemble_is_the_scaled_mean_of_unit_rows():
    # yellow has length √2 before it is scaled: a mean of the raw rows would be another direction
    class TwoColours(ColourEncoder):
        def _text_features(self, texts):
            return torch.tensor([self.colours[text.split()[-1]] for text in texts])

    text = TextClassifier(TwoColours(), ["{} red", "{} yellow"])(vocabulary("any", "other"))
    half = 0.5**0.5
    mean = torch.tensor([(1 + half) / 2, half / 2, 0.0])
    torch.testing.assert_close(text, (mean / mean.norm()).expand(2, 3))


def test_the_imagenet_ensemble_of_a_real_clip(tmp_path):
    encoder = ClipEncoder(str(save_tiny_clip(tmp_path / "tiny.pt")))
    text = TextClassifier(encoder, TEMPLATES["imagenet"])(vocabulary("cat", "hot dog"))
    rows = encoder.encode_text([t.format("hot dog") for t in TEMPLATES["imagenet"]])
    mean = rows.mean(dim=0)
    torch.testing.assert_close(text[1], mean / mean.norm())


def parts_of(encoder: ClipEncoder) -> set[str]:
    return {key.split(".")[0] for key in encoder.network("clip").state_dict()}


def test_with_a_warm_cache_on_disk_no_text_is_encoded(tmp_path, monkeypatch):
    weights = str(save_tiny_clip(tmp_path / "tiny.pt"))
    names = vocabulary(*map(str, range(MIN_TEXTS_CPU)))
    cache = TextCache(tmp_path / "cache")
    rows = TextClassifier(ClipEncoder(weights), ["a {}."], cache)(names)
    encoder = ClipEncoder(weights)
    monkeypatch.setattr(encoder, "encode_text", None)
    assert torch.equal(TextClassifier(encoder, ["a {}."], cache)(names), rows)


def test_an_equal_vocabulary_is_encoded_once_and_another_one_anew():
    encoder = ColourEncoder()
    classifier = TextClassifier(encoder, ["{}"])
    first = classifier(vocabulary("red", "green"))
    assert classifier(vocabulary("red", "green")) is first
    assert encoder.texts == ["red", "green"]
    swapped = classifier(vocabulary("green", "red"))
    assert torch.equal(swapped, first.flip(0))
    assert classifier(vocabulary("green")).tolist() == [[0.0, 1.0, 0.0]]


def test_other_names_for_the_same_prompts_share_the_rows():
    encoder = ColourEncoder()
    classifier = TextClassifier(encoder, ["{}"])
    classifier(vocabulary("red"))
    classifier(Vocabulary(("rot",), ("red",), (True,)))
    assert encoder.texts == ["red"]


def test_the_least_recently_used_vocabulary_is_forgotten():
    class AnyWord(ColourEncoder):
        def _text_features(self, texts):
            self.texts += texts
            return torch.ones(len(texts), 3)

    encoder = AnyWord()
    classifier = TextClassifier(encoder, ["{}"])
    for number in range(CACHED_VOCABULARIES):
        classifier(vocabulary(str(number)))
    classifier(vocabulary("0"))  # used again: now "1" is the oldest
    classifier(vocabulary("new"))
    encoder.texts.clear()
    classifier(vocabulary("0"))
    classifier(vocabulary("1"))
    assert encoder.texts == ["1"]


def test_rows_made_in_inference_mode_can_serve_in_training():
    classifier = TextClassifier(ColourEncoder(), ["{}"])
    with torch.inference_mode():
        classifier(vocabulary("red"))
    weights = torch.ones(1, 3, requires_grad=True)
    (weights @ classifier(vocabulary("red")).T).sum().backward()
    assert weights.grad.tolist() == [[1.0, 0.0, 0.0]]


def test_a_class_that_is_too_long_is_named(tmp_path):
    encoder: VisionLanguageEncoder = ClipEncoder(str(save_tiny_clip(tmp_path / "tiny.pt")))
    long = Vocabulary(("cat", "endless"), ("cat", "very " * 80 + "long"), (True, True))
    with pytest.raises(UserError, match="'endless'.*77 tokens"):
        TextClassifier(encoder, TEMPLATES["vild"])(long)


def test_nothing_of_the_encoder_is_saved_or_trained():
    classifier = TextClassifier(ColourEncoder(), ["{}"])
    classifier(vocabulary("red"))
    assert not classifier.state_dict() and not list(classifier.parameters())
