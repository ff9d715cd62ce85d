import logging

import pytest
import torch
from tiny_clip import ColourEncoder, save_tiny_clip

from zsk.classification.clip_encoder import ClipEncoder
from zsk.classification.embedded_encoder import EmbeddedEncoder
from zsk.classification.encoder import TextTooLongError
from zsk.classification.learned_prompts import LearnedPrompts, load_prompts, save_prompts
from zsk.classification.prompt_training import initial_prompts
from zsk.classification.prompts import TEMPLATES
from zsk.classification.text_classifier import TextClassifier
from zsk.errors import UserError
from zsk.load import load_config
from zsk.vocabulary import Vocabulary

NAMES = ("cat", "hot dog", "potted plant", "x")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return ClipEncoder(str(save_tiny_clip(tmp_path_factory.mktemp("clip") / "tiny.pt")))


def photo_prompts(encoder):
    return initial_prompts(encoder, "a photo of a {}.", 4, 1, seed=0)


def vocabulary(*names, seen=False):
    return Vocabulary(names, names, (seen,) * len(names))


def test_the_tokens_of_the_template_give_the_templates_rows(encoder):
    expected = encoder.encode_text([f"a photo of a {name}." for name in NAMES])
    with torch.no_grad():
        rows = photo_prompts(encoder)(encoder, NAMES)
    torch.testing.assert_close(rows, expected)
    # the names differ enough for this to mean something
    assert (expected @ expected.T - torch.eye(4)).max() < 0.99


def test_context_on_one_side_or_on_none(encoder):
    nothing = encoder.embed_tokens("")
    assert nothing.shape == (0, 64)
    before = encoder.embed_tokens("the red")
    with torch.no_grad():
        one_side = encoder.encode_in_context(NAMES, before, nothing)
        bare = encoder.encode_in_context(NAMES, nothing, nothing)
    torch.testing.assert_close(one_side, encoder.encode_text([f"the red {n}" for n in NAMES]))
    torch.testing.assert_close(bare, encoder.encode_text(NAMES))
    assert encoder.encode_in_context([], before, nothing).shape == (0, 32)


def test_the_end_of_a_longer_neighbour_changes_nothing(encoder):
    prompts = photo_prompts(encoder)
    with torch.no_grad():
        torch.testing.assert_close(
            prompts(encoder, ["cat", "very " * 40 + "long"])[:1], prompts(encoder, ["cat"])
        )


def test_the_gpus_precision_gives_nearly_the_same_numbers(tmp_path):
    encoder = ClipEncoder(str(save_tiny_clip(tmp_path / "tiny.pt")))  # its weights get rounded
    prompts = photo_prompts(encoder)
    expected = encoder.encode_text([f"a photo of a {name}." for name in NAMES])
    network = encoder.network("clip")
    encoder.set_precision(network, torch.device("cuda"))
    rows = prompts(encoder, NAMES)
    assert rows.dtype == torch.float32
    torch.testing.assert_close(rows, expected, atol=5e-3, rtol=0)
    assert not torch.equal(rows, expected)


def test_the_gradient_flows_into_the_context_alone(encoder):
    prompts = photo_prompts(encoder)
    # row 0's first component: a sum of squares of unit rows would have no gradient
    prompts(encoder, NAMES)[:, 0].sum().backward()
    for context in (prompts.prefix, prompts.suffix):
        assert (context.grad.abs().sum(dim=1) > 0).all()
    assert all(parameter.grad is None for parameter in encoder.network("clip").parameters())


def test_the_gradient_is_that_of_the_numbers(encoder):
    prompts = photo_prompts(encoder)
    direction = torch.randn_like(prompts.prefix)

    def score(step):
        rows = encoder.encode_in_context(NAMES, prompts.prefix + step * direction, prompts.suffix)
        return rows[:, 0].sum()

    score(0.0).backward()
    with torch.no_grad():
        slope = (score(1e-3) - score(-1e-3)) / 2e-3
    torch.testing.assert_close((prompts.prefix.grad * direction).sum(), slope, rtol=2e-2, atol=1e-3)


def test_77_tokens_pass_and_78_do_not(encoder):
    prompts = photo_prompts(encoder)  # five, and a start and an end token
    assert prompts(encoder, ["cat " * 70]).shape == (1, 32)
    for count in (71, 76):  # the latter is too long without any context
        with pytest.raises(TextTooLongError) as caught:
            prompts(encoder, ["cat", "cat " * count])
        assert caught.value.text == "cat " * count and caught.value.max_tokens == 77


def test_the_text_classifier_encodes_once_in_context(encoder):
    prompts = photo_prompts(encoder)
    classifier = TextClassifier(encoder, prompts)
    text = classifier(vocabulary(*NAMES))
    torch.testing.assert_close(
        text, TextClassifier(encoder, TEMPLATES["single"])(vocabulary(*NAMES))
    )
    assert not text.requires_grad and not prompts.prefix.requires_grad
    assert classifier(vocabulary(*NAMES)) is text
    # a checkpoint of the model holds no prompts, and no optimiser sees them
    assert not classifier.state_dict() and not list(classifier.parameters())
    assert classifier.half().network("prompts").prefix.dtype == torch.float32


