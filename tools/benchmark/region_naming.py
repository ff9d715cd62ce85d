#!/usr/bin/env python
"""How often an encoder names a region right, given its true mask.

python tools/benchmark/region_naming.py --encoder embedded --prompts single vild

Every class of every labelled photo that covers 0.5 % of it or more is one region. The choice is
among the names that occur in the photos, and once more among the 27 with the most regions. The
photos are laid out as COCO's: coco/train2017 and coco/stuffthingmaps/train2017.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

# a checkout works as it is, without being installed
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "datasets")]

import zsk  # isort: skip  # noqa: F401, E402  (first: it makes Detectron2 importable)
import numpy as np  # noqa: E402
import torch  # noqa: E402
from preparation.tables import coco_stuff_value_table, to_joint_ids  # noqa: E402
from torch import Tensor  # noqa: E402

from zsk.classification.build import build_encoder  # noqa: E402
from zsk.classification.crops import masked_crops  # noqa: E402
from zsk.classification.encoder import VisionLanguageEncoder  # noqa: E402
from zsk.classification.prompts import TEMPLATES, get_templates  # noqa: E402
from zsk.classification.text_classifier import TextClassifier  # noqa: E402
from zsk.data.images import read_image  # noqa: E402
from zsk.data.label_files import read_label  # noqa: E402
from zsk.data.splits import get_split  # noqa: E402
from zsk.errors import UserError, run_cli  # noqa: E402
from zsk.vocabulary import IGNORE_LABEL  # noqa: E402

PHOTOS = Path(__file__).resolve().parents[3] / "shared" / "data"
SMALLEST_SHARE = 0.005
COMMONEST = 27


def main() -> None:
    parser = argparse.ArgumentParser(description="How often regions are named right.")
    parser.add_argument("--encoder", default="embedded", help="as MODEL.CLIP.NAME")
    parser.add_argument("--prompts", nargs="+", default=["single"], choices=sorted(TEMPLATES))
    parser.add_argument(
        "--data",
        default=os.environ.get("DETECTRON2_DATASETS", os.environ.get("ZSK_REAL_DATA", PHOTOS)),
        help="folder that holds coco/ (default: $DETECTRON2_DATASETS, here %(default)s)",
    )
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    encoder = build_encoder(args.encoder, args.device)
    features, labels, occurring = encode_regions(encoder, Path(args.data) / "coco")
    counts = torch.bincount(labels, minlength=IGNORE_LABEL)
    commonest = counts.argsort(descending=True, stable=True)[: min(COMMONEST, len(occurring))]
    print(f"{len(labels)} regions; right in % (among the five best in %)")
    for prompts in args.prompts:
        classifier = TextClassifier(encoder, get_templates(prompts))
        text = classifier(get_split("coco_stuff"))
        for names in (occurring, commonest):
            result = accuracy(features, labels, text, names)
            print(f"{prompts:9s} {len(names):4d} names  {result}")


def encode_regions(encoder: VisionLanguageEncoder, folder: Path) -> tuple[Tensor, Tensor, Tensor]:
    """All regions' features (R,E) and class ids (R,), and the ids that occur at all, sorted."""
    features, labels, occurring = [], [], set()
    for image, sem_seg in photos(folder):
        ids, counts = sem_seg.unique(return_counts=True)
        occurring.update(ids.tolist())
        kept = ids[(counts >= SMALLEST_SHARE * sem_seg.numel()) & (ids != IGNORE_LABEL)]
        masks = (sem_seg == kept[:, None, None]).to(encoder.device)
        pixels = encoder.normalised(image).to(encoder.device)
        features.append(encoder.encode_image(masked_crops(pixels, masks, encoder)))
        labels.append(kept)
    occurring.discard(IGNORE_LABEL)
    return torch.cat(features), torch.cat(labels), torch.tensor(sorted(occurring))


def photos(folder: Path) -> Iterator[tuple[Tensor, Tensor]]:
    """(3,H,W) float RGB in 0–255 and (H,W) int64 ids into the split coco_stuff."""
    files = sorted((folder / "train2017").glob("*.jpg"))
    if not files:
        raise UserError(
            f"there are no photos in {folder / 'train2017'}: set DETECTRON2_DATASETS or --data to "
            "the folder that holds coco/"
        )
    table = coco_stuff_value_table()
    for file in files:
        label_file = folder / "stuffthingmaps" / "train2017" / f"{file.stem}.png"
        ids = to_joint_ids(read_label(label_file), table, label_file)
        image = torch.from_numpy(read_image(file)).permute(2, 0, 1).float()
        yield image, torch.from_numpy(ids.astype(np.int64))


def accuracy(features: Tensor, labels: Tensor, text: Tensor, names: Tensor) -> str:
    """Share of the regions of `names` whose own name is the best (among the five best) of them."""
    kept = torch.isin(labels, names)
    scores = features[kept] @ text[names].T
    ranked = names[scores.argsort(dim=1, descending=True).cpu()]
    right = ranked == labels[kept, None]
    return (
        f"{100 * right[:, 0].float().mean():.1f} ({100 * right[:, :5].any(1).float().mean():.1f})"
    )


if __name__ == "__main__":
    run_cli(main)
