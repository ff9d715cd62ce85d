"""Letters as in zsk/classification/clip_vision.py."""

import pytest
import torch
from torch.nn import functional as F

from zsk.baselines.per_pixel.dense_clip import DenseClip
from zsk.classification.build import build_encoder
from zsk.classification.clip_patches import fit_to_patches, patch_coverage, resize_positions
from zsk.classification.clip_vision import clip_vision
from zsk.errors import UserError

SIDE = 64  # of the tiny models' photos: 4×4 patches, or 2×2 positions of the ResNet's last map


def make_model(kind, layers=2, seed=0):
    """CLIP's own class: blocks of two heads, or one bottleneck a layer; all numbers random."""
    from clip.model import CLIP

    size = (layers, 128, 16) if kind == "vit" else ((1, 1, 1, 1), 8, None)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CLIP(32, SIDE, *size, 77, 49408, 64, 1, 1).eval()
        for parameter in model.visual.parameters():  # biases, too, which are zero at first
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model


@pytest.fixture(scope="module", params=["vit", "resnet"])
def model(request):
    return make_model(request.param)


@pytest.fixture(scope="module")
def weights(model, tmp_path_factory):
    file = tmp_path_factory.mktemp("clip") / "tiny.pt"
    torch.save(model.state_dict(), file)
    return str(file)


@pytest.fixture(scope="module")
def encoder(weights):
    return build_encoder(weights)


def is_resnet(encoder):
    return hasattr(encoder.network("clip").visual, "attnpool")


def random_photo(height, width, seed=0):
    return torch.randn(3, height, width, generator=torch.Generator().manual_seed(seed))


def test_dense_features_are_those_of_patches_that_see_themselves_only_in_the_last_block():
    visual = make_model("vit").visual
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


def test_queries_attend_to_queries_and_keys_to_keys_by_hand():
    """One block of one head on 2x2 patches, in float64."""
    from clip.model import VisionTransformer

    visual = VisionTransformer(32, 16, 64, 1, 1, 8).double()
    for parameter in visual.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    for module in visual.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.__class__ = torch.nn.LayerNorm  # CLIP's own compute in float32
    photo = random_photo(32, 32).double()
    with torch.no_grad():
        features = clip_vision(visual).dense(photo, "qq_kk")
        patches = photo.unflatten(1, (2, 16)).unflatten(3, (2, 16)).permute(1, 3, 0, 2, 4)
        embedded = patches.flatten(0, 1).flatten(1) @ visual.conv1.weight.flatten(1).T
        tokens = torch.cat([visual.class_embedding[None], embedded])
        tokens = visual.ln_pre(tokens + visual.positional_embedding)
        block = visual.transformer.resblocks[0]
        qkv = block.ln_1(tokens) @ block.attn.in_proj_weight.T + block.attn.in_proj_bias
        q, k, v = qkv.split(64, dim=1)
        attended = torch.zeros(5, 64, dtype=torch.float64)
        for one in range(5):  # the class token is among those that are attended to
            for side in (q, k):
                likeness = [torch.exp(side[one] @ side[other] / 8) for other in range(5)]
                for other in range(5):
                    attended[one] += likeness[other] / sum(likeness) * v[other]
        tokens = tokens + block.attn.out_proj(attended)
        tokens = tokens + block.mlp(block.ln_2(tokens))
        expected = visual.ln_post(tokens[1:]) @ visual.proj
    assert features.shape == (8, 2, 2)
    torch.testing.assert_close(features[:, 0, 1], expected[1])
    torch.testing.assert_close(features.flatten(1).T, expected)


def test_self_self_attention_is_for_transformers(encoder):
    if is_resnet(encoder):
        with pytest.raises(UserError, match="ATTENTION is qq_kk, but .* with value only"):
            DenseClip(encoder, "qq_kk")
    else:
        photo = random_photo(SIDE, SIDE)
        other = encoder.encode_dense(photo, "qq_kk")
        assert not torch.allclose(other, encoder.encode_dense(photo), atol=0.01)


