"""MaskFormer's semantic ResNet models (Cheng et al., NeurIPS 2021), in Detectron2's files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from zsk.data.splits import get_split, make_vocabulary
from zsk.errors import UserError
from zsk.settings.config_file import flat

from .conversion import Conversion, Options, Weights, count, shape, translate
from .resnet import resnet_config

SOURCE = "MaskFormer (semantic, ResNet)"
_PREDICTOR, _PIXELS = r"sem_seg_head\.predictor\.", r"sem_seg_head\.pixel_decoder\."
_LAYER = _PREDICTOR + r"transformer\.decoder\.layers\.(\d+)\."
_OURS = r"sem_seg_head.transformer_decoder.layers.\1."
HEAD_RENAMES = {
    r"(backbone\.(?:stem|res[2-5])\.)": r"\1",
    _PIXELS + r"layer_4\.": "sem_seg_head.pixel_decoder.stem.",
    # theirs count from the finest feature, ours from the coarsest
    **{
        f"{_PIXELS}{theirs}_{n}\\.": f"sem_seg_head.pixel_decoder.{ours}.{3 - n}."
        for theirs, ours in (("adapter", "laterals"), ("layer", "outputs"))
        for n in (1, 2, 3)
    },
    _PIXELS + r"mask_features\.": "sem_seg_head.pixel_decoder.mask_features.",
    _PREDICTOR + r"query_embed\.weight$": "sem_seg_head.transformer_decoder.query_embed",
    _PREDICTOR + r"input_proj\.": "sem_seg_head.transformer_decoder.input_proj.",
    _PREDICTOR + r"transformer\.decoder\.norm\.": "sem_seg_head.transformer_decoder.norm.",
    _LAYER + r"self_attn\.": _OURS + "self_attention.",
    _LAYER + r"multihead_attn\.": _OURS + "cross_attention.",
    _LAYER + r"linear1\.": _OURS + "ffn.0.",
    _LAYER + r"linear2\.": _OURS + "ffn.3.",
    _LAYER + r"norm1\.": _OURS + "self_attention_norm.",
    _LAYER + r"norm2\.": _OURS + "cross_attention_norm.",
    _LAYER + r"norm3\.": _OURS + "ffn_norm.",
    **{
        f"{_PREDICTOR}mask_embed\\.layers\\.{n}\\.": f"sem_seg_head.mask_embed.{2 * n}."
        for n in (0, 1, 2)
    },
}
HEAD_DROPS = {
    r"criterion\.empty_weight$": "the class weights of the loss, which are configured",
    r".*\.num_batches_tracked$": "a counter that frozen norms do not have",
}
_RENAMES = HEAD_RENAMES | {_PREDICTOR + r"class_embed\.": "sem_seg_head.class_scores.classifier."}
# number of classes -> whose they are, split, test set, shorter and longer side of its photos
_TESTED: dict[int, tuple[str, str, str, int, int]] = {
    171: ("COCO-Stuff", "coco_stuff", "coco_stuff_zs_val", 640, 2560),
    150: ("ade20k_150", "ade20k_150", "ade20k_150_val", 512, 2048),
    19: ("cityscapes_19", "cityscapes_19", "cityscapes_19_val", 1024, 2048),
}
# shorter and longest side of the photos in the published tests, by the number of classes
_SIDES = {classes: row[3:] for classes, row in _TESTED.items()} | {65: (2048, 2048)}  # 65: Vistas
NUM_HEADS = 8


def matches(state: Mapping[str, Tensor]) -> bool:
    return any(name.startswith("sem_seg_head.predictor.") for name in state)


def convert(state: Mapping[str, Tensor], options: Options) -> Conversion:
    """The whole model. Raises UserError for another network or an unknown number of classes."""
    options.check_read(SOURCE, "names", "multi_grid")
    state = with_pixel_decoder(state)
    weights, dropped = translate(state, _RENAMES, HEAD_DROPS, SOURCE)
    return supervised(SOURCE, weights, dropped, options)


def with_pixel_decoder(state: Mapping[str, Tensor]) -> Weights:
    """Names of the first state version get the "pixel_decoder." that they lack.

    Raises:
        UserError: a tensor is there both with and without it.
    """
    old = r"sem_seg_head\.(?=adapter_|layer_|mask_features)"
    named = {re.sub("^" + old, "sem_seg_head.pixel_decoder.", k): v for k, v in state.items()}
    if len(named) < len(state):
        raise UserError("it holds tensors both with and without pixel_decoder.: remove one of each")
    return named


def supervised(
    source: str, weights: Weights, dropped: dict[str, list[str]], options: Options
) -> Conversion:
    """The model with a linear classifier of K classes, from weights by our names."""
    model, assumed = network_config(weights, options)
    num_classes = shape(weights, "sem_seg_head.class_scores.classifier.weight", 2)[0] - 1
    model["SEM_SEG_HEAD"] |= {"CLASSIFIER": "linear", "NUM_CLASSES": num_classes}
    model["ENSEMBLE"] = {"MODE": "head"}
    model["CLIP"] = {"NAME": "embedded"}  # whose answers play no part
    own_classes = options.names is not None or num_classes not in _TESTED
    train: list[str] = []
    test: list[str] = []
    if own_classes:
        classes, data_set = _given_names(options, num_classes), "--names"
    else:
        data_set, split, tested, *_ = _TESTED[num_classes]
        classes, train, test = get_split(split).names, [f"{split}_supervised_train"], [tested]
    assumed.append(f"{num_classes} classes in the order of {data_set}: the file has no names")
    if data_set == "COCO-Stuff":
        assumed.append(
            f"DATASETS.TEST {tested}, photos of COCO-Stuff-164k; the published models are of "
            "COCO-Stuff-10k, and so are their scores"
        )
    config = as_published(model, assumed, train, test, *_SIDES.get(num_classes, (512, 2048)))
    if num_classes not in _SIDES:
        assumed.append(
            f"the size of the photos is that of ADE20K's tests; which one a model of {num_classes} "
            "classes was published with is not known here"
        )
    licence = "MaskFormer's weights are CC BY-NC 4.0: no commercial use"
    return Conversion(
        source, weights, config, dropped, assumed, classes, own_classes, licence=licence
    )


def network_config(
    weights: Mapping[str, Tensor], options: Options
) -> tuple[dict[str, Any], list[str]]:
    """The keys of MODEL that the weights of backbone and head decide, and what was assumed."""
    model, assumed = resnet_config(weights, options)
    decoder = "sem_seg_head.transformer_decoder."
    queries, dim = shape(weights, decoder + "query_embed", 2)
    mask_dim, conv_dim = shape(weights, "sem_seg_head.pixel_decoder.mask_features.weight", 4)[:2]
    model |= {
        "META_ARCHITECTURE": "ZSKNet",
        "PIXEL_MEAN": [123.675, 116.28, 103.53],
        "PIXEL_STD": [58.395, 57.12, 57.375],
        "SEM_SEG_HEAD": {
            "NAME": "ZSMaskFormerHead",
            "IN_FEATURES": ["res2", "res3", "res4", "res5"],
            "NORM": "GN",
        },
        "MASK_FORMER": {
            "NUM_QUERIES": queries,
            "DIM": dim,
            "NUM_LAYERS": count(weights, re.escape(decoder) + r"layers\.(\d+)\."),
            "NUM_HEADS": NUM_HEADS,
            "DIM_FEEDFORWARD": shape(weights, decoder + "layers.0.ffn.0.weight", 2)[0],
            "CONV_DIM": conv_dim,
            "MASK_DIM": mask_dim,
        },
    }
    assumed += [
        f"MODEL.MASK_FORMER.NUM_HEADS {NUM_HEADS}, as published",
        "MODEL.PIXEL_MEAN and PIXEL_STD of ImageNet, red first, as published",
    ]
    return model, assumed


def as_published(
    model: dict[str, Any],
    assumed: list[str],
    train: list[str],
    test: list[str],
    shortest: int,
    longest: int,
) -> dict[str, Any]:
    """The configuration, with photos as the public code takes them in its tests.

    Adds sentences about the keys of a test that no tensor shows to `assumed`.
    """
    config = {
        "MODEL": model,
        "DATASETS": {"TRAIN": train, "TEST": test},
        "INPUT": {"MIN_SIZE_TEST": shortest, "MAX_SIZE_TEST": longest},
        "TEST": {"SIZE_DIVISIBILITY": 32, "VOTES_AT": "photo"},
    }
    assumed += [
        f"{key} {value}, as published"
        for parts, value in flat(config)
        if (key := ".".join(parts)).startswith(("INPUT.", "TEST."))
        or parts[-1] in ("TEMPERATURE", "EMPTY", "CROP_ANTIALIAS")
    ]
    return config


def _given_names(options: Options, num_classes: int) -> tuple[str, ...]:
    if options.names is None:
        raise UserError(
            f"its classifier has {num_classes} classes, whose order is known here for "
            f"{', '.join(map(str, _TESTED))} classes only: give their names in the order of the "
            "training with --names FILE"
        )
    if len(options.names) != num_classes:
        raise UserError(
            f"its classifier has {num_classes} classes, but --names has {len(options.names)}: give "
            "one name per class, in the order of the training"
        )
    make_vocabulary(options.names)  # refuses a name that is given twice
    return tuple(options.names)
