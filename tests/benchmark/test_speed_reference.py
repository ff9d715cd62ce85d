"""The rebuilt reference computes what our crop mode computes."""

import pytest
import torch
from tiny_clip import save_tiny_clip
from tiny_head import QUERIES, tiny_config
from torch.nn import functional as F

from zsk.benchmark.speed_reference import LoopClassifier, PublishedInference, masked_crop
from zsk.classification.clip_encoder import ClipEncoder
from zsk.classification.region_encoder import RegionClassifier
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary
from zsk.zsk_net import ZSKNet

VOCABULARY = Vocabulary.from_words("cat, dog, sheep", trained=["cat", "dog"])


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory):
    return save_tiny_clip(tmp_path_factory.mktemp("clip") / "clip.pt")


@pytest.fixture(scope="module")
def encoder(clip_file) -> ClipEncoder:
    return ClipEncoder(str(clip_file))


def boxes_as_masks(boxes, size=(160, 192)) -> torch.Tensor:
    """Logits 9 in each box (y0, x0, y1, x1) of an (H,W) image, -9 outside."""
    masks = torch.full((len(boxes), *size), -9.0)
    for mask, (y0, x0, y1, x1) in zip(masks, boxes):
        mask[y0:y1, x0:x1] = 9.0
    return masks


def test_a_crop_by_hand() -> None:
    """A mask of 2 x 2 pixels less one; the crop is as large, so nothing is resized."""
    pixels = torch.arange(48.0).view(3, 4, 4)
    mask = torch.zeros(4, 4, dtype=torch.bool)
    mask[1:3, 2:4] = True
    mask[2, 3] = False
    crop = masked_crop(pixels, mask, 2)
    assert crop.tolist() == [
        [[[6.0, 7.0], [10.0, 0.0]], [[22.0, 23.0], [26.0, 0.0]], [[38.0, 39.0], [42.0, 0.0]]]
    ]


def test_same_probabilities_where_no_crop_is_resized(encoder) -> None:
    """Boxes of CLIP's input size, one mask with holes, one empty."""
    image = torch.randint(0, 256, (3, 160, 192), dtype=torch.uint8)
    masks = boxes_as_masks([(0, 0, 64, 64), (50, 100, 114, 164), (96, 128, 160, 192), (0, 0, 0, 0)])
    masks[1, 60:80, 110:130] = -9.0
    text = F.normalize(torch.randn(3, 32), dim=1)
    ours = RegionClassifier(encoder)(image, masks, text)
    reference = LoopClassifier(encoder, 0.0).classify(image, masks, text)
    assert reference.valid.tolist() == ours.valid.tolist() == [True, True, True, False]
    torch.testing.assert_close(reference.probs, ours.probs, rtol=0, atol=1e-5)
    assert reference.probs[0].std() > 1e-3  # they do differ between names


def test_nearly_the_same_where_crops_are_resized(encoder) -> None:
    """Another filter for the resizing, the same crops."""
    down = torch.linspace(0, 255, 160)[:, None].expand(160, 192)
    image = torch.stack([down, down.flip(0), down * 0 + 90])
    masks = boxes_as_masks([(10, 20, 60, 180), (0, 0, 160, 192)])
    text = F.normalize(torch.randn(3, 32), dim=1)
    ours = RegionClassifier(encoder)(image, masks, text).probs
    reference = LoopClassifier(encoder, 0.0).classify(image, masks, text).probs
    torch.testing.assert_close(reference, ours, rtol=0, atol=0.02)


def test_all_crops_go_together(encoder, monkeypatch) -> None:
    sizes = []
    encode = encoder.encode_image
    monkeypatch.setattr(encoder, "encode_image", lambda c: (sizes.append(len(c)), encode(c))[1])
    masks = boxes_as_masks([(0, 0, 9, 9), (0, 0, 0, 0), (5, 5, 99, 99)])
    image = torch.zeros(3, 160, 192, dtype=torch.uint8)
    LoopClassifier(encoder, 0.0).classify(image, masks, torch.eye(3, 32))
    assert sizes == [2]


def tiny_model(clip_file, *opts) -> ZSKNet:
    cfg = tiny_config(*QUERIES, "MODEL.CLIP.NAME", str(clip_file), *opts)
    return ZSKNet(cfg).eval()


def test_the_whole_way_gives_nearly_our_labels(clip_file) -> None:
    """Labels, not scores: resizing filters differ. Texts are encoded anew for every photo."""
    model = tiny_model(clip_file, "MODEL.CLIP.PRUNE.TOLERANCE", 0.0)
    image = torch.randint(0, 256, (3, 96, 128), dtype=torch.uint8)
    record = {"image": image, "height": 70, "width": 100, "vocabulary": VOCABULARY}
    reference = PublishedInference.of(model)
    encoded = []
    encoder = model.region_classifier.encoder
    encode = encoder.encode_text
    encoder.encode_text = lambda texts: (encoded.append(len(texts)), encode(texts))[1]
    labels = [result["pred_labels"] for result in reference([record, record])]
    assert encoded == [3, 3]
    assert labels[0].shape == (70, 100) and labels[0].equal(labels[1])
    ours = model([record])[0]["pred_labels"]
    assert (labels[0] == ours).float().mean() > 0.95


@pytest.mark.parametrize(
    "opts",
    [("MODEL.CLIP.FURTHER_THRESHOLDS", [0.7]), ("MODEL.ENSEMBLE.MASK_SOFTMAX", 2.0)],
)
def test_what_the_published_way_has_not_is_refused(clip_file, opts) -> None:
    with pytest.raises(UserError, match=f"{opts[0].split('.')[-1]}.*as they are by default"):
        PublishedInference.of(tiny_model(clip_file, *opts))


def test_learned_prompts_are_refused(clip_file) -> None:
    model = tiny_model(clip_file)
    model.text_classifier.learned = True
    with pytest.raises(UserError, match="learned"):
        PublishedInference.of(model)
