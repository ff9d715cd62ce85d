#!/usr/bin/env python
"""How often an encoder names a region right, given its true mask.

python tools/benchmark/region_naming.py --encoder embedded --prompts single vild

Every class of every labelled photo that covers 0.5 % of it or more is one region. The choice is
among the names that occur in the photos, and once more among the 27 with the most regions. The
photos are those of COCO-Stuff's train2017, or of another registered data set (--dataset).
"""

import argparse
import sys
from pathlib import Path

# a checkout works as it is, without being installed
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import zsk  # isort: skip  # noqa: F401, E402  (first: it makes Detectron2 importable)
import numpy as np  # noqa: E402
import torch  # noqa: E402
from detectron2.data import DatasetCatalog  # noqa: E402
from torch import Tensor  # noqa: E402

from zsk.classification.build import build_encoder  # noqa: E402
from zsk.classification.crops import masked_crops  # noqa: E402
from zsk.classification.encoder import VisionLanguageEncoder  # noqa: E402
from zsk.classification.prompts import TEMPLATES, get_templates  # noqa: E402
from zsk.classification.text_classifier import TextClassifier  # noqa: E402
from zsk.data.builtin import register_builtin  # noqa: E402
from zsk.data.images import read_image  # noqa: E402
from zsk.data.labels import check_label, read_joint_label  # noqa: E402
from zsk.data.vocabularies import split_metadata  # noqa: E402
from zsk.errors import run_cli  # noqa: E402
from zsk.vocabulary import ignore_label  # noqa: E402

SMALLEST_SHARE = 0.005
COMMONEST = 27


def main() -> None:
    parser = argparse.ArgumentParser(description="How often regions are named right.")
    parser.add_argument("--encoder", default="embedded", help="as MODEL.CLIP.NAME")
    parser.add_argument("--prompts", nargs="+", default=["single"], choices=sorted(TEMPLATES))
    parser.add_argument(
        "--dataset", default="coco_stuff_supervised_train", help="default: %(default)s"
    )
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    encoder = build_encoder(args.encoder, args.device)
    register_builtin()
    vocabulary = split_metadata(args.dataset).vocabulary
    features, labels, occurring = encode_regions(encoder, args.dataset, len(vocabulary))
    counts = torch.bincount(labels, minlength=len(vocabulary))
    commonest = counts.argsort(descending=True, stable=True)[: min(COMMONEST, len(occurring))]
    print(f"{len(labels)} regions; right in % (among the five best in %)")
    for prompts in args.prompts:
        classifier = TextClassifier(encoder, get_templates(prompts))
        text = classifier(vocabulary)
        for names in (occurring, commonest):
            result = accuracy(features, labels, text, names)
            print(f"{prompts:9s} {len(names):4d} names  {result}")


def encode_regions(
    encoder: VisionLanguageEncoder, dataset: str, num_classes: int
) -> tuple[Tensor, Tensor, Tensor]:
    """All regions' features (R,E) and class ids (R,), and the ids that occur at all, sorted."""
    features, labels, occurring, ignore = [], [], set(), ignore_label(num_classes)
    for record in DatasetCatalog.get(dataset):
        photo, label = read_image(record["file_name"]), read_joint_label(record)
        check_label(label, record, photo.shape[:2], num_classes)
        sem_seg = torch.from_numpy(label.astype(np.int64))
        ids, counts = sem_seg.unique(return_counts=True)
        occurring.update(ids.tolist())
        kept = ids[(counts >= SMALLEST_SHARE * sem_seg.numel()) & (ids != ignore)]
        masks = (sem_seg == kept[:, None, None]).to(encoder.device)
        image = torch.from_numpy(photo).permute(2, 0, 1).float()
        pixels = encoder.normalised(image).to(encoder.device)
        features.append(encoder.encode_image(masked_crops(pixels, masks, encoder)))
        labels.append(kept)
    occurring.discard(ignore)
    return torch.cat(features), torch.cat(labels), torch.tensor(sorted(occurring))


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
