"""The configurations of ZS-MaskFormer build the published network: its numbers with its weights.

The weights are random and drawn by the golden folder's own program; its README says how the outputs
were made. The bounds are those of that README.
"""

import json
import re
import runpy

import numpy as np
import pytest
import torch
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY, build_backbone
from torch import nn

from zsk.load import load_config

_LAYER = r"transformer_decoder.layers.\1."
RENAMES = {  # names of the public baseline -> ours
    r"sem_seg_head\.predictor\.transformer\.decoder\.layers\.(\d)\.": _LAYER,
    r"sem_seg_head\.predictor\.transformer\.decoder\.norm": "transformer_decoder.norm",
    r"sem_seg_head\.predictor\.query_embed\.weight": "transformer_decoder.query_embed",
    r"sem_seg_head\.predictor\.input_proj": "transformer_decoder.input_proj",
    r"sem_seg_head\.predictor\.mask_embed\.layers\.0": "mask_embed.0",
    r"sem_seg_head\.predictor\.mask_embed\.layers\.1": "mask_embed.2",
    r"sem_seg_head\.predictor\.mask_embed\.layers\.2": "mask_embed.4",
    r"sem_seg_head\.predictor\.class_embed\.layers\.0": "class_scores.embedding.0",
    r"sem_seg_head\.predictor\.class_embed\.layers\.1": "class_scores.embedding.2",
    r"sem_seg_head\.pixel_decoder\.layer_4": "pixel_decoder.stem",
    r"sem_seg_head\.pixel_decoder\.adapter_1": "pixel_decoder.laterals.2",
    r"sem_seg_head\.pixel_decoder\.adapter_2": "pixel_decoder.laterals.1",
    r"sem_seg_head\.pixel_decoder\.adapter_3": "pixel_decoder.laterals.0",
    r"sem_seg_head\.pixel_decoder\.layer_1": "pixel_decoder.outputs.2",
    r"sem_seg_head\.pixel_decoder\.layer_2": "pixel_decoder.outputs.1",
    r"sem_seg_head\.pixel_decoder\.layer_3": "pixel_decoder.outputs.0",
    r"sem_seg_head\.": "",
    r"clip_adapter\.non_object_embedding": "class_scores.no_object",
    r"(.*)self_attn\.": r"\1self_attention.",
    r"(.*)multihead_attn\.": r"\1cross_attention.",
    r"(.*)linear1": r"\1ffn.0",
    r"(.*)linear2": r"\1ffn.3",
    r"(.*layers\.\d\.)norm1": r"\1self_attention_norm",
    r"(.*layers\.\d\.)norm2": r"\1cross_attention_norm",
    r"(.*layers\.\d\.)norm3": r"\1ffn_norm",
}


def renamed(key):
    for theirs, ours in RENAMES.items():
        key = re.sub("^" + theirs, ours, key)
    return key


@pytest.fixture(scope="module")
def golden(real_data):
    """The case's manifest, arrays and weights (less CLIP's and the criterion's) by our names."""
    folder = real_data / "golden"
    if not folder.is_dir():
        pytest.skip(f"the published systems' numbers are not there ({folder})")
    manifest = json.loads((folder / "zsseg_voc_single.json").read_text())
    taken = r"backbone\.|sem_seg_head\.|clip_adapter\.non_object"
    manifest["tensors"] = {k: v for k, v in manifest["tensors"].items() if re.match(taken, k)}
    state = runpy.run_path(str(folder / "state.py"))["make_state"](manifest)
    weights = {renamed(key): torch.from_numpy(array) for key, array in state.items()}
    return manifest["settings"], np.load(folder / "zsseg_voc_single.npz"), weights


def close(ours, theirs, bound):
    theirs = torch.from_numpy(theirs)
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= bound * theirs.abs().max()


@pytest.mark.slow
def test_the_network_is_the_published_one(golden, checkout, empty_catalogs):
    settings, arrays, weights = golden
    folder = checkout / "configs" / "voc-11k-15"
    cfg = load_config(str(folder / "zs_maskformer_R101_bs16_20k.yaml"))
    backbone = build_backbone(cfg).eval()
    build_head = SEM_SEG_HEADS_REGISTRY.get(cfg.MODEL.SEM_SEG_HEAD.NAME)
    head = build_head(cfg, backbone.output_shape(), 512).eval()
    whole = nn.ModuleDict({"backbone": backbone, "head": head})
    whole.load_state_dict(
        {k if k.startswith("backbone.") else f"head.{k}": v for k, v in weights.items()}
    )
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD))
    image = (torch.from_numpy(arrays["in_image"]) - mean) / std
    divisor = settings["size_divisibility"]
    padding = [(-side) % divisor for side in image.shape[:0:-1]]
    image = nn.functional.pad(image, (0, padding[0], 0, padding[1]))
    with torch.no_grad():
        features = backbone(image[None])
        embeddings, masks = head(features)[-1]
        text = torch.from_numpy(arrays["out_text_embeddings"])
        logits = head.class_logits(embeddings, text)
    close(features["res2"][:, ::32], arrays["out_res2_every_32th_channel"], 1e-5)
    close(features["res5"][:, ::128], arrays["out_res5_every_128th_channel"], 1e-5)
    close(masks[0], arrays["out_pred_masks"], 1e-4)
    close(logits[0], arrays["out_pred_logits"], 1e-4)
