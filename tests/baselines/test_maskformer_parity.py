"""The query head against the numbers of a public MaskFormer.

golden/maskformer_head.npz was made with MaskFormerForInstanceSegmentation of transformers 5.23.0
(torch 2.14.1, CPU), in eval mode, with random weights: biases, norms and queries random, too, so
that two swapped ones show. Settings are MaskFormer's made small: 5 queries of 16 numbers, 3 decoder
layers of 2 heads and 24 feed-forward channels, 32 channels in the pixel decoder, 12 in the mask
embeddings, 7 classes. The backbone was replaced by four features of 6, 8, 10 and 20 channels, each
level about half as large as the one before: 12x14, 6x7, 3x4, 2x3.

The numbers of layer l are the output of the model with its first l layers alone: the published
MaskFormer norms each layer's states for the predictions, but hands them on without that norm
(transformers' own auxiliary outputs differ from it there).
"""

from pathlib import Path

import numpy as np
import torch
from detectron2.layers import ShapeSpec
from tiny_head import scored
from torch import nn

from zsk.baselines.queries.query_head import ZSMaskFormerHead
from zsk.baselines.queries.transformer_decoder import TransformerDecoder
from zsk.conversion.hf_maskformer import renamed_head
from zsk.proposals.class_scores import LinearScores, mlp
from zsk.proposals.pixel_decoder import PixelDecoder

GOLDEN = Path(__file__).parent / "golden" / "maskformer_head.npz"
CHANNELS = {"res2": 6, "res3": 8, "res4": 10, "res5": 20}
NUM_LAYERS, NUM_CLASSES = 3, 7


def load(kind):
    """Tensors of one kind by name: weights (MaskFormer's names), features, out_logits, …"""
    with np.load(GOLDEN) as file:
        names = [name for name in file.files if name.startswith(f"{kind}/")]
        return {name.removeprefix(f"{kind}/"): torch.from_numpy(file[name]) for name in names}


def build_head():
    sizes = {"num_queries": 5, "dim": 16, "num_heads": 2, "dim_feedforward": 24}
    shapes = {name: ShapeSpec(channels=channels) for name, channels in CHANNELS.items()}
    return ZSMaskFormerHead(
        pixel_decoder=PixelDecoder(
            shapes, in_features=list(CHANNELS), conv_dim=32, mask_dim=12, norm="GN"
        ),
        transformer_decoder=TransformerDecoder(CHANNELS["res5"], num_layers=NUM_LAYERS, **sizes),
        memory_feature="res5",
        mask_embed=mlp(16, [16, 16], 12),
        class_scores=LinearScores(nn.Linear(16, NUM_CLASSES + 1), NUM_CLASSES),
    ).eval()


def test_the_head_with_maskformers_weights_returns_maskformers_numbers():
    logits, masks, head = load("out_logits"), load("out_masks"), build_head()
    weights, _ = renamed_head(load("weights"))
    head.load_state_dict({k.removeprefix("sem_seg_head."): v for k, v in weights.items()})
    with torch.no_grad():
        proposals = scored(head, load("features"), torch.zeros(NUM_CLASSES, 4))
    assert len(proposals) == len(logits) == NUM_LAYERS
    for layer, (ours, our_masks) in enumerate(proposals):
        assert ours.shape == (2, 5, 8) and our_masks.shape == (2, 5, 12, 14)
        # the masks' logits reach 20, where another CPU's order of summing moves single ones by 1e-5
        torch.testing.assert_close(ours, logits[str(layer)], rtol=2e-6, atol=1e-5)
        torch.testing.assert_close(our_masks, masks[str(layer)], rtol=2e-6, atol=1e-5)
