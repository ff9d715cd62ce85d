"""The cases of the speed benchmark, in the order of its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[3]
ZSK = "configs/voc-11k-15/zsk_R101_bs8_40k.yaml"
ZS_MASKFORMER = "configs/voc-11k-15/zs_maskformer_R101_bs8_40k.yaml"
ZSK_RN101 = "configs/voc-11k-15/zsk_clip_rn101_bs8_40k.yaml"
ZSK_VIT = "configs/voc-11k-15/zsk_clip_b16_bs8_40k.yaml"
EMBEDDED = "configs/embedded/zsk_lite2.yaml"

INFERENCE, TRAINING, EMBEDDED_MODEL = "inference", "training step", "embedded model"
ONE_NETWORK = "one network"
NAMES, PROPOSALS, SIDE = "names", "proposals", "image side"
# what --only takes, and the measure that each word stands for
GROUPS = {
    "inference": INFERENCE,
    "training": TRAINING,
    "one-network": ONE_NETWORK,
    "names": NAMES,
    "proposals": PROPOSALS,
    "side": SIDE,
    "embedded": EMBEDDED_MODEL,
}
REFERENCE = "reference: ZS-MaskFormer, a loop over crops"
CROPS, ONE_PASS = "ours: crops, all classified", "ours: one-pass"
TWO_NETWORKS = "two networks: R101, CLIP RN101 in one pass"
QUERIES, KERNELS = "ZS-MaskFormer head", "dynamic-kernel head"
# the variants that the others of a measure are compared with
REFERENCES = {INFERENCE: REFERENCE, TRAINING: QUERIES, ONE_NETWORK: TWO_NETWORKS}


@dataclass(frozen=True)
class Case:
    """One variant under one setting.

    Attributes:
        measure, variant, settings: its place on the page.
        kind: what a run is (`subjects.build`).
        config, opts: the configuration, relative to the checkout, and KEY VALUE … over it.
        photo: (H,W) of the photo, of both photos in training.
        names: number of class names.
        cached: the text embeddings are on disk before the case starts.
        count_flops: also count the floating-point operations of a run.
    """

    measure: str
    variant: str
    settings: dict[str, Any]
    kind: Literal["reference", "inference", "training", "look", "other words", "same words"]
    config: str
    opts: tuple[str, ...]
    photo: tuple[int, int]
    names: int = 20
    half: bool = False
    cached: bool = False
    count_flops: bool = False


@dataclass(frozen=True)
class Sizes:
    """How large the cases are; `opts`: KEY VALUE … over a configuration."""

    photo: tuple[int, int] = (512, 680)
    training: tuple[int, int] = (512, 512)
    one_network: tuple[int, int] = (640, 853)
    names: tuple[int, ...] = (20, 200, 2000)
    proposals: tuple[int, ...] = (50, 100, 200)
    sides: tuple[int, ...] = (256, 512, 1024)
    opts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


# random masks may be empty: at this threshold every proposal is encoded, as the whole photo
ALL_MASKS = 1e-9
_ALL_MASKS = "MODEL.CLIP.MASK_THRESHOLD", str(ALL_MASKS)

_TINY = """
MODEL.BACKBONE.NAME build_timm_backbone MODEL.TIMM.NAME test_resnet MODEL.TIMM.FREEZE none
"""
_TINY_KERNELS = """
MODEL.KERNELS.NUM_KERNELS 6 MODEL.KERNELS.DIM 32 MODEL.KERNELS.NUM_STAGES 1
MODEL.KERNELS.DIM_FEEDFORWARD 32 MODEL.SEM_SEG_HEAD.ASPP_CHANNELS 32
"""
_TINY_QUERIES = """
MODEL.MASK_FORMER.NUM_QUERIES 6 MODEL.MASK_FORMER.DIM 32 MODEL.MASK_FORMER.NUM_LAYERS 1
MODEL.MASK_FORMER.DIM_FEEDFORWARD 32 MODEL.MASK_FORMER.CONV_DIM 32 MODEL.MASK_FORMER.MASK_DIM 16
"""
_TINY_OPTS = {
    ZSK: tuple((_TINY + _TINY_KERNELS).split()),
    ZS_MASKFORMER: tuple((_TINY + _TINY_QUERIES).split()),
}
_TINY_OPTS |= dict.fromkeys((ZSK_RN101, ZSK_VIT), tuple(_TINY_KERNELS.split()))
QUICK = Sizes((96, 128), (96, 96), (96, 128), (20, 40), (4, 6), (96, 128), _TINY_OPTS)


def plan(
    sizes: Sizes, clip: str, resnet: str, gpu: bool, groups: Sequence[str] = tuple(GROUPS)
) -> list[Case]:
    """The cases of some groups (keys of GROUPS).

    Args:
        clip, resnet: files with the weights of CLIP's ViT-B/16 and RN101.
        gpu: also in half precision where inference is compared.
    """
    weights = _random(clip)
    image = {"image": "{}×{}".format(*sizes.photo)}
    crops, one_pass = (
        Case(
            *(INFERENCE, variant, image, "inference", ZSK),
            (*weights, *_ALL_MASKS, *sizes.opts.get(ZSK, ()), "MODEL.CLIP.REGION_MODE", mode),
            sizes.photo,
        )
        for variant, mode in ((CROPS, "crop"), (ONE_PASS, "one_pass"))
    )
    head = {
        config: (*weights, *sizes.opts.get(config, ()), "MODEL.ENSEMBLE.MODE", "head")
        for config in (ZSK, ZS_MASKFORMER)
    }
    queries = (ZS_MASKFORMER, head[ZS_MASKFORMER])
    reference = Case(INFERENCE, REFERENCE, image, "reference", *queries, sizes.photo)
    listed = [reference, crops, one_pass]
    for case in (crops, one_pass) if gpu else ():
        opts = (*case.opts, "MODEL.TEST_DTYPE", "float16")
        listed.append(replace(case, variant=f"{case.variant}, half", opts=opts, half=True))

    listed += _one_network(sizes, clip, resnet)

    batch = {"batch": 2, "image": "{}×{}".format(*sizes.training)}
    for variant, config in ((QUERIES, ZS_MASKFORMER), (KERNELS, ZSK)):
        opts = head[config]
        listed.append(Case(TRAINING, variant, batch, "training", config, opts, sizes.training))

    for n in sizes.names:
        listed.append(replace(_grown(one_pass, NAMES, n), names=n, cached=True))
    for n in sizes.proposals:
        opts = (*one_pass.opts, "MODEL.KERNELS.NUM_KERNELS", str(n))
        listed.append(replace(_grown(one_pass, PROPOSALS, n), opts=opts))
    listed += [replace(_grown(one_pass, SIDE, n), photo=(n, n)) for n in sizes.sides]

    look = Case(EMBEDDED_MODEL, "a photo, 20 words", image, "look", EMBEDDED, (), sizes.photo)
    most = sizes.names[-1]
    many = replace(look, variant=f"then {most:,} words, text cached", kind="same words")
    others = replace(look, variant="then 20 other words", kind="other words")
    listed += [look, others, replace(many, names=most, cached=True)]
    wanted = {GROUPS[group] for group in groups}
    return [case for case in listed if case.measure in wanted]


def _one_network(sizes: Sizes, vit: str, resnet: str) -> list[Case]:
    """CLIP as the backbone beside a backbone and CLIP."""
    image = {"image": "{}×{}".format(*sizes.one_network)}
    crop, one_pass = (("MODEL.CLIP.REGION_MODE", mode) for mode in ("crop", "one_pass"))
    two_thirds = ("MODEL.CLIP.BACKBONE_SCALE", str(2 / 3))
    cases = []
    for variant, config, clip, opts in (
        (TWO_NETWORKS, ZSK, resnet, one_pass),
        ("two networks: R101, crops for CLIP RN101", ZSK, resnet, crop),
        ("one network: CLIP RN101", ZSK_RN101, resnet, ()),
        ("one network: CLIP RN101, photo at 2/3", ZSK_RN101, resnet, two_thirds),
        ("two networks: R101, CLIP ViT-B/16 in one pass", ZSK, vit, one_pass),
        ("one network: CLIP ViT-B/16, photo halved", ZSK_VIT, vit, ()),
    ):
        given = (*_random(clip), *_ALL_MASKS, *sizes.opts.get(config, ()), *opts)
        for names in sizes.names[:2] if config == ZSK_VIT else sizes.names[:1]:
            settings = {**image, "names": names}
            place = (ONE_NETWORK, variant, settings, "inference", config, given, sizes.one_network)
            cases.append(Case(*place, names=names, cached=True, count_flops=True))
    return cases


def _random(clip: str) -> tuple[str, ...]:
    """Random weights but for CLIP's."""
    return "MODEL.WEIGHTS", "", "MODEL.CLIP.NAME", clip


def _grown(case: Case, measure: str, value: int) -> Case:
    return replace(case, measure=measure, settings={measure: value})
