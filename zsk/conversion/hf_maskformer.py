"""MaskFormer's semantic ResNet models in Hugging Face's files."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from zsk.errors import UserError

from .conversion import Conversion, Options, Weights, shape, translate
from .maskformer import supervised

SOURCE = "MaskFormer (Hugging Face, semantic, ResNet)"
_ENCODER = r"model\.pixel_level_module\.encoder\."
_BLOCK = _ENCODER + r"encoder\.stages\.{}\.layers\.(\d+)\."
_PIXELS = r"model\.pixel_level_module\.decoder\."
_LEVEL = _PIXELS + r"fpn\.layers\.(\d+)\."
_QUERIES = r"model\.transformer_module\."
_LAYER = _QUERIES + r"decoder\.layers\.(\d+)\."
_OURS, _OUR_LAYER = "sem_seg_head.", r"sem_seg_head.transformer_decoder.layers.\1."
_CONVOLUTIONS = {_ENCODER + r"embedder\.embedder\.": "backbone.stem.conv1."}
for _stage in range(4):
    _block, _our_block = _BLOCK.format(_stage), rf"backbone.res{_stage + 2}.\1."
    _CONVOLUTIONS[_block + r"shortcut\."] = _our_block + "shortcut."
    _CONVOLUTIONS |= {_block + rf"layer\.{n}\.": f"{_our_block}conv{n + 1}." for n in range(3)}

RENAMES = {
    **{theirs + r"convolution\.": ours for theirs, ours in _CONVOLUTIONS.items()},
    **{theirs + r"normalization\.": ours + "norm." for theirs, ours in _CONVOLUTIONS.items()},
    r"class_predictor\.": _OURS + "class_scores.classifier.",
    **{rf"mask_embedder\.{n}\.0\.": f"{_OURS}mask_embed.{2 * n}." for n in range(3)},
    _PIXELS + r"mask_projection\.": _OURS + "pixel_decoder.mask_features.",
    _PIXELS + r"fpn\.stem\.0\.": _OURS + "pixel_decoder.stem.",
    _PIXELS + r"fpn\.stem\.1\.": _OURS + "pixel_decoder.stem.norm.",
    _LEVEL + r"proj\.0\.": _OURS + r"pixel_decoder.laterals.\1.",
    _LEVEL + r"proj\.1\.": _OURS + r"pixel_decoder.laterals.\1.norm.",
    _LEVEL + r"block\.0\.": _OURS + r"pixel_decoder.outputs.\1.",
    _LEVEL + r"block\.1\.": _OURS + r"pixel_decoder.outputs.\1.norm.",
    _QUERIES + r"queries_embedder\.weight$": _OURS + "transformer_decoder.query_embed",
    _QUERIES + r"input_projection\.": _OURS + "transformer_decoder.input_proj.",
    _QUERIES + r"decoder\.layernorm\.": _OURS + "transformer_decoder.norm.",
    # transformers 5 has other names for some parts than its older versions and published files
    _LAYER + r"self_attn\.in_proj_": _OUR_LAYER + "self_attention.in_proj_",
    _LAYER + r"self_attn\.(?:o_proj|out_proj)\.": _OUR_LAYER + "self_attention.out_proj.",
    _LAYER + r"self_attn_layer_norm\.": _OUR_LAYER + "self_attention_norm.",
    _LAYER + r"encoder_attn\.in_proj_": _OUR_LAYER + "cross_attention.in_proj_",
    _LAYER + r"encoder_attn\.(?:o_proj|out_proj)\.": _OUR_LAYER + "cross_attention.out_proj.",
    _LAYER + r"encoder_attn_layer_norm\.": _OUR_LAYER + "cross_attention_norm.",
    _LAYER + r"(?:mlp\.)?fc1\.": _OUR_LAYER + "ffn.0.",
    _LAYER + r"(?:mlp\.)?fc2\.": _OUR_LAYER + "ffn.3.",
    _LAYER + r"final_layer_norm\.": _OUR_LAYER + "ffn_norm.",
}
_DROPS = {
    r"criterion\.": "the class weights of the loss, which are configured",
    r".*\.num_batches_tracked$": "counters of the batch norms, which are frozen here",
}


def matches(state: Mapping[str, Tensor]) -> bool:
    return any(name.startswith("model.pixel_level_module.") for name in state)


def convert(state: Mapping[str, Tensor], options: Options) -> Conversion:
    """The whole model. Raises UserError for another network or an unknown number of classes."""
    options.check_read(SOURCE, "names", "multi_grid")
    weights, dropped = renamed_head(state)
    return supervised(SOURCE, weights, dropped, options)


def renamed_head(state: Mapping[str, Tensor]) -> tuple[Weights, dict[str, list[str]]]:
    """The tensors by our names, and those left out by reason; the backbone may be missing."""
    return translate(_stacked(state), RENAMES, _DROPS, SOURCE)


def _stacked(state: Mapping[str, Tensor]) -> Weights:
    """Query, key and value are apart there and stacked here."""
    stacked: Weights = {}
    for name, tensor in state.items():
        kind = re.search(r"\.([qkv])_proj\.(weight|bias)$", name)
        if kind is None:
            stacked[name] = tensor
        elif kind[1] == "q":
            names = [name.replace(".q_proj.", f".{k}_proj.") for k in "qkv"]
            for other in names:
                shape(state, other, tensor.ndim)  # which says what is missing
            whole = name.replace(".q_proj.", ".in_proj_")
            if whole in state:
                raise UserError(f"{name} and {whole} are both for one tensor: remove one")
            stacked[whole] = torch.cat([state[other] for other in names])
    return stacked
