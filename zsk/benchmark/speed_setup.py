"""What the speed benchmark needs before it starts: how large it is, a CLIP, a trained model."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import torch
from training.small_clip import ClipSizes, new_clip, save  # type: ignore[import-not-found]

from zsk.classification.clip_encoder import find_weights
from zsk.data.synthetic import files as synthetic
from zsk.errors import UserError

from . import speed_cases as cases
from .speed_cases import ROOT, ZS_MASKFORMER, ZSK
from .speed_plan import Extent

CLIP_NAME = "ViT-B/16"
VIT_B16 = ClipSizes(512, 224, 12, 768, 16, 77, 512, 12)
TINY = ClipSizes(32, 32, 2, 64, 16, 32, 64, 1)
EMBEDDED = "configs/embedded/zsk_lite2.yaml"
SAMPLES = ("chelsea.png", "coffee.png")  # in the scikit-image package
SYNTHETIC_PHOTOS = 16  # of a synthetic folder; they are small

_TINY_NETWORK = (
    *("MODEL.BACKBONE.NAME", "build_timm_backbone", "MODEL.TIMM.NAME", "test_resnet"),
    *("MODEL.TIMM.FREEZE", "none", "SOLVER.AMP.ENABLED", "False", "INPUT.MIN_SIZE_TEST", "96"),
)
_TINY_KERNELS = (
    *("MODEL.KERNELS.NUM_KERNELS", "6", "MODEL.KERNELS.DIM", "32"),
    *("MODEL.KERNELS.NUM_STAGES", "1", "MODEL.KERNELS.DIM_FEEDFORWARD", "32"),
    *("MODEL.SEM_SEG_HEAD.ASPP_CHANNELS", "32"),
)
_TINY_QUERIES = (
    *("MODEL.MASK_FORMER.NUM_QUERIES", "6", "MODEL.MASK_FORMER.DIM", "32"),
    *("MODEL.MASK_FORMER.NUM_LAYERS", "1", "MODEL.MASK_FORMER.DIM_FEEDFORWARD", "32"),
    *("MODEL.MASK_FORMER.CONV_DIM", "32", "MODEL.MASK_FORMER.MASK_DIM", "16"),
)
QUICK = Extent(
    opts=_TINY_NETWORK,
    head_opts={ZSK: _TINY_KERNELS, ZS_MASKFORMER: _TINY_QUERIES},
    photo=(128, 160),
    voc_photo=(48, 64),
    batches=(1, 2),
    train_side=128,
    usual={cases.PROPOSALS: 6, cases.NAMES: 20, cases.STAGES: 1},
    proposals=(4, 6, 8),
    crop_proposals=(4, 6),
    names=(20, 40),
    sides=(128, 160),
    stages=(0, 1),
    repeats=2,
    train_repeats=2,
    fast_repeats=2,
    slow_repeats=1,
)
"""Shows that everything works, in seconds; the numbers mean nothing."""


def clip_weights(quick: bool, folder: Path) -> tuple[str, bool]:
    """A value for MODEL.CLIP.NAME: the published weights if they are there, else random ones.

    The second value says whether they are random.

    Random ones go to a file in `folder`, of ViT-B/16's numbers or, with `quick`, tiny: time does
    not depend on the values.
    """
    if not quick:
        try:
            return str(find_weights(CLIP_NAME)), False
        except UserError:
            pass
    file = folder / "random_clip.pt"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save(new_clip(TINY if quick else VIT_B16).state_dict(), file)
    return str(file), True


def photo_files(given: Sequence[str]) -> list[str]:
    """The files of --photos: without any those of scikit-image; of synthetic folders the first.

    Raises:
        UserError: one does not exist, or scikit-image is not there.
    """
    if not given:
        spec = importlib.util.find_spec("skimage")
        if spec is None or spec.origin is None:
            raise UserError("the trained model is measured on scikit-image's photos: give --photos")
        return [str(Path(spec.origin).parent / "data" / name) for name in SAMPLES]
    files = []
    for path in given:
        if synthetic.is_synthetic(path):
            listed = synthetic.list_folder(path)
            if not listed:
                raise UserError(f"--photos {path} is no folder: give synthetic:val/photos")
            files += sorted(listed.values())[:SYNTHETIC_PHOTOS]
        else:
            files.append(existing_file(path))
    return files


def existing_file(file: str) -> str:
    """The absolute path of a file, from here or from the checkout. Raises UserError."""
    for folder in (Path.cwd(), ROOT):
        if (folder / file).is_file():
            return str(folder / file)
    raise UserError(f"{file} does not exist: give files with --trained, --weights and --photos")