def test_dense_features_of_a_resnet_are_the_poolings_values():
    visual = make_model("resnet").visual
    maps = []
    visual.layer4.register_forward_hook(lambda module, inputs, out: maps.append(out))
    photo = random_photo(96, SIDE)
    with torch.no_grad():
        features = clip_vision(visual).dense(photo)
        pool = visual.attnpool
        expected = pool.c_proj(pool.v_proj(maps[0][0, :, 2, 1]))
    assert features.shape == (32, 3, 2)
    torch.testing.assert_close(features[:, 2, 1], expected)


def random_masks(number, height=11, width=13):
    random = torch.rand(number, height, width, generator=torch.Generator().manual_seed(1))
    return (random - 0.7).clamp(min=0) * 3  # soft, most of it 0


@pytest.mark.parametrize("size", [(64, 64), (50, 107), (1, 1), (3, 200), (200, 3)])
def test_features_have_unit_length_for_photos_of_any_size(encoder, size):
    photo, patch = random_photo(*size), 32 if is_resnet(encoder) else 16
    columns = encoder.encode_dense(photo)
    assert columns.dtype == torch.float32
    assert columns.shape == (32, *(max(1, round(side / patch)) for side in size))
    torch.testing.assert_close(columns.norm(dim=0), torch.ones(columns.shape[1:]))
    rows = encoder.encode_regions(photo, random_masks(3))
    assert rows.shape == (3, 32) and rows.dtype == torch.float32
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(3))
    assert encoder.encode_regions(photo, torch.zeros(0, 5, 5)).shape == (0, 32)


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


def test_coverage_by_hand():
    masks = torch.zeros(3, 3, 3)
    masks[0] = 1
    masks[1, 0, 1] = 0.6  # in the middle of the upper edge: half left, half right
    masks[2, :, 2] = 1
    masks[2, 2, 0] = 0.5
    # 3×3 onto 2×2: a patch is 1.5 cells wide. Shares of the third mask, in cells: 0, 1.5 above;
    # 0.5 and 1.5 below.
    expected = [[1, 1, 1, 1], [1, 1, 0, 0], [0, 1, 1 / 3, 1]]
    torch.testing.assert_close(patch_coverage(masks, (2, 2)), torch.tensor(expected))
    # a coarser mask than the grid: every patch has its cell's value
    upper = torch.tensor([[[1.0], [0.0]]])
    assert patch_coverage(upper, (4, 3)).tolist() == [[1.0] * 6 + [0.0] * 6]
    # neighbours that only touch share exactly nothing, whatever the ratio
    left = torch.zeros(1, 91, 70)
    left[..., :30] = 1
    assert (patch_coverage(left, (13, 7)).view(13, 7)[:, 3:] == 0).all()


def layer_norm(norm, x):
    return F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias)


def head_by_hand(query, keys, values, bias):
    return ((keys @ query) / 8 + bias).softmax(dim=0) @ values  # 64 channels a head


