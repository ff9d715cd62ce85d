"""MaskFormer's published weights under this project's names."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_PIXELS = r"model\.pixel_level_module\.decoder\."
_LEVEL = _PIXELS + r"fpn\.layers\.(\d+)\."
_QUERIES = r"model\.transformer_module\."
_LAYER = _QUERIES + r"decoder\.layers\.(\d+)\."
_OUR_LAYER = r"transformer_decoder.layers.\1."

# MaskFormerForInstanceSegmentation of transformers -> ZSMaskFormerHead, by the name's beginning
RENAMES = {
    r"class_predictor\.": "class_scores.classifier.",
    r"mask_embedder\.0\.0\.": "mask_embed.0.",
    r"mask_embedder\.1\.0\.": "mask_embed.2.",
    r"mask_embedder\.2\.0\.": "mask_embed.4.",
    _PIXELS + r"mask_projection\.": "pixel_decoder.mask_features.",
    _PIXELS + r"fpn\.stem\.0\.": "pixel_decoder.stem.",
    _PIXELS + r"fpn\.stem\.1\.": "pixel_decoder.stem.norm.",
    _LEVEL + r"proj\.0\.": r"pixel_decoder.laterals.\1.",
    _LEVEL + r"proj\.1\.": r"pixel_decoder.laterals.\1.norm.",
    _LEVEL + r"block\.0\.": r"pixel_decoder.outputs.\1.",
    _LEVEL + r"block\.1\.": r"pixel_decoder.outputs.\1.norm.",
    _QUERIES + r"queries_embedder\.weight": "transformer_decoder.query_embed",
    _QUERIES + r"input_projection\.": "transformer_decoder.input_proj.",
    _QUERIES + r"decoder\.layernorm\.": "transformer_decoder.norm.",
    # query, key and value are apart there and stacked here, under the query's name
    _LAYER + r"self_attn\.q_proj\.": _OUR_LAYER + "self_attention.in_proj_",
    _LAYER + r"self_attn\.o_proj\.": _OUR_LAYER + "self_attention.out_proj.",
    _LAYER + r"self_attn_layer_norm\.": _OUR_LAYER + "self_attention_norm.",
    _LAYER + r"encoder_attn\.q_proj\.": _OUR_LAYER + "cross_attention.in_proj_",
    _LAYER + r"encoder_attn\.o_proj\.": _OUR_LAYER + "cross_attention.out_proj.",
    _LAYER + r"encoder_attn_layer_norm\.": _OUR_LAYER + "cross_attention_norm.",
    _LAYER + r"mlp\.fc1\.": _OUR_LAYER + "ffn.0.",
    _LAYER + r"mlp\.fc2\.": _OUR_LAYER + "ffn.3.",
    _LAYER + r"final_layer_norm\.": _OUR_LAYER + "ffn_norm.",
}


def convert_maskformer(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State of transformers' MaskFormer -> state of a `ZSMaskFormerHead` with a linear classifier.

    `state` has the names of MaskFormerForInstanceSegmentation.state_dict() in transformers 5: leave
    out its backbone (model.pixel_level_module.encoder.) and its criterion.
    """
    converted = {}
    for name, tensor in state.items():
        if ".q_proj." in name:
            kinds = (".q_proj.", ".k_proj.", ".v_proj.")
            tensor = torch.cat([state[name.replace(".q_proj.", kind)] for kind in kinds])
        elif ".k_proj." in name or ".v_proj." in name:
            continue
        converted[_rename(name)] = tensor
    return converted


def _rename(name: str) -> str:
    for theirs, ours in RENAMES.items():
        renamed, found = re.subn("^" + theirs, ours, name)
        if found:
            return renamed
    raise ValueError(f"{name!r} is no weight of a MaskFormer head")
