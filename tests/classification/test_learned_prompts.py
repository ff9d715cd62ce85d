import logging

import pytest
import torch
from tiny_clip import ColourEncoder, save_tiny_clip

from zsk.classification.clip_encoder import ClipEncoder
from zsk.classification.encoder import TextError
from zsk.classification.learned_prompts import LearnedPrompts, load_prompts, save_prompts
from zsk.classification.prompts import TEMPLATES
from zsk.classification.text_classifier import TextClassifier
from zsk.engine.trainer import protocol_with_prompts
from zsk.errors import UserError
from zsk.protocol import INDUCTIVE, LEAK
from zsk.vocabulary import Vocabulary

NAMES = ("cat", "hot dog", "potted plant", "x")


@pytest.fixture(scope="module")
def encoder(tiny_clip):
    return ClipEncoder(str(tiny_clip))


def photo_prompts(encoder):
    return LearnedPrompts(*(encoder.embed_tokens(text)[1:-1] for text in ("a photo of a", ".")))


def test_the_tokens_of_a_template_give_the_templates_rows(encoder):
    expected = encoder.encode_text([f"a photo of a {name}." for name in NAMES])
    nothing = encoder.embed_tokens("")[1:-1]
    with torch.no_grad():
        rows = photo_prompts(encoder)(encoder, NAMES)
        bare = encoder.encode_in_context(NAMES, nothing, nothing)
        long = photo_prompts(encoder)(encoder, ["cat", "very " * 40 + "long"])
    torch.testing.assert_close(rows, expected)
    torch.testing.assert_close(bare, encoder.encode_text(NAMES))
    torch.testing.assert_close(long[:1], rows[:1])  # the length of a neighbour changes nothing
    assert (expected @ expected.T - torch.eye(4)).max() < 0.99
    assert encoder.encode_in_context([], nothing, nothing).shape == (0, 32)


def test_the_gradient_is_that_of_the_numbers_and_flows_into_the_context_alone(encoder):
    prompts = photo_prompts(encoder)
    direction = torch.randn_like(prompts.prefix)

    def score(step):
        rows = encoder.encode_in_context(NAMES, prompts.prefix + step * direction, prompts.suffix)
        return rows[:, 0].sum()  # a sum of squares of unit rows would have no gradient

    score(0.0).backward()
    with torch.no_grad():
        slope = (score(1e-3) - score(-1e-3)) / 2e-3
    torch.testing.assert_close((prompts.prefix.grad * direction).sum(), slope, rtol=2e-2, atol=1e-3)
    for context in (prompts.prefix, prompts.suffix):
        assert (context.grad.abs().sum(dim=1) > 0).all()
    assert all(parameter.grad is None for parameter in encoder.network("clip").parameters())


def test_77_tokens_pass_and_78_are_named(encoder):
    prompts = photo_prompts(encoder)  # five, and a start and an end token
    assert prompts(encoder, ["cat " * 70]).shape == (1, 32)
    for count in (71, 76):  # the latter is too long without any context
        with pytest.raises(TextError) as caught:
            prompts(encoder, ["cat", "cat " * count])
        assert caught.value.text == "cat " * count and "77 tokens" in caught.value.reason


def test_the_text_classifier_takes_them_and_no_checkpoint_holds_them(encoder):
    classifier, words = TextClassifier(encoder, photo_prompts(encoder)), Vocabulary.from_words(
        NAMES
    )
    text = classifier(words)
    torch.testing.assert_close(text, TextClassifier(encoder, TEMPLATES["single"])(words))
    assert not text.requires_grad and torch.equal(classifier(words), text)
    assert not classifier.state_dict() and not list(classifier.parameters())
    assert classifier.half().network("prompts").prefix.dtype == torch.float32


def test_classes_learned_from_and_called_unseen_are_reported(encoder, caplog):
    prompts = photo_prompts(encoder)
    prompts.trained_on = ("cat", "cow")
    classifier = TextClassifier(encoder, prompts)
    with caplog.at_level(logging.WARNING):
        seen = Vocabulary(("Cow", "dog"), ("Cow", "dog"), (True, False))
        assert protocol_with_prompts(classifier, seen, INDUCTIVE) == INDUCTIVE
        assert not caplog.records
        names = ("Cat", "cow", "dog")
        unseen = Vocabulary(names, names, (False, True, False))
        model = torch.nn.Sequential(classifier)
        assert protocol_with_prompts(model, unseen, INDUCTIVE) == LEAK
    assert [message.split(": ")[-1] for message in caplog.messages] == ["Cat"]


@pytest.mark.parametrize("name", ["prompts.pth", "prompts.safetensors"])
def test_a_file_gives_the_prompts_back_to_the_same_encoder_alone(encoder, tmp_path, name):
    file = str(tmp_path / name)
    prompts = LearnedPrompts(torch.randn(3, 64), torch.randn(0, 64), ("cat",))
    save_prompts(file, prompts, encoder)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    loaded = load_prompts("learned", file, encoder)
    assert torch.equal(loaded.prefix, prompts.prefix) and loaded.suffix.shape == (0, 64)
    assert loaded.trained_on == ("cat",)
    other = ClipEncoder(str(save_tiny_clip(tmp_path / "other.pt", seed=1)))
    with pytest.raises(UserError, match=f"{name}.*another encoder"):
        load_prompts("learned", file, other)
    with pytest.raises(UserError, match=f"none/{name} cannot be written"):
        save_prompts(str(tmp_path / "none" / name), prompts, encoder)


FLAT = {"prefix": torch.zeros(2), "suffix": torch.zeros(1, 2), "trained_on": (), "encoder": ""}


@pytest.mark.parametrize("content", [b"x", {"prefix": torch.zeros(1, 2)}, FLAT, [1], None], ids=str)
def test_a_file_without_prompts_is_named(encoder, tmp_path, content):
    file = tmp_path / "prompts.pth"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        torch.save(content, file)
    wanted = "holds no learned" if isinstance(content, dict) else ""
    with pytest.raises(UserError, match=f"(?=.*prompts.pth).*PROMPT_WEIGHTS.*{wanted}"):
        load_prompts("learned", str(file), encoder)


def test_templates_no_file_and_an_encoder_of_whole_texts(encoder):
    assert load_prompts("vild", "", encoder) == TEMPLATES["vild"]
    with pytest.raises(UserError, match="'vlid'.*single, sculpture, imagenet, vild, or.*learned"):
        load_prompts("vlid", "", encoder)
    with pytest.raises(UserError, match="PROMPT_WEIGHTS is empty"):
        load_prompts("learned", "", encoder)
    with pytest.raises(UserError, match="need the text tower"):
        load_prompts("learned", "", ColourEncoder())
    with pytest.raises(
        UserError, match="MODEL.CLIP.REGION_PROMPT is learned, but .*REGION_PROMPT_W"
    ):
        load_prompts("learned", "", encoder, "MODEL.CLIP.REGION_PROMPT")
