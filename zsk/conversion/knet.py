"""The update stages of K-Net's semantic models (Zhang et al., NeurIPS 2021; mmsegmentation)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from zsk.resources import find_resource
from zsk.settings.config_file import read_config

from .conversion import Conversion, Options, Weights, count, shape, translate

SOURCE = "K-Net (mmsegmentation): update stages alone"
BASE = "configs/coco-stuff-164k-156/zsk_R101_bs8_240k.yaml"  # what surrounds the stages
NUM_HEADS = 8
_STAGE = r"decode_head\.kernel_update_head\.(\d+)\."
_OURS = r"sem_seg_head.stages.\1."
PARTS = {
    "feat_transform.conv.": "transform.",
    # K-Net calls the group features "update" and the kernels "input"
    "kernel_update_conv.dynamic_layer.": "gate.group_fc.",
    "kernel_update_conv.input_layer.": "gate.kernel_fc.",
    "kernel_update_conv.update_gate.": "gate.group_gate.",
    "kernel_update_conv.input_gate.": "gate.kernel_gate.",
    "kernel_update_conv.norm_in.": "gate.group_gate_norm.",
    "kernel_update_conv.input_norm_in.": "gate.kernel_gate_norm.",
    "kernel_update_conv.norm_out.": "gate.group_norm.",
    "kernel_update_conv.input_norm_out.": "gate.kernel_norm.",
    "kernel_update_conv.fc_layer.": "gate.out_fc.",
    "kernel_update_conv.fc_norm.": "gate.out_norm.",
    "attention.attn.": "interaction.attention.",
    "attention_norm.": "interaction.attention_norm.",
    "ffn.layers.0.0.": "interaction.ffn.0.",
    "ffn.layers.1.": "interaction.ffn.3.",
    "ffn_norm.": "interaction.ffn_norm.",
    "mask_fcs.": "mask_kernels.",
}
MASK_BLOCK = 3  # linear, LayerNorm, ReLU: the numbers that a block takes in mask_fcs
_INITIAL = r"decode_head\.kernel_generate_head\.conv_seg\."
_GENERATOR = "sem_seg_head.kernel_generator.kernels."
_DROPS = {
    r"(backbone|auxiliary_head)\.": "backbone and auxiliary head, which are of another network",
    r"decode_head\.kernel_generate_head\.(?!conv_seg)": "the feature map, which is another here",
    r".*\.fc_cls\.": "class scores of K-Net for instances",
}


def matches(state: Mapping[str, Tensor]) -> bool:
    return any("kernel_update_conv." in name for name in state)


def convert(state: Mapping[str, Tensor], options: Options) -> Conversion:
    """Stages and initial kernels, and a configuration that trains from them.

    Raises:
        UserError: the stages are not those of mmsegmentation.
    """
    options.check_read(SOURCE, "clip")
    weights, dropped = renamed_stages(state)
    stages = count(weights, r"sem_seg_head\.stages\.(\d+)\.")
    first = "sem_seg_head.stages.0."
    dim = shape(weights, first + "interaction.attention_norm.weight", 1)[0]
    gate = shape(weights, first + "gate.out_norm.weight", 1)[0]
    kernels: dict[str, Any] = {
        "DIM": dim,
        "GATE_GROUPS": dim // gate,
        "NUM_STAGES": stages,
        "NUM_HEADS": NUM_HEADS,
        "DIM_FEEDFORWARD": shape(weights, first + "interaction.ffn.0.weight", 2)[0],
        "FEATURE_TRANSFORM": first + "transform.weight" in weights,
        "GATHER_ACTIVATION": "softmax",
    }
    if _GENERATOR + "init_kernels" in weights:
        num_kernels = len(weights[_GENERATOR + "init_kernels"])
        kernels |= {"NUM_KERNELS": num_kernels, "INIT_BIAS": _GENERATOR + "bias" in weights}
    assumed = [
        f"MODEL.KERNELS.NUM_HEADS {NUM_HEADS}, GATHER_ACTIVATION softmax and GATHER_REDUCTION sum, "
        "as published",
        "kernels there are classes, whose masks are the result; here they are matched to segments: "
        "no model to evaluate, but a start for training with the configuration",
    ]
    config = read_config(str(find_resource(BASE)))
    model = config["MODEL"]
    model |= {"KERNELS": model.get("KERNELS", {}) | kernels, "WEIGHTS_MIN_SHARE": 0.0}
    model["CLIP"]["NAME"] = options.clip or model["CLIP"]["NAME"]
    return Conversion(SOURCE, weights, config, dropped, assumed, complete="sem_seg_head.stages.")


def renamed_stages(state: Mapping[str, Tensor]) -> tuple[Weights, dict[str, list[str]]]:
    """Tensors of heads, or of one head alone, by our names, and those left out by reason.

    Raises:
        UserError: a name that mmsegmentation's K-Net has not.
    """
    if any(name.startswith("kernel_update_conv.") for name in state):
        state = {f"decode_head.kernel_update_head.0.{name}": v for name, v in state.items()}
    renames = {_STAGE + re.escape(theirs): _OURS + ours for theirs, ours in PARTS.items()}
    blocks = count(state, r"decode_head\.kernel_update_head\.0\.mask_fcs\.(\d+)\.weight") // 2
    renames[_STAGE + r"fc_mask\."] = f"{_OURS}mask_kernels.{MASK_BLOCK * blocks}."
    renames[_INITIAL + "weight$"] = _GENERATOR + "init_kernels"
    renames[_INITIAL + "bias$"] = _GENERATOR + "bias"
    weights, dropped = translate(state, renames, _DROPS, SOURCE)
    kernels = _GENERATOR + "init_kernels"
    if kernels in weights:
        shape(weights, kernels, 4)
        weights[kernels] = weights[kernels].flatten(1)
    return weights, dropped
