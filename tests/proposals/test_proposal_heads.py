"""Proposal heads as a configuration builds them, dynamic kernels and queries; what is refused."""

import pytest
import torch
from tiny_head import (
    CLUSTERS,
    FINE,
    LINEAR,
    NO_ASPP,
    PYRAMID,
    QUERIES,
    REGIONS,
    build_backbone_and_head,
    make_criterion,
    photos,
    scored,
    texts,
    tiny_config,
)

from zsk.data.targets import segments_from_sem_seg
from zsk.errors import UserError

UNNAMED = ("MODEL.SEM_SEG_HEAD.CLASSIFIER", "none")
CLIP_ALONE = ("MODEL.ENSEMBLE.MODE", "clip")


def build(*opts):
    return build_backbone_and_head(tiny_config(*opts))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(
    "opts, size",
    [
        *(((), (2, 3)), (FINE, (16, 24)), (PYRAMID, (16, 24)), (CLUSTERS + FINE, (16, 24))),
        *((QUERIES, (16, 24)), (QUERIES + LINEAR, (16, 24))),
        ((*QUERIES, "MODEL.SEM_SEG_HEAD.IN_FEATURES", ["res5"]), (2, 3)),
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


@pytest.mark.parametrize(
    "opts, words",
    [
        (("MODEL.SEM_SEG_HEAD.FINE_FEATURE", "res3"), "'res3', but the backbone gives res2, res5"),
        (("MODEL.SEM_SEG_HEAD.IN_FEATURES", ["res4"]), "'res4'"),
        (("MODEL.SEM_SEG_HEAD.IN_FEATURES", ["res5", "res2"]), "put the finest first"),
        ((*PYRAMID, "MODEL.SEM_SEG_HEAD.CONVS_DIM", 33), "CONVS_DIM is 33"),
        ((*CLUSTERS, "MODEL.KERNELS.CLUSTER_FEATURES", ["res3"]), "'res3'"),
        (("MODEL.KERNELS.DIM", 48), "KERNELS.DIM is 48, .* multiple of 32"),
        (("MODEL.KERNELS.GATE_GROUPS", 3), "KERNELS.DIM is 32, .* multiple of .*GATE_GROUPS 3"),
        (("MODEL.KERNELS.NUM_HEADS", 5), "KERNELS.DIM is 32, .* multiple of .*NUM_HEADS 5"),
        (("MODEL.SEM_SEG_HEAD.CLASS_FEATURES", ["head"]), "'head', but the backbone gives res2"),
        (NO_ASPP, "IN_FEATURES is empty, which needs MODEL.KERNELS.INIT clusters"),
        (CLUSTERS + NO_ASPP, "NUM_STAGES 0 and CLASS_FEATURES"),
        ((*CLUSTERS, *NO_ASPP, *UNNAMED), "MODEL.ENSEMBLE.MODE is ensemble: set it to clip"),
        ((*CLUSTERS, *UNNAMED, *CLIP_ALONE), "CLASSIFIER is none, but IN_FEATURES .* learned"),
        ((*QUERIES, *UNNAMED, *CLIP_ALONE), "CLASSIFIER is none, but NAME ZSMaskFormerHead"),
        ((*CLUSTERS, *REGIONS, "MODEL.KERNELS.NUM_STAGES", 0), "nothing reads what ASPP makes"),
        ((*CLUSTERS, "MODEL.KERNELS.NUM_KERNELS", 7), r"\[2, 4\] has to add up to .* 7"),
    ],
)
def test_impossible_configurations_name_the_key(opts, words):
    with pytest.raises(UserError, match=words):
        build(*opts)


def test_without_aspp_masks_are_the_clusters_and_names_alone_are_learned():
    backbone, head = build(*CLUSTERS, *REGIONS, *NO_ASPP)
    (proposals,) = scored(head, backbone(photos()), texts())
    assert proposals.pred_masks.shape == (2, 6, 2, 3)  # res5 is what is clustered
    assert proposals.pred_masks.unique().tolist() == [-2.0, 2.0]
    assert all(name.startswith("class_scores") for name, _ in head.named_parameters())


def test_without_class_scores_nothing_is_learned():
    backbone, head = build(*CLUSTERS, *NO_ASPP, *UNNAMED, *CLIP_ALONE)
    (proposals,) = head(backbone(photos()))
    assert proposals.masks.unique().tolist() == [-2.0, 2.0]
    assert not head.state_dict()
    with pytest.raises(UserError, match="CLASSIFIER none .* nothing to train"):
        scored(head, backbone(photos()), texts())