def region_by_hand(visual, photo, coverage, masked_layers):
    """One region of a (3,64,64) photo with (16,) coverage → (32,): loops over tokens and heads."""
    patches = [photo[:, y : y + 16, x : x + 16] for y in range(0, 64, 16) for x in range(0, 64, 16)]
    embedded = [visual.conv1.weight.flatten(1) @ patch.flatten() for patch in patches]
    stream = torch.stack([visual.class_embedding, *embedded]) + visual.positional_embedding
    stream = layer_norm(visual.ln_pre, stream)
    region, blocks = stream[0], visual.transformer.resblocks
    for number, block in enumerate(blocks):
        if number == len(blocks) - masked_layers:
            region = stream[0]  # a copy of the class token that was shared so far
        tokens = torch.cat([region[None], stream])  # region, class token, patches
        qkv = layer_norm(block.ln_1, tokens) @ block.attn.in_proj_weight.T + block.attn.in_proj_bias
        attended = torch.zeros(18, 128)
        for head in (slice(0, 64), slice(64, 128)):
            q, k, v = (part[:, head] for part in qkv.split(128, dim=1))
            sees = [0, *range(2, 18)]  # itself and the patches
            bias = torch.cat([torch.zeros(1), coverage.log()])
            attended[0, head] = head_by_hand(q[0], k[sees], v[sees], bias)
            for token in range(1, 18):
                attended[token, head] = head_by_hand(q[token], k[1:], v[1:], torch.zeros(17))
        tokens = tokens + attended @ block.attn.out_proj.weight.T + block.attn.out_proj.bias
        fc, proj = block.mlp.c_fc, block.mlp.c_proj
        hidden = layer_norm(block.ln_2, tokens) @ fc.weight.T + fc.bias
        hidden = hidden * torch.sigmoid(1.702 * hidden)  # CLIP's GELU
        tokens = tokens + hidden @ proj.weight.T + proj.bias
        region, stream = tokens[0], tokens[1:]
    return F.normalize(layer_norm(visual.ln_post, region) @ visual.proj, dim=0)


@pytest.mark.parametrize("masked_layers", [1, 2, 9])  # of two: 9 are all
def test_one_pass_is_the_masked_attention_computed_by_hand(masked_layers, tmp_path, monkeypatch):
    monkeypatch.setattr("zsk.classification.clip_vision.MASKED_LAYERS", masked_layers)
    model, photo = make_model("vit"), random_photo(SIDE, SIDE)
    torch.save(model.state_dict(), tmp_path / "tiny.pt")
    encoder = build_encoder(str(tmp_path / "tiny.pt"))
    coverage = torch.zeros(2, 16)
    coverage[0, [1, 2, 5]] = torch.tensor([1.0, 0.5, 0.25])
    coverage[1, 7] = 1
    with torch.no_grad():
        expected = [region_by_hand(model.visual, photo, row, masked_layers) for row in coverage]
    rows = encoder.encode_regions(photo, coverage.view(2, 4, 4))
    torch.testing.assert_close(rows, torch.stack(expected), atol=1e-5, rtol=0)
    assert rows[0] @ rows[1] < 0.999  # the mask matters


def test_pooling_under_a_mask_by_hand():
    visual, photo = make_model("resnet").visual, random_photo(SIDE, SIDE)
    maps = []
    visual.layer4.register_forward_hook(lambda module, inputs, out: maps.append(out[0]))
    mask = torch.tensor([[1.0, 0.5], [0.0, 0.0]])
    with torch.no_grad():
        vision = clip_vision(visual)
        region = vision.regions(vision.see(photo[None]).photo(0), mask[None])[0]
        pool, x = visual.attnpool, maps[0].flatten(1).T  # (4,256)
        mean = (x[0] + 0.5 * x[1]) / 1.5
        tokens = torch.stack([mean, x[0], x[1]]) + pool.positional_embedding[:3]
        bias, pooled = torch.tensor([1.0, 1.0, 0.5]).log(), torch.zeros(256)
        query, keys, values = pool.q_proj(tokens[0]), pool.k_proj(tokens), pool.v_proj(tokens)
        for head in (slice(i, i + 64) for i in range(0, 256, 64)):
            pooled[head] = head_by_hand(query[head], keys[:, head], values[:, head], bias)
        expected = pool.c_proj(pooled)
    torch.testing.assert_close(region, expected, atol=1e-4, rtol=1e-4)


def test_a_region_that_covers_everything_gets_the_photos_own_embedding(encoder):
    photo = random_photo(SIDE, SIDE)
    masks = torch.stack([torch.ones(9, 7), torch.full((9, 7), 0.3)])
    own = encoder.encode_image(photo[None])
    torch.testing.assert_close(encoder.encode_regions(photo, masks), own.expand(2, -1))


