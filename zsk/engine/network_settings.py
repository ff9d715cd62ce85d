"""Settings that decide what a network computes, but not the shapes of its weights.

Weights that were trained with another value load without an error and score wrong, so a checkpoint
notes the values of its training.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import nn
from torch.nn import functional as F

from zsk.backbones.clip_backbone import ClipBackbone
from zsk.classification.encoder import VisionLanguageEncoder
from zsk.data.vocabularies import get_vocabulary
from zsk.engine.checkpoint import learned_keys
from zsk.errors import UserError
from zsk.settings.key_checks import all_keys

logger = logging.getLogger(__name__)

NETWORK_KEYS = """
MODEL.PIXEL_MEAN MODEL.PIXEL_STD MODEL.PIXEL_ORDER
MODEL.RESNETS.STRIDE_IN_1X1 MODEL.RESNETS.RES4_DILATION MODEL.RESNETS.RES5_DILATION
MODEL.RESNETS.RES5_MULTI_GRID MODEL.TIMM.NAME MODEL.TIMM.OUTPUT_STRIDE MODEL.CLIP.BACKBONE_SCALE
MODEL.SEM_SEG_HEAD.NAME
MODEL.SEM_SEG_HEAD.IN_FEATURES MODEL.SEM_SEG_HEAD.FINE_FEATURE MODEL.SEM_SEG_HEAD.CLASS_FEATURES
MODEL.SEM_SEG_HEAD.ASPP_DILATIONS MODEL.SEM_SEG_HEAD.TEMPERATURE
MODEL.KERNELS.NUM_HEADS MODEL.KERNELS.GATHER_ACTIVATION MODEL.KERNELS.GATHER_REDUCTION
MODEL.KERNELS.MASK_UPDATE MODEL.KERNELS.INIT MODEL.KERNELS.INIT_BIAS MODEL.KERNELS.CLUSTER_COUNTS
MODEL.KERNELS.CLUSTER_FEATURES MODEL.KERNELS.CLUSTER_LOGIT MODEL.MASK_FORMER.NUM_HEADS
MODEL.SYNTHESIS.POSITION
""".split()
CLASSES = "classes"  # a linear classifier's columns have no names of their own
TEXT_SPACE = "text_space"  # `VisionLanguageEncoder.probe` of the texts that a head learned to match
SAME_SPACE = 0.999  # cosine; half precision and the rounding of the note cost 1e-5
IMAGE_TOWER = "image_tower"  # the encoder's fingerprint, where its image tower is the backbone


def encoder_of(model: nn.Module) -> VisionLanguageEncoder | None:
    """The encoder whose texts a model's head is compared with, if it has one."""
    return getattr(getattr(model, "text_classifier", None), "encoder", None)


def weights_key(model: nn.Module) -> str:
    """64 hex digits that change with the weights of a model, or of its encoder."""
    digest, encoder = hashlib.sha256(), encoder_of(model)
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    digest.update((encoder.fingerprint() if encoder else "").encode())
    return digest.hexdigest()


def towers(model: nn.Module) -> dict[str, Any]:
    """The notes of a model's text tower and, with CLIP's own as the backbone, image tower."""
    found: dict[str, Any] = dict(text_space(encoder_of(model)))
    backbone = getattr(model, "backbone", None)
    if isinstance(backbone, ClipBackbone):
        found[IMAGE_TOWER] = backbone.encoder.fingerprint()
    return found


def text_space(encoder: VisionLanguageEncoder | None) -> dict[str, list[float]]:
    """The note of an encoder's text space, {} for None.

    An embedding and no hash of weights: it holds for every kind of encoder, agrees between devices
    and precisions, and stays when only the image tower is trained on.
    """
    if encoder is None:
        return {}
    return {TEXT_SPACE: [round(value, 4) for value in encoder.probe().tolist()]}


def same_text_space(one: Any, other: Any) -> bool:
    """Whether two notes of `text_space` are of the same text tower; damaged ones are of none."""
    try:
        one, other = torch.tensor(one).float(), torch.tensor(other).float()
    except (TypeError, ValueError, RuntimeError):
        return False
    if one.shape != other.shape:
        return False
    return bool(F.cosine_similarity(one, other, dim=0) >= SAME_SPACE)


