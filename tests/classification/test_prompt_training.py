import pytest
import torch
from tiny_clip import ColourEncoder, save_tiny_clip
from torch.nn import functional as F

from zsk.classification.clip_encoder import ClipEncoder
from zsk.classification.learned_prompts import LearnedPrompts
from zsk.classification.prompt_training import (
    RANDOM_STD,
    SegmentFeatures,
    accuracy,
    encode_segments,
    initial_prompts,
    train_prompts,
)
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary

PETS = Vocabulary(("cat", "hot dog", "tv"), ("cat", "hot dog", "tv screen"), (True,) * 3)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return ClipEncoder(str(save_tiny_clip(tmp_path_factory.mktemp("clip") / "tiny.pt")))


def photo_prompts(encoder):
    return initial_prompts(encoder, "a photo of a {}.", 4, 1, seed=0)


def record(rows, colours, scale=1):
    """A photo whose pixels have their label's colour, each of `rows` a square of `scale` pixels."""
    sem_seg = torch.tensor(rows).repeat_interleave(scale, 0).repeat_interleave(scale, 1)
    image = torch.zeros(3, *sem_seg.shape)
    for label, colour in colours.items():
        image[:, sem_seg == label] = torch.tensor(colour)[:, None]
    return {"image": image, "sem_seg": sem_seg}


RED, GREEN, BLUE = (100.0, 0.0, 0.0), (0.0, 100.0, 0.0), (0.0, 0.0, 100.0)
RECORDS = [
    record([[7, 7, 255], [7, 2, 255]], {7: RED, 2: GREEN, 255: BLUE}, 32),
    record([[255, 255]], {255: BLUE}, 32),  # nothing is labelled
    record([[1, 7]], {1: GREEN, 7: RED}, 32),
]


@pytest.mark.parametrize(("chunk", "batches"), [(1, [1] * 4), (3, [3, 1]), (9, [4])])
def test_every_segment_is_encoded_once_under_its_mask(chunk, batches):
    encoder = ColourEncoder(input_size=8)
    features, labels = encode_segments(encoder, RECORDS, chunk)
    assert labels.tolist() == [2, 7, 1, 7]
    red, green = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]
    # no blue: ignored pixels are no segment; on the edge of a mask a crop mixes a pixel's width
    expected = torch.tensor([green, red, green, red])
    torch.testing.assert_close(features, expected, rtol=0, atol=0.06)
    assert encoder.batches == batches


def test_pixels_are_normalised_and_hidden_ones_are_the_mean():
    encoder = ColourEncoder(input_size=2, pixel_mean=50.0)
    # 7 covers the left column and the right corner; the other corner is hidden
    photo = record([[7, 2], [7, 7]], {7: (90.0, 30.0, 50.0), 2: RED})
    features, _ = encode_segments(encoder, [photo], 4)
    expected = torch.tensor([40.0, -20.0, 0.0])  # three quarters of it: scaled to length 1
    torch.testing.assert_close(features[1], F.normalize(expected, dim=0))


def test_no_segment_at_all():
    for records in ([], RECORDS[1:2]):
        with pytest.raises(UserError, match="no image of DATASETS.TRAIN has a labelled pixel"):
            encode_segments(ColourEncoder(), records, 4)


def test_chunks_of_less_than_nothing():
    with pytest.raises(UserError, match="CHUNK_SIZE is -1"):
        encode_segments(ColourEncoder(), RECORDS, -1)


def test_context_starts_from_the_tokens_next_to_the_name(encoder):
    tokens = encoder.embed_tokens("a photo of a")
    short = initial_prompts(encoder, "a photo of a {}.", 2, 0, seed=0)
    assert torch.equal(short.prefix, tokens[2:]) and short.suffix.shape == (0, 64)
    long = initial_prompts(encoder, "a photo of a {}.", 6, 200, seed=0)
    assert torch.equal(long.prefix[2:], tokens)
    assert torch.equal(long.suffix[:1], encoder.embed_tokens("."))
    assert long.suffix[1:].std().item() == pytest.approx(RANDOM_STD, rel=0.05)
    again, other = (initial_prompts(encoder, "{}", 6, 2, seed=seed) for seed in (0, 1))
    assert torch.equal(again.prefix, initial_prompts(encoder, "{}", 6, 2, seed=0).prefix)
    assert not torch.equal(again.prefix, other.prefix)


@pytest.mark.parametrize(
    ("template", "prefix", "suffix", "message"),
    [("a photo", 4, 1, "one {}"), ("{} {}", 4, 1, "one {}"), ("{}", 0, 0, "no context"),
     ("{}", -1, 3, "no context")],
)  # fmt: skip
def test_a_context_that_cannot_be(encoder, template, prefix, suffix, message):
    with pytest.raises(UserError, match=message):
        initial_prompts(encoder, template, prefix, suffix, seed=0)


def test_accuracy_is_the_share_of_nearest_names():
    features = torch.eye(2)[[0, 0, 1, 1]]
    segments = SegmentFeatures(features, torch.tensor([0, 1, 1, 1]))
    assert accuracy(segments, torch.eye(2)) == 0.75
    assert accuracy(segments, torch.eye(2).flip(0)) == 0.25


def separable_segments(encoder):
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


def test_training_names_more_segments_right(encoder):
    segments, prompts = separable_segments(encoder), photo_prompts(encoder)
    frozen = encoder.fingerprint()
    with torch.no_grad():
        before = accuracy(segments, prompts(encoder, PETS.prompt_names))
    losses = train(encoder, prompts, segments)
    with torch.no_grad():
        after = accuracy(segments, prompts(encoder, PETS.prompt_names))
    assert before == 0 and after > 0.6  # with any constant answer: a third
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    encoder._fingerprint = None
    assert encoder.fingerprint() == frozen
    assert prompts.trained_on == ("cat", "hot dog", "tv", "tv screen")


def test_a_seed_gives_the_same_vectors_again(encoder):
    segments = separable_segments(encoder)
    trained = []
    for seed in (0, 0, 1):
        prompts = photo_prompts(encoder)
        train(encoder, prompts, segments, steps=3, seed=seed)
        trained.append(prompts.prefix.detach())
    assert torch.equal(trained[0], trained[1]) and not torch.equal(trained[0], trained[2])


def test_the_rate_falls_along_half_a_cosine(encoder, monkeypatch):
    rates = []
    step = torch.optim.SGD.step

    def noted(self, *args):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args)

    monkeypatch.setattr(torch.optim.SGD, "step", noted)
    train(encoder, photo_prompts(encoder), separable_segments(encoder), steps=4, learning_rate=0.1)
    # 0.1 · (1 + cos(π s / 4)) / 2
    assert rates == pytest.approx([0.1, 0.0853553, 0.05, 0.0146447], abs=1e-6)


def test_one_segment_is_enough(encoder):
    segments = separable_segments(encoder)
    one = SegmentFeatures(segments.features[:1], segments.labels[:1])
    assert len(train(encoder, photo_prompts(encoder), one, steps=1)) == 1


def test_numbers_that_run_away_are_reported(encoder):
    prompts = LearnedPrompts(torch.full((1, 64), float("nan")), torch.zeros(0, 64))
    with pytest.raises(UserError, match="diverged at step 0"):
        train(encoder, prompts, separable_segments(encoder), steps=2)


def test_more_context_than_there_is_room_for(encoder):
    prompts = initial_prompts(encoder, "{}", 74, 0, seed=0)  # "hot dog" has two tokens
    with pytest.raises(UserError, match="'hot dog' and the context.*77 tokens"):
        train(encoder, prompts, separable_segments(encoder), steps=1)
