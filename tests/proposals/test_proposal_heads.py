"""What every proposal head does, as a configuration builds it: dynamic kernels and queries."""

import pytest
import torch
from tiny_head import (
    QUERIES,
    build_backbone_and_head,
    make_criterion,
    photos,
    scored,
    texts,
    tiny_config,
)

from zsk.data.targets import segments_from_sem_seg

IN_FEATURES = "MODEL.SEM_SEG_HEAD.IN_FEATURES"
FINE = ("MODEL.SEM_SEG_HEAD.FINE_FEATURE", "res2")
PYRAMID = (IN_FEATURES, ["res2", "res5"], "MODEL.SEM_SEG_HEAD.CONVS_DIM", 32)
CLUSTERS = ("MODEL.KERNELS.INIT", "clusters")
REGIONS = ("MODEL.SEM_SEG_HEAD.CLASS_FEATURES", ["res5"], "MODEL.KERNELS.MASK_UPDATE", "add")
NO_ASPP = (IN_FEATURES, [], "MODEL.KERNELS.NUM_STAGES", 0)
LINEAR = ("MODEL.SEM_SEG_HEAD.CLASSIFIER", "linear", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", 3)


def build(*opts):
    return build_backbone_and_head(tiny_config(*opts))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(
    "opts, size",
    [
        *(((), (2, 3)), (FINE, (16, 24)), (PYRAMID, (16, 24)), (CLUSTERS + FINE, (16, 24))),
        *((QUERIES, (16, 24)), (QUERIES + LINEAR, (16, 24))),
        ((*QUERIES, IN_FEATURES, ["res5"]), (2, 3)),
    ],
)
def test_every_stage_gives_masks_of_the_finest_feature_and_scores(opts, size, count):
    """N=6 masks and scores of 3 names, from K_0 on; another mask in every stage."""
    stages = ("MODEL.KERNELS.NUM_STAGES", count - 1, "MODEL.MASK_FORMER.NUM_LAYERS", count)
    backbone, head = build(*opts, *stages)
    outputs = scored(head, backbone(photos()), texts())
    assert len(outputs) == count
    for proposals in outputs:
        assert proposals.pred_masks.shape == (2, 6, *size)
        assert proposals.pred_logits.shape == (2, 6, 4)
        assert proposals.pred_logits.dtype == torch.float32
    for before, after in zip(outputs, outputs[1:]):
        assert not torch.allclose(before.pred_masks, after.pred_masks, atol=1e-3)


@pytest.mark.parametrize(
    "opts", [(), FINE, PYRAMID, CLUSTERS, CLUSTERS + REGIONS, QUERIES, QUERIES + LINEAR]
)
def test_a_batch_of_two_equals_two_singles(opts):
    backbone, head = build(*opts, "MODEL.SEM_SEG_HEAD.TEMPERATURE", 1.0)  # scores are cosines
    images = photos()
    with torch.no_grad():
        both = scored(head, backbone(images), texts())
        singles = [scored(head, backbone(image[None]), texts()) for image in images]
    for i, single in enumerate(singles):
        for stage, expected in zip(both, single, strict=True):
            masks, expected_masks = stage.pred_masks[i].sigmoid(), expected.pred_masks[0].sigmoid()
            torch.testing.assert_close(masks, expected_masks, rtol=0, atol=1e-5)
            logits = stage.pred_logits[i]
            torch.testing.assert_close(logits, expected.pred_logits[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("label", [1, 255])
@pytest.mark.parametrize(
    "opts",
    [
        *(FINE, PYRAMID, CLUSTERS + FINE, CLUSTERS + FINE + REGIONS, CLUSTERS + REGIONS + NO_ASPP),
        *(FINE + LINEAR, CLUSTERS + FINE + REGIONS + LINEAR, QUERIES, QUERIES + LINEAR),
    ],
)
def test_every_parameter_has_a_gradient(opts, label):
    """Also without a segment (255): distributed training waits for the gradients of all of them."""
    backbone, head = (part.train() for part in build(*opts))
    segments = [segments_from_sem_seg(torch.full((64, 96), label))] * 2
    losses = make_criterion()(scored(head, backbone(photos()), texts()), segments, ["a", "b"])
    sum(losses.values()).backward()
    for module in (backbone, head):
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None, name
                assert torch.isfinite(parameter.grad).all(), name
    of_masks = ("stages.1.mask_kernels.3", "mask_embed", "pixel_decoder")
    gradients = [p.grad for name, p in head.named_parameters() if name.startswith(of_masks)]
    assert gradients or opts == CLUSTERS + REGIONS + NO_ASPP
    assert all(gradient.any() == (label == 1) for gradient in gradients)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("opts", [FINE, QUERIES])
def test_half_precision_gives_finite_proposals(opts, dtype):
    backbone, head = build(*opts)
    with torch.no_grad(), torch.autocast("cpu", dtype):
        features = {name: 200 * f for name, f in backbone(photos()).items()}
        for proposals in scored(head, features, texts()):
            assert torch.isfinite(proposals.pred_masks).all()
            assert torch.isfinite(proposals.pred_logits).all()