def check_network_settings(cfg: CfgNode, trained: Mapping[str, Any], model: nn.Module) -> None:
    """Compare configuration and model with the notes `trained` of the checkpoint MODEL.WEIGHTS.

    Each setting that differs is logged as a warning. One without a note is not compared.

    Raises:
        UserError: the checkpoint was trained on classes that DATASETS.TRAIN calls unseen, or not
            on some that it calls seen; its linear classifier has other classes, or another order of
            them; its head compares with texts, and the encoder's are of another space than in its
            training, so that all its names would be wrong; or the same of CLIP's image tower as the
            backbone.
    """
    _check_towers(cfg, trained, model)
    path, values = cfg.MODEL.WEIGHTS, all_keys(cfg)
    for key in NETWORK_KEYS if learned_keys(model) else ():
        if key in trained and trained[key] != values[key]:
            logger.warning(
                f"weights file {path} was trained with {key} {trained[key]}, but the configuration "
                f"has {values[key]}: the scores will be wrong"
            )
    classes = trained.get(CLASSES)
    if isinstance(classes, list) and classes:
        _check_classes(cfg, classes)


def _check_classes(cfg: CfgNode, classes: Sequence[str]) -> None:
    """`classes`: those that the weights were trained on."""
    path, training = cfg.MODEL.WEIGHTS, cfg.DATASETS.TRAIN
    # a linear classifier's own names are the trained ones, and CLIP alone knows of none
    asked = cfg.MODEL.SEM_SEG_HEAD.CLASSIFIER != "linear" and cfg.MODEL.ENSEMBLE.MODE != "clip"
    if not training and asked:
        raise UserError(
            f"weights file {path} was trained on {len(classes)} classes, but DATASETS.TRAIN is "
            "empty, so that none of them would count as trained: give the data set of its training"
        )
    vocabularies = [get_vocabulary(name) for name in training]
    flags = [pair for each in vocabularies for pair in zip(each.names, each.seen)]
    wrong = [(name, seen) for name, seen in flags if seen != (name in classes)]
    if wrong:
        name, seen = wrong[0]
        raise UserError(
            f"weights file {path} was {'not ' if seen else ''}trained on {name}, which is "
            f"{'seen' if seen else 'unseen'} in DATASETS.TRAIN {', '.join(training)} ({len(wrong)} "
            "classes differ): give the data set of its training there, which tells seen from unseen"
        )
    if cfg.MODEL.SEM_SEG_HEAD.CLASSIFIER == "linear":
        for name in cfg.DATASETS.TEST or training[:1]:
            check_order(cfg, f"weights file {path}", classes, name)


def check_order(cfg: CfgNode, what: str, classes: Sequence[str], dataset: str) -> None:
    """Refuse a data set whose classes a linear classifier of `what` would mistake."""
    vocabulary = get_vocabulary(dataset, trained_on=cfg.DATASETS.TRAIN, words=True)
    names = (vocabulary.seen_only() if cfg.TEST.VOCABULARY == "seen" else vocabulary).names
    # another number of classes is refused by the classifier itself
    if len(classes) == len(names) and tuple(classes) != names:
        raise UserError(
            f"{what} has a linear classifier of the classes {', '.join(map(str, classes))}, "
            f"but the data set {dataset} has {', '.join(names)}: evaluate it on the classes of its "
            "training"
        )


def _check_towers(cfg: CfgNode, trained: Mapping[str, Any], model: nn.Module) -> None:
    file, name = cfg.MODEL.WEIGHTS, cfg.MODEL.CLIP.NAME
    here = towers(model) if {TEXT_SPACE, IMAGE_TOWER} & trained.keys() else {}
    both = here.keys() & trained.keys()
    reads_head = cfg.MODEL.ENSEMBLE.MODE != "clip" and cfg.MODEL.SEM_SEG_HEAD.CLASSIFIER == "text"
    same_texts = TEXT_SPACE not in both or same_text_space(trained[TEXT_SPACE], here[TEXT_SPACE])
    if reads_head and not same_texts:
        raise UserError(
            f"weights file {file} was trained with another text encoder than MODEL.CLIP.NAME "
            f"{name}: give the CLIP of its training (one of which only the image tower was trained "
            "on will do), or MODEL.ENSEMBLE.MODE clip, which leaves the head's names out"
        )
    if IMAGE_TOWER in both and trained[IMAGE_TOWER] != here[IMAGE_TOWER]:
        raise UserError(
            f"weights file {file} was trained on another image tower than that of MODEL.CLIP.NAME "
            f"{name}: give the CLIP of its training"
        )
