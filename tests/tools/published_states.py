"""States with the names and shapes of published models, of zeros that take no memory."""

import torch

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
NORM, FROZEN = ("weight", "bias"), ("weight", "bias", "running_mean", "running_var")


def zeros(*shape):
    return torch.zeros(()).expand(shape)


def _conv(state, name, out, inputs, size, norm):
    state[f"{name}.weight"] = zeros(out, inputs, size, size)
    state |= {f"{name}.norm.{part}": zeros(out) for part in norm}


def _linear(state, name, out, inputs, weight="weight", bias="bias"):
    state |= {f"{name}{weight}": zeros(out, inputs), f"{name}{bias}": zeros(out)}


def resnet(depth=50, stem=("conv1",)):
    """Detectron2's names; a stem of one 7x7 convolution, or of DeepLab's three."""
    state, inputs, channels = {}, 3, (64,) if len(stem) == 1 else (64, 64, 128)
    for name, out in zip(stem, channels):
        _conv(state, f"backbone.stem.{name}", out, inputs, 7 if len(stem) == 1 else 3, FROZEN)
        inputs = out
    for stage, blocks in enumerate(BLOCKS[depth]):
        width = 64 * 2**stage
        for block in range(blocks):
            place = f"backbone.res{stage + 2}.{block}."
            if not block:
                _conv(state, place + "shortcut", 4 * width, inputs, 1, FROZEN)
            for name, out, size in (("conv1", width, 1), ("conv2", width, 3)):
                _conv(state, place + name, out, inputs, size, FROZEN)
                inputs = out
            _conv(state, place + "conv3", 4 * width, inputs, 1, FROZEN)
            inputs = 4 * width
    return state


def maskformer_head(dim=256, layers=6, queries=100, feedforward=2048):
    """All but what gives classes."""
    state, pixels = {}, "sem_seg_head.pixel_decoder."
    for n, channels in ((1, 256), (2, 512), (3, 1024)):
        _conv(state, f"{pixels}adapter_{n}", dim, channels, 1, NORM)
        _conv(state, f"{pixels}layer_{n}", dim, dim, 3, NORM)
    _conv(state, f"{pixels}layer_4", dim, 2048, 3, NORM)
    predictor = "sem_seg_head.predictor."
    for name, inputs, size in (
        (pixels + "mask_features", dim, 3),
        (predictor + "input_proj", 2048, 1),
    ):
        _conv(state, name, dim, inputs, size, ())
        state[f"{name}.bias"] = zeros(dim)
    state[f"{predictor}query_embed.weight"] = zeros(queries, dim)
    decoder = f"{predictor}transformer.decoder."
    for n in range(layers):
        layer = f"{decoder}layers.{n}."
        for attention in ("self_attn.", "multihead_attn."):
            _linear(state, layer + attention, 3 * dim, dim, "in_proj_weight", "in_proj_bias")
            _linear(state, layer + attention + "out_proj.", dim, dim)
        _linear(state, f"{layer}linear1.", feedforward, dim)
        _linear(state, f"{layer}linear2.", dim, feedforward)
        state |= {f"{layer}norm{i}.{part}": zeros(dim) for i in (1, 2, 3) for part in NORM}
    state |= {f"{decoder}norm.{part}": zeros(dim) for part in NORM}
    for n in range(3):
        _linear(state, f"{predictor}mask_embed.layers.{n}.", dim, dim)
    return state


def maskformer(classes=150, head=(), **backbone):
    state = {
        **resnet(**backbone),
        **maskformer_head(*head),
        "criterion.empty_weight": zeros(classes + 1),
    }
    _linear(state, "sem_seg_head.predictor.class_embed.", classes + 1, head[0] if head else 256)
    return state


def zsseg(clip, seen=15, stem=("conv1", "conv2", "conv3")):
    """`clip`: a state of CLIP's own class, whose text space is 32 wide."""
    state = {**resnet(101, stem), **maskformer_head(), "criterion.empty_weight": zeros(seen + 1)}
    _linear(state, "sem_seg_head.predictor.class_embed.layers.0.", 1024, 256)
    _linear(state, "sem_seg_head.predictor.class_embed.layers.1.", 32, 1024)
    return {**state, **zsseg_adapter("clip_adapter.", clip)}


def zsseg_adapter(prefix, clip):
    state = {"non_object_embedding": zeros(1, 32)}
    state |= {name: zeros(1, 3, 1, 1) for name in ("pixel_mean", "pixel_std")}
    state |= {f"clip_model.{name}": tensor for name, tensor in clip.items()}
    return {prefix + name: tensor for name, tensor in state.items()}
