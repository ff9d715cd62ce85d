"""Learned prompts: segments as crops, the context to start from, and a training that helps."""

import pytest
import torch
from tiny_clip import ColourEncoder
from torch.nn import functional as F
from training.prompts import (
    RANDOM_STD,
    SegmentFeatures,
    accuracy,
    encode_segments,
    initial_prompts,
    train_prompts,
)

from zsk.classification.clip_encoder import ClipEncoder
from zsk.classification.learned_prompts import LearnedPrompts
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary

PETS = Vocabulary(("cat", "hot dog", "tv"), ("cat", "hot dog", "tv screen"), (True,) * 3)
RED, GREEN, BLUE = (100.0, 0.0, 0.0), (0.0, 100.0, 0.0), (0.0, 0.0, 100.0)


@pytest.fixture(scope="module")
def encoder(tiny_clip):
    return ClipEncoder(str(tiny_clip))


def photo_prompts(encoder):
    return initial_prompts(encoder, "a photo of a {}.", 4, 1, seed=0)


def record(rows, colours):
    """A photo whose pixels have their label's colour, each of `rows` a square of 32 pixels."""
    sem_seg = torch.tensor(rows).repeat_interleave(32, 0).repeat_interleave(32, 1)
    image = torch.zeros(3, *sem_seg.shape)
    for label, colour in colours.items():
        image[:, sem_seg == label] = torch.tensor(colour)[:, None]
    words = Vocabulary.from_words(list("abcdefgh"))
    return {"image": image, "sem_seg": sem_seg, "vocabulary": words}


RECORDS = [
    record([[7, 7, 255], [7, 2, 255]], {7: RED, 2: GREEN, 255: BLUE}),
    record([[255, 255]], {255: BLUE}),  # nothing is labelled
    record([[1, 7]], {1: GREEN, 7: RED}),
]


def test_every_segment_is_encoded_once_under_its_mask():
    encoder = ColourEncoder(input_size=8)
    features, labels = encode_segments(encoder, RECORDS)
    assert labels.tolist() == [2, 7, 1, 7]
    red, green = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]
    # no blue: ignored pixels are no segment; on the edge of a mask a crop mixes a pixel's width
    expected = torch.tensor([green, red, green, red])
    torch.testing.assert_close(features, expected, rtol=0, atol=0.06)
    assert encoder.batches == [2, 2]  # a photo at a time
    with pytest.raises(UserError, match="no image of DATASETS.TRAIN has a labelled pixel"):
        encode_segments(encoder, RECORDS[1:2])


def test_context_starts_from_the_tokens_next_to_the_name(encoder):
    tokens = encoder.embed_tokens("a photo of a")[1:-1]
    short = initial_prompts(encoder, "a photo of a {}.", 2, 0, seed=0)
    assert torch.equal(short.prefix, tokens[2:]) and short.suffix.shape == (0, 64)
    long = initial_prompts(encoder, "a photo of a {}.", 6, 200, seed=0)
    assert torch.equal(long.prefix[2:], tokens)
    assert torch.equal(long.suffix[:1], encoder.embed_tokens(".")[1:-1])
    assert long.suffix[1:].std().item() == pytest.approx(RANDOM_STD, rel=0.05)


@pytest.mark.parametrize(
    ("template", "prefix", "suffix", "message"),
    [("a photo", 4, 1, "one {}"), ("{}", 0, 0, "no context"), ("{}", -1, 3, "no context")],
)
def test_a_context_that_cannot_be(encoder, template, prefix, suffix, message):
    with pytest.raises(UserError, match=message):
        initial_prompts(encoder, template, prefix, suffix, seed=0)


@pytest.fixture
def segments(encoder):
    """Ten segments a class, where the template puts another class's name."""
    with torch.no_grad():
        rows = photo_prompts(encoder)(encoder, PETS.prompt_names)
    centres = F.normalize(rows - rows.mean(dim=0), dim=1).roll(-1, dims=0)
    labels = torch.arange(3).repeat(10)
    noise = 0.05 * torch.randn(30, 32, generator=torch.Generator().manual_seed(0))
    return SegmentFeatures(F.normalize(centres[labels] + noise, dim=1), labels)


def train(encoder, prompts, segments, **changed):
    settings = {"steps": 60, "batch_size": 8, "learning_rate": 0.05, "seed": 0, **changed}
    return train_prompts(prompts, encoder, PETS, segments, **settings)


@torch.no_grad()
def share_right(encoder, prompts, segments):
    return accuracy(segments, prompts(encoder, PETS.prompt_names))


def test_training_names_more_segments_right(encoder, segments):
    prompts, frozen = photo_prompts(encoder), encoder.fingerprint()
    assert share_right(encoder, prompts, segments) == 0
    losses = train(encoder, prompts, segments)
    assert share_right(encoder, prompts, segments) > 0.6  # with any constant answer: a third
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    encoder._fingerprint = None
    assert encoder.fingerprint() == frozen
    assert prompts.trained_on == ("cat", "hot dog", "tv", "tv screen")


def test_a_seed_gives_the_same_vectors_again(encoder, segments):
    trained = [photo_prompts(encoder) for _ in range(3)]
    for seed, learned in zip((0, 0, 1), trained):
        train(encoder, learned, segments, steps=3, seed=seed)
    assert torch.equal(trained[0].prefix, trained[1].prefix)
    assert not torch.equal(trained[0].prefix, trained[2].prefix)


def test_divergence_and_too_long_a_name_are_one_sentence(encoder, segments):
    broken = LearnedPrompts(torch.full((1, 64), float("nan")), torch.zeros(0, 64))
    with pytest.raises(UserError, match="diverged at step 0"):
        train(encoder, broken, segments, steps=2)
    long = initial_prompts(encoder, "{}", 74, 0, seed=0)  # "hot dog" has two tokens
    with pytest.raises(UserError, match="'hot dog' and the context.*77 tokens"):
        train(encoder, long, segments, steps=1)
