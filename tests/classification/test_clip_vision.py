"""Letters as in zsk/classification/clip_vision.py."""

import pytest
import torch
from tiny_clip import make_tiny_clip

from zsk.classification.build import build_encoder
from zsk.classification.clip_vision import clip_vision, fit_to_patches, resize_positions

SIDE = 64  # of the tiny models' photos: 4×4 patches, or 2×2 positions of the ResNet's last map


def make_tiny_resnet(seed=0):
    """CLIP's own class with one bottleneck a layer; every number that counts is random."""
    from clip.model import CLIP

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CLIP(32, SIDE, (1, 1, 1, 1), 8, None, 77, 49408, 64, 1, 1).eval()
        for name, parameter in model.visual.named_parameters():
            if "bn3" in name:  # zero at first: the bottlenecks would do nothing
                torch.nn.init.uniform_(parameter, -1, 1)
    return model


@pytest.fixture(scope="module", params=["vit", "resnet"])
def model(request):
    return make_tiny_clip() if request.param == "vit" else make_tiny_resnet()


@pytest.fixture(scope="module")
def encoder(model, tmp_path_factory):
    file = tmp_path_factory.mktemp("clip") / "tiny.pt"
    torch.save(model.state_dict(), file)
    return build_encoder(str(file))


def random_photo(height, width, seed=0):
    return torch.randn(3, height, width, generator=torch.Generator().manual_seed(seed))


def test_dense_features_are_those_of_patches_that_see_themselves_only_in_the_last_block():
    visual = make_tiny_clip().visual
    photo = random_photo(SIDE, SIDE)
    with torch.no_grad():
        features = clip_vision(visual).dense(photo)
        visual.transformer.resblocks[-1].attn_mask = torch.full(
            (17, 17), -torch.inf
        ).fill_diagonal_(0)
        tokens = []
        visual.transformer.register_forward_hook(lambda module, inputs, out: tokens.append(out))
        visual(photo[None])
        patches = visual.ln_post(tokens[0][1:, 0]) @ visual.proj  # (16,32)
    assert features.shape == (32, 4, 4)
    torch.testing.assert_close(features[:, 1, 2], patches[1 * 4 + 2])
    torch.testing.assert_close(features.flatten(1).T, patches)


def test_dense_features_of_a_resnet_are_the_poolings_values():
    visual = make_tiny_resnet().visual
    maps = []
    visual.layer4.register_forward_hook(lambda module, inputs, out: maps.append(out))
    photo = random_photo(96, SIDE)
    with torch.no_grad():
        features = clip_vision(visual).dense(photo)
        pool = visual.attnpool
        expected = pool.c_proj(pool.v_proj(maps[0][0, :, 2, 1]))
    assert features.shape == (32, 3, 2)
    torch.testing.assert_close(features[:, 2, 1], expected)


@pytest.mark.parametrize("size", [(64, 64), (50, 107), (3, 200), (1, 1)])
def test_dense_columns_have_unit_length_at_any_size(encoder, size):
    columns = encoder.encode_dense(random_photo(*size))
    patch = 32 if hasattr(encoder.network("clip").visual, "attnpool") else 16
    assert encoder.takes_dense and columns.dtype == torch.float32
    assert columns.shape == (32, *(max(1, round(side / patch)) for side in size))
    torch.testing.assert_close(columns.norm(dim=0), torch.ones(columns.shape[1:]))


def test_a_photo_is_resized_to_whole_patches_and_left_alone_where_it_fits():
    photo = random_photo(32, 48)
    assert fit_to_patches(photo, 16) is photo
    flat = torch.ones(3, 39, 41) * torch.tensor([0.0, 1.0, 2.0]).view(3, 1, 1)
    fitted = fit_to_patches(flat, 16)
    assert fitted.shape == (3, 32, 48)
    torch.testing.assert_close(fitted.mean(dim=(1, 2)), torch.tensor([0.0, 1.0, 2.0]))
    assert fit_to_patches(photo[:, :2, :2], 16).shape == (3, 16, 16)


def test_positions_stay_where_they_are():
    rows, columns = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="ij")
    grid = torch.stack([rows.flatten(), columns.flatten()], dim=1)  # (16,2): a linear ramp
    positions = torch.cat([torch.tensor([[9.0, 9.0]]), grid])
    assert resize_positions(positions, (4, 4)) is positions
    resized = resize_positions(positions, (4, 8))
    assert resized.shape == (33, 2) and resized[0].tolist() == [9, 9]
    # Twice as many columns: centres at 0.25 and 0.75 of the old ones; inside, a ramp stays one.
    inner = resized[1:].view(4, 8, 2)[1:3, 3:5]
    torch.testing.assert_close(inner[..., 1], torch.tensor([[1.25, 1.75], [1.25, 1.75]]))
    torch.testing.assert_close(inner[..., 0], torch.tensor([[1.0, 1.0], [2.0, 2.0]]))
