"""ZS-MaskFormer of zsseg.baseline (Xu et al., ECCV 2022), and its learned prompts alone."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from zsk.classification.build import build_encoder
from zsk.classification.encoder import VisionLanguageEncoder
from zsk.classification.learned_prompts import LearnedPrompts
from zsk.data.splits import get_split
from zsk.errors import UserError

from .conversion import NO_CLASSES, Conversion, Options, checked, shape, translate
from .maskformer import (
    HEAD_DROPS,
    HEAD_RENAMES,
    as_published,
    network_config,
    with_pixel_decoder,
)

SOURCE = "ZS-MaskFormer (zsseg.baseline)"
PROMPTS_SOURCE = "learned prompts of zsseg.baseline"
# seen classes -> split, λ, template where no prompt is learned, sides of the photos in its tests
_TRAINED = {15: ("voc", 0.7, "sculpture", 512, 2048), 156: ("coco_stuff", 0.8, "vild", 640, 2560)}
_PUBLISHED_CLIP: dict[tuple[int, ...], str] = {
    (768, 3, 16, 16): "ViT-B/16",
    (768, 3, 32, 32): "ViT-B/32",
}  # by first layer
CROSS_DATASET = (
    "the published test on ADE20K has MODEL.ENSEMBLE.LAMBDA 0.5, INPUT.MIN_SIZE_TEST 512 and "
    "MAX_SIZE_TEST 2048 (give these there), and Detectron2's names of the classes; that on Pascal "
    "Context cannot be repeated: it weighs every class as an unseen one"
)
_QUERIES, _REGIONS = "clip_adapter.", "_region_clip_adapter."
_KEYS = {_QUERIES: "PROMPT", _REGIONS: "REGION_PROMPT"}
_RENAMES = HEAD_RENAMES | {
    r"sem_seg_head\.predictor\.class_embed\.layers\.0\.": "sem_seg_head.class_scores.embedding.0.",
    r"sem_seg_head\.predictor\.class_embed\.layers\.1\.": "sem_seg_head.class_scores.embedding.2.",
    r"sem_seg_head\.predictor\.class_embed\.layers\.2\.": "sem_seg_head.class_scores.embedding.4.",
    r"clip_adapter\.non_object_embedding$": "sem_seg_head.class_scores.no_object",
}
_ADAPTER = r"(_region_)?clip_adapter\."
_DROPS = HEAD_DROPS | {
    _ADAPTER + r"clip_model\.": "CLIP itself, which MODEL.CLIP.NAME has",
    _ADAPTER + r"pixel_(mean|std)$": "CLIP's pixel mean and deviation, which come with CLIP",
    _ADAPTER + r"prompt_learner\.(prefix|suffix)_prompt$": "learned prompts, in files of their own",
    _ADAPTER + r"prompt_learner\.\w+_signal$": "token embeddings, which CLIP has",
    r"_region_clip_adapter\.non_object_embedding$": "no-object of the regions: their softmax is "
    "without it",
}


def matches(state: Mapping[str, Tensor]) -> bool:
    return any(name.startswith((_QUERIES, _REGIONS)) for name in state)


def convert(state: Mapping[str, Tensor], options: Options) -> Conversion:
    """The whole model with its prompts, or the prompts of a file without a network."""
    if not any(name.startswith("sem_seg_head.") for name in state):
        return _prompts_alone(state, options)
    state = with_pixel_decoder(state)
    weights, dropped = translate(state, _RENAMES, _DROPS, SOURCE)
    model, assumed = network_config(weights, options)
    split, lam, template, *sizes = _training(state)
    encoder, clip_name = _encoder(state, options, assumed)
    classes = get_split(split).seen_only()
    own = [*classes.names, *classes.prompt_names]
    prompts = _prompts(state, own if options.trained_on is None else options.trained_on)
    if prompts:
        options.check_read(SOURCE, "clip", "multi_grid", "trained_on")
    else:
        options.check_read(f"{SOURCE} without learned prompts", "clip", "multi_grid")
    model["SEM_SEG_HEAD"] |= {"CLASS_HIDDEN_DIMS": _hidden_dims(weights), "TEMPERATURE": 100.0}
    model["CLIP"] = {"NAME": clip_name, "TEMPERATURE": 100.0, "CROP_ANTIALIAS": False}
    model["CLIP"] |= {_KEYS[a]: "learned" for a in _KEYS if f"MODEL.CLIP.{_KEYS[a]}" in prompts}
    if "PROMPT" not in model["CLIP"]:
        model["CLIP"]["PROMPT"] = template
        assumed.append(f"MODEL.CLIP.PROMPT {template}, as published without a learned prompt")
    model["ENSEMBLE"] = {"LAMBDA": lam, "EMPTY": "one"}
    assumed.append(f"trained on {split}, by the number of classes; MODEL.ENSEMBLE.LAMBDA {lam}")
    if split == "coco_stuff" and not prompts:
        assumed.append(CROSS_DATASET)
    config = as_published(model, assumed, [f"{split}_zs_train"], [f"{split}_zs_val"], *sizes)
    assumed.append(
        "prompts take a split's prompt_names; the published numbers are those of the benchmark's "
        "names, DATASETS.PROMPT_NAMES False"
    )
    return Conversion(
        SOURCE,
        weights,
        config,
        dropped,
        assumed,
        classes.names,
        prompts=prompts,
        encoder=encoder,
        licence="the weights of zsseg.baseline build on MaskFormer's (CC BY-NC 4.0): ask before "
        "any commercial use",
    )


def _prompts_alone(state: Mapping[str, Tensor], options: Options) -> Conversion:
    assumed: list[str] = []
    prompts = _prompts(state, options.trained_on or ())
    if not prompts:
        raise UserError("it holds CLIP, but neither a network nor learned prompts: give another")
    options.check_read(PROMPTS_SOURCE, "clip", "trained_on")
    encoder, _ = _encoder(state, options, assumed)
    if not options.trained_on:
        assumed.append(NO_CLASSES)
    drops = {**_DROPS, "": "parts of the training of the prompts"}
    _, dropped = translate(state, {}, drops, PROMPTS_SOURCE)
    return Conversion(PROMPTS_SOURCE, {}, {}, dropped, assumed, prompts=prompts, encoder=encoder)


def _training(state: Mapping[str, Tensor]) -> tuple[str, float, str, int, int]:
    """What is published for the number of seen classes."""
    seen = shape(state, "criterion.empty_weight", 1)[0] - 1
    if seen not in _TRAINED:
        raise UserError(
            f"it was trained on {seen} classes, but the published models have seen 15 (VOC) or 156 "
            "(COCO-Stuff): no other model is converted"
        )
    return _TRAINED[seen]


def _hidden_dims(weights: Mapping[str, Tensor]) -> list[int]:
    names = [f"sem_seg_head.class_scores.embedding.{n}.weight" for n in (0, 2, 4)]
    return [shape(weights, name, 2)[0] for name in names if name in weights][:-1]


def _prompts(state: Mapping[str, Tensor], trained_on: Sequence[str]) -> dict[str, LearnedPrompts]:
    """Learned prompts by the key of the configuration that takes their file.

    The dot that follows the name becomes the last vector of the suffix.
    """
    prompts = {}
    for adapter, key in _KEYS.items():
        learner = adapter + "prompt_learner."
        names = [f"{learner}prefix_prompt", f"{learner}suffix_prompt"]
        given = [name for name in names if name in state]
        if not given:
            continue
        dots, width = shape(state, learner + "dot_signal", 2)
        if dots != 1 or any(shape(state, name, 2)[1] != width for name in given):
            raise UserError("its learned prompts and its token embeddings, the dot's, do not fit")
        dot = checked(learner + "dot_signal", state[learner + "dot_signal"])
        prefix, suffix = (checked(name, state.get(name, dot[:0])) for name in names)
        learned = LearnedPrompts(prefix, torch.cat([suffix, dot]), trained_on)
        prompts[f"MODEL.CLIP.{key}"] = learned
    return prompts


def _encoder(
    state: Mapping[str, Tensor], options: Options, assumed: list[str]
) -> tuple[VisionLanguageEncoder, str]:
    """The CLIP in the file, compared with the user's, and the name of the latter.

    Raises:
        UserError: there is none in the file, or it differs from that of the regions or the user's.
    """
    own, regional = (_clip(state, adapter) for adapter in (_QUERIES, _REGIONS))
    own = own or regional
    if not own:
        raise UserError("it lacks the CLIP that the published files hold: give the whole file")
    if regional and (
        own.keys() != regional.keys()
        or not all(torch.equal(own[name].float(), regional[name].float()) for name in own)
    ):
        raise UserError(
            "it holds two CLIPs that differ, for queries and for regions, but a model here has one"
        )
    encoder = _built(own)
    name = options.clip or _PUBLISHED_CLIP.get(shape(own, "visual.conv1.weight", 4), "")
    if not name:
        raise UserError("it holds a CLIP that is not ViT-B/16 or ViT-B/32: name its file, --clip")
    try:
        users = build_encoder(name)
    except UserError as error:
        if options.clip:
            raise
        assumed.append(f"MODEL.CLIP.NAME {name} is the CLIP in the file: not compared ({error})")
        return encoder, name
    if users.fingerprint() != encoder.fingerprint():
        raise UserError(f"the CLIP in the file is not {name} (--clip): name the one it came with")
    return encoder, name


def _clip(state: Mapping[str, Tensor], adapter: str) -> dict[str, Tensor]:
    prefix = f"{adapter}clip_model."
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def _built(clip: dict[str, Tensor]) -> VisionLanguageEncoder:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "clip.pt")
        torch.save(clip, file)
        try:
            return build_encoder(f"openai:{file}")
        except UserError as error:  # which names the file in the folder
            raise UserError("the CLIP in it is not complete: give the whole file") from error