def test_regions_neither_see_each_other_nor_stand_in_an_order(encoder):
    photo, masks = random_photo(70, 100), random_masks(5)
    rows = encoder.encode_regions(photo, masks)
    order = [3, 0, 4, 1, 2]
    torch.testing.assert_close(encoder.encode_regions(photo, masks[order]), rows[order])
    for row, mask in zip(rows, masks):
        torch.testing.assert_close(encoder.encode_regions(photo, mask[None])[0], row)
    assert (rows @ rows.T - torch.eye(5)).max() < 0.9999  # they do differ


def test_a_region_smaller_than_any_patch_sees_its_patch(encoder):
    photo, patch = random_photo(SIDE, SIDE), 32 if is_resnet(encoder) else 16
    masks = torch.zeros(2, SIDE, SIDE)
    masks[0, 40, 3] = 1
    masks[1, 40 // patch * patch :, :patch] = 1
    masks[1, (40 // patch + 1) * patch :] = 0
    dot, whole = encoder.encode_regions(photo, masks)
    torch.testing.assert_close(dot, whole)


def test_the_photo_is_brought_to_one_size_and_is_never_too_long():
    sizes = [(64, 64), (128, 170), (30, 20), (10, 1000), (1000, 10)]
    fitted = [tuple(fit_to_patches(torch.zeros(3, *s), 16, 64).shape[1:]) for s in sizes]
    assert fitted == [(64, 64), (64, 80), (96, 64), (64, 256), (256, 64)]
    flat = torch.ones(3, 39, 41) * torch.tensor([0.0, 1.0, 2.0]).view(3, 1, 1)
    whole_patches = fit_to_patches(flat, 16)
    assert whole_patches.shape == (3, 32, 48) and fit_to_patches(whole_patches, 16) is whole_patches
    torch.testing.assert_close(whole_patches.mean(dim=(1, 2)), torch.tensor([0.0, 1.0, 2.0]))


def test_a_larger_one_pass_size_makes_more_patches(weights):
    encoder = build_encoder(weights, one_pass_size=128)
    photo, seen = random_photo(60, 80), []
    conv = encoder.network("clip").visual.conv1
    conv.register_forward_hook(lambda module, inputs, out: seen.append(inputs[0].shape[-2:]))
    encoder.encode_regions(photo, torch.ones(1, 2, 2))
    assert [tuple(shape) for shape in seen] in ([(128, 176)], [(128, 160)])  # patches of 16, of 32


def test_a_one_pass_size_below_a_patch_is_refused(weights):
    with pytest.raises(UserError, match="ONE_PASS_SIZE is 15, less than the (16|32) pixels of one"):
        build_encoder(weights, one_pass_size=15)


def test_the_gpus_precision_gives_nearly_the_same_numbers(weights):
    encoder = build_encoder(weights)
    photo, masks, crops = random_photo(70, 100), random_masks(4), random_photo(SIDE, SIDE)[None]
    context = [encoder.embed_tokens(text)[1:-1] for text in ("a photo of a", ".")]
    looks = (
        (lambda: encoder.encode_text(["a photo of a cat.", "sky"]), 5e-3),
        (lambda: encoder.encode_in_context(["cat", "hot dog"], *context), 5e-3),
        (lambda: encoder.encode_image(crops), 5e-3),
        (lambda: encoder.encode_regions(photo, masks), 1e-2),
        (lambda: encoder.encode_dense(photo), 1e-2),
    )
    before = [look() for look, _ in looks]
    encoder.set_precision(encoder.network("clip"), torch.device("cuda"))
    assert encoder.network("clip").visual.conv1.weight.dtype == torch.float16
    assert encoder.network("clip").ln_final.weight.dtype == torch.float32
    for (look, tolerance), expected in zip(looks, before):
        found = look()
        assert found.dtype == torch.float32 and not torch.equal(found, expected)
        torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)
