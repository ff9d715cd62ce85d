#!/usr/bin/env python
"""Five folds of the 100 photos as split files, with and without pasted photos to train on.

python tools/benchmark/photo_folds.py --output output/folds

Fold k tests on every fifth photo of datasets/photos_train.txt and photos_val.txt, from the k-th on,
and trains on the others: fold_<k>.yaml (fold_<k>_train, fold_<k>_val), and pasted_<k>.yaml, whose
training set has pasted photos besides. A pasted photo is one to train on with two to five segments
of others on it: their outlines are exact, and as many can be made as a training wants (Ghiasi et
al., CVPR 2021). No segment is cut out of unlabelled pixels or of an unseen class.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

# a checkout works as it is, without being installed
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import yaml  # noqa: E402
from PIL import Image  # noqa: E402
from scipy import ndimage  # noqa: E402
from tqdm import tqdm  # noqa: E402

from zsk.data.builtin import datasets_root  # noqa: E402
from zsk.data.images import read_image  # noqa: E402
from zsk.data.label_files import read_label  # noqa: E402
from zsk.data.listing import read_stems  # noqa: E402
from zsk.data.splits import get_split  # noqa: E402
from zsk.errors import UserError, run_cli  # noqa: E402
from zsk.files import user_path  # noqa: E402
from zsk.vocabulary import IGNORE_LABEL  # noqa: E402

FOLDS = 5
SHARES = (0.01, 0.25)  # least and most of a photo that a segment to paste covers
SEGMENTS = (2, 5)  # pasted onto a photo
SCALES = (0.5, 1.5)


class Segment(NamedTuple):
    """A connected region of one class, cut out of its photo."""

    pixels: np.ndarray  # (h,w,3) uint8
    inside: np.ndarray  # (h,w) bool
    label: int


def cut_segments(photo: np.ndarray, labels: np.ndarray) -> Iterator[Segment]:
    """The segments of a photo (H,W,3) uint8 with labels (H,W) whose share of it is in SHARES."""
    for label in np.unique(labels[labels != IGNORE_LABEL]):
        regions, _ = ndimage.label(labels == label)
        for index, box in enumerate(ndimage.find_objects(regions), start=1):
            inside = regions[box] == index
            if SHARES[0] <= inside.sum() / labels.size <= SHARES[1]:
                yield Segment(photo[box], inside, int(label))


def paste(
    photo: np.ndarray, labels: np.ndarray, segment: Segment, rng: np.random.Generator
) -> None:
    """Paste a segment, scaled, perhaps mirrored, its center on the photo; both are changed."""
    scale = rng.uniform(*SCALES)
    height, width = (max(1, round(side * scale)) for side in segment.inside.shape)
    pixels = np.asarray(Image.fromarray(segment.pixels).resize((width, height)))
    inside = np.asarray(
        Image.fromarray(segment.inside).resize((width, height), Image.Resampling.NEAREST)
    )
    if rng.random() < 0.5:
        pixels, inside = pixels[:, ::-1], inside[:, ::-1]
    top = int(rng.integers(photo.shape[0])) - height // 2
    left = int(rng.integers(photo.shape[1])) - width // 2
    rows, columns = np.nonzero(inside)
    on = (rows + top >= 0) & (columns + left >= 0)
    on &= (rows + top < photo.shape[0]) & (columns + left < photo.shape[1])
    rows, columns = rows[on], columns[on]
    photo[rows + top, columns + left] = pixels[rows, columns]
    labels[rows + top, columns + left] = segment.label


def main() -> None:
    args = parse_arguments()
    coco = Path(os.path.abspath(datasets_root())) / "coco"
    lists = (ROOT / f"datasets/photos_{part}.txt" for part in ("train", "val"))
    stems = sorted(stem for file in lists for stem in read_stems(file))
    for fold in range(1, FOLDS + 1):
        test = stems[fold - 1 :: FOLDS]
        train = [stem for stem in stems if stem not in test]
        write_fold(Path(os.path.abspath(args.output)), fold, train, test, coco, args.pasted)
    print(f"{FOLDS} folds, each with {args.pasted} pasted photos")


def write_fold(
    output: Path, fold: int, train: Sequence[str], test: Sequence[str], coco: Path, count: int
) -> None:
    """The two split files of a fold, their lists, and a folder of photos and labels."""
    folder = output / f"photos_{fold}"
    photos, labels = coco / "train2017", coco / "zsk/train2017_seen"
    link_files([photos / f"{stem}.jpg" for stem in train], folder / "photos")
    link_files([labels / f"{stem}.png" for stem in train], folder / "labels")
    pasted = write_pasted(folder, train, count, np.random.default_rng(fold))
    for name, listed in ((f"fold_{fold}", train), (f"pasted_{fold}", [*train, *pasted])):
        for part, stems in (("train", listed), ("val", test)):
            (output / f"{name}_{part}.txt").write_text("\n".join(stems), encoding="utf-8")
        description = yaml.safe_dump(describe_split(name, folder.name, coco), sort_keys=False)
        (output / f"{name}.yaml").write_text(description, encoding="utf-8")


def link_files(files: Sequence[Path], folder: Path) -> None:
    """Links below `folder`, with the names of the files."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        if not file.exists():
            raise UserError(f"{file} does not exist: run datasets/prepare_coco_stuff.py first")
        link = folder / file.name
        if link.is_symlink():
            link.unlink()
        elif link.exists():
            raise UserError(f"{link} is in the way: give an empty folder (--output)")
        link.symlink_to(file)


def describe_split(name: str, folder: str, coco: Path) -> dict[str, Any]:
    """The content of <name>.yaml: its training data are in `folder`, its classes COCO-Stuff's."""
    split = get_split("coco_stuff")
    return {
        "name": name,
        "train": {
            "images": f"{folder}/photos",
            "labels": f"{folder}/labels",
            "file_list": f"{name}_train.txt",
        },
        "val": {
            "images": str(coco / "train2017"),
            "labels": str(coco / "zsk/train2017"),
            "file_list": f"{name}_val.txt",
        },
        "label_orientation": "displayed",
        "classes": list(split.names),
        "unseen": [name for name, seen in zip(split.names, split.seen) if not seen],
        "prompt_names": dict(zip(split.names, split.prompt_names)),
    }


def write_pasted(
    folder: Path, stems: Sequence[str], count: int, rng: np.random.Generator
) -> list[str]:
    """Write `count` pasted photos and their labels below `folder`; returns their stems."""
    photos = [read_image(folder / "photos" / f"{stem}.jpg") for stem in stems]
    labels = [read_label(folder / "labels" / f"{stem}.png") for stem in stems]
    segments = [cut for pair in zip(photos, labels) for cut in cut_segments(*pair)]
    written = [f"pasted_{i}" for i in range(count)]
    for stem in tqdm(written, desc=folder.name, disable=not count):
        source = int(rng.integers(len(stems)))
        photo, label = photos[source].copy(), labels[source].copy()
        for _ in range(int(rng.integers(SEGMENTS[0], SEGMENTS[1] + 1))):
            paste(photo, label, segments[int(rng.integers(len(segments)))], rng)
        Image.fromarray(photo).save(folder / "photos" / f"{stem}.jpg", quality=95)
        Image.fromarray(label).save(folder / "labels" / f"{stem}.png")
    return written


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--pasted", type=int, default=400, help="photos of a fold (default: %(default)s)"
    )
    parser.add_argument("--output", type=user_path, required=True, help="folder")
    args = parser.parse_args()
    if args.pasted < 0:
        raise UserError(f"--pasted {args.pasted}: give 0 or more")
    return args


if __name__ == "__main__":
    run_cli(main)
