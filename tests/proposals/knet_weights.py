"""K-Net's published weights under this project's names."""

from collections.abc import Mapping

from torch import Tensor

# mmsegmentation's KernelUpdateHead -> KernelUpdateStage, by prefix of the parameter's name
RENAMES = {
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


def convert_knet_stage(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State of one K-Net update head -> state of a `KernelUpdateStage`; the tensors are not copied.

    `state` has mmsegmentation's names from the head on: cut "decode_head.kernel_update_head.0." off
    a published checkpoint's names.
    """
    blocks = sum(name.startswith("mask_fcs.") for name in state) // MASK_BLOCK
    renames = RENAMES | {"fc_mask.": f"mask_kernels.{MASK_BLOCK * blocks}."}
    return {_rename(name, renames): tensor for name, tensor in state.items()}


def _rename(name: str, renames: Mapping[str, str]) -> str:
    for theirs, ours in renames.items():
        if name.startswith(theirs):
            return ours + name[len(theirs) :]
    raise ValueError(f"{name!r} is no weight of a K-Net update head")