def test_the_text_classifier_names_a_class_that_is_too_long(encoder):
    long = Vocabulary(("cat", "endless"), ("cat", " ".join(["cat"] * 71)), (True, True))
    with pytest.raises(UserError, match="'endless'.*77 tokens"):
        TextClassifier(encoder, photo_prompts(encoder))(long)


def test_classes_learned_from_and_called_unseen_are_reported(encoder, caplog):
    prompts = photo_prompts(encoder)
    prompts.trained_on = ("cat", "cow")
    classifier = TextClassifier(encoder, prompts)
    with caplog.at_level(logging.WARNING):
        classifier(Vocabulary(("Cow", "dog"), ("Cow", "dog"), (True, False)))
        assert not caplog.records
        classifier(Vocabulary(("Cat", "cow", "dog"), ("Cat", "cow", "dog"), (False, True, False)))
    assert caplog.messages[0].endswith(": Cat")


def test_a_file_gives_the_prompts_back(encoder, tmp_path):
    file = str(tmp_path / "prompts.pth")
    prompts = LearnedPrompts(torch.randn(3, 64), torch.randn(0, 64), ("cat",))
    save_prompts(file, prompts, encoder)
    loaded = load_prompts("learned", file, encoder)
    assert torch.equal(loaded.prefix, prompts.prefix) and loaded.suffix.shape == (0, 64)
    assert loaded.trained_on == ("cat",)
    assert [path.name for path in tmp_path.iterdir()] == ["prompts.pth"]


def test_templates_are_found_by_name_still(encoder):
    assert load_prompts("vild", "", encoder) == TEMPLATES["vild"]
    with pytest.raises(UserError, match="'vlid'.*vild, or.*learned"):
        load_prompts("vlid", "", encoder)


def test_another_encoder_is_refused(encoder, tmp_path):
    file = str(tmp_path / "prompts.pth")
    save_prompts(file, photo_prompts(encoder), encoder)
    other = ClipEncoder(str(save_tiny_clip(tmp_path / "other.pt", seed=1)))
    with pytest.raises(UserError, match="prompts.pth.*another encoder"):
        load_prompts("learned", file, other)


@pytest.mark.parametrize("content", [b"", b"x", {"prefix": torch.zeros(1, 2)}, [1], None], ids=str)
def test_a_file_without_prompts_is_named(encoder, tmp_path, content):
    file = tmp_path / "prompts.pth"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        torch.save(content, file)
    with pytest.raises(UserError, match="prompts.pth.*PROMPT_WEIGHTS"):
        load_prompts("learned", str(file), encoder)


def test_no_file_is_given(encoder):
    with pytest.raises(UserError, match="PROMPT_WEIGHTS is empty"):
        load_prompts("learned", "", encoder)


def test_a_folder_that_is_not_there(encoder, tmp_path):
    with pytest.raises(UserError, match="cannot be written to .*none/prompts.pth"):
        save_prompts(str(tmp_path / "none" / "prompts.pth"), photo_prompts(encoder), encoder)


def test_an_encoder_of_whole_texts_is_refused():
    assert not EmbeddedEncoder.takes_context
    with pytest.raises(UserError, match="embedded"):
        load_prompts("learned", "", ColourEncoder())
    with pytest.raises(UserError, match="embedded"):
        photo_prompts(ColourEncoder())


def test_single_precision_lasts_as_long_as_it_is_asked_for():
    class Halved(ColourEncoder):
        def set_precision(self, network, device):
            # what a GPU does, told apart from the one call that asks for the CPU's
            self.asked.append(device.type)
            network.float() if len(self.asked) == 1 else network.half()

    encoder = Halved()
    encoder.asked = []
    encoder._device = torch.device("meta")
    encoder.network("scale").half()
    with encoder.single_precision():
        assert encoder.network("scale").weight.dtype == torch.float32
    assert encoder.network("scale").weight.dtype == torch.float16
    assert encoder.asked == ["cpu", "meta"]


def test_the_file_is_found_beside_the_configuration(tmp_path, monkeypatch):
    # no data set is needed, and other tests register them below other roots
    monkeypatch.setattr("zsk.load.register_all", lambda root: None)
    config = tmp_path / "config.yaml"
    config.write_text("MODEL: {CLIP: {PROMPT: learned, PROMPT_WEIGHTS: prompts.pth}}\n")
    assert load_config(str(config)).MODEL.CLIP.PROMPT_WEIGHTS == "prompts.pth"  # not there
    (tmp_path / "prompts.pth").touch()
    assert load_config(str(config)).MODEL.CLIP.PROMPT_WEIGHTS == str(tmp_path / "prompts.pth")
    options = ["MODEL.CLIP.PROMPT_WEIGHTS", "mine.pth"]
    assert load_config(str(config), options).MODEL.CLIP.PROMPT_WEIGHTS == "mine.pth"
