"""The head as a configuration builds it (see also test_proposal_heads.py): what is refused."""

import pytest
from tiny_head import QUERIES, build_backbone_and_head, photos, scored, texts, tiny_config

from zsk.errors import UserError

PYRAMID = ("MODEL.SEM_SEG_HEAD.IN_FEATURES", ["res2", "res5"])
CLUSTERS = ("MODEL.KERNELS.INIT", "clusters")
REGIONS = ("MODEL.SEM_SEG_HEAD.CLASS_FEATURES", ["res5"], "MODEL.KERNELS.MASK_UPDATE", "add")
NO_ASPP = ("MODEL.SEM_SEG_HEAD.IN_FEATURES", [], "MODEL.KERNELS.NUM_STAGES", 0)
UNNAMED = ("MODEL.SEM_SEG_HEAD.CLASSIFIER", "none")
CLIP_ALONE = ("MODEL.ENSEMBLE.MODE", "clip")


def build(*opts):
    return build_backbone_and_head(tiny_config(*opts))


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
