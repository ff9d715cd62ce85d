"""Builds VOC's augmented labels and lists from the originals: Pascal VOC 2012 and SBD.

SBD (Semantic Boundaries Dataset) labels more of VOC's photos with VOC's own values. Letters: H×W.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from preparation.files import write_stems
from preparation.labels import prepare_labels
from preparation.readers import read_sbd_label
from preparation.tables import value_table

from zsk.data.label_files import read_label
from zsk.data.listing import LABEL_SUFFIX, read_stems
from zsk.errors import UserError

AUGMENTED_FOLDER = "SegmentationClassAug"
SBD_SUFFIX = ".mat"


@dataclass(frozen=True)
class AugmentedSet:
    """The augmented set below `root`: what is listed, and the file that each label comes from."""

    root: Path
    stems: dict[str, list[str]]  # "train" and "val", sorted, no stem in both
    sources: dict[str, Path]  # stem → VOC's own PNG or SBD's .mat

    @property
    def folder(self) -> Path:
        return self.root / AUGMENTED_FOLDER


def find_augmented_set(root: Path, sbd: Path) -> AugmentedSet:
    """List the augmented set and find every label, without reading any.

    Training is VOC's train and SBD's train and val, less VOC's val; validation is VOC's val.
    VOC's own annotation is taken where there is one, SBD's otherwise.

    Args:
        root: the folder VOC2012, with SegmentationClass and ImageSets/Segmentation.
        sbd: SBD's folder benchmark_RELEASE, or the folder around it, or the one `dataset` in it.

    Raises:
        UserError: naming the file or folder that is missing, or the list `root`/train.txt or
            val.txt that is there already but lists other images.
    """
    sbd = _sbd_dataset(sbd)
    lists = root / "ImageSets" / "Segmentation"
    own = {part: set(read_stems(lists / f"{part}.txt")) for part in ("train", "val")}
    more = {stem for part in ("train", "val") for stem in read_stems(sbd / f"{part}.txt")}
    stems = {"train": sorted((own["train"] | more) - own["val"]), "val": sorted(own["val"])}
    for part, wanted in stems.items():
        _check_list(root / f"{part}.txt", wanted)
    listed_by_voc = own["train"] | own["val"]
    sources = {
        stem: _find_label(root, sbd, stem, listed_by_voc=stem in listed_by_voc)
        for part in stems.values()
        for stem in part
    }
    return AugmentedSet(root, stems, sources)


def build_augmented_set(augmented: AugmentedSet, *, workers: int) -> None:
    """Write SegmentationClassAug, then train.txt and val.txt, as far as they are missing.

    The lists come last: where they are there, all labels are. Labels hold VOC's values, 0–20 and
    255, as 8-bit grey PNGs.

    Raises:
        UserError: naming the file, when a label is unreadable or holds a value that VOC does not
            have, or when something cannot be written.
    """
    sources = [augmented.sources[stem] for stem in sorted(augmented.sources)]
    prepare_labels(
        sources,
        value_table(range(21)),  # each value stays as it is
        "voc_20b",
        joint_folder=augmented.folder,
        workers=workers,
        read=_read_original,
    )
    for part, stems in augmented.stems.items():
        path = augmented.root / f"{part}.txt"
        if not path.exists():
            write_stems(path, stems)


def _sbd_dataset(folder: Path) -> Path:
    """The folder of SBD that holds cls, train.txt and val.txt."""
    for inner in ("", "dataset", "benchmark_RELEASE/dataset"):
        if (folder / inner / "cls").is_dir():
            return folder / inner
    raise UserError(
        f"{folder} holds no dataset/cls: give the folder benchmark_RELEASE of SBD "
        "(datasets/README.md)"
    )


def _check_list(path: Path, wanted: list[str]) -> None:
    """Raise a UserError when the list is there already and names other images."""
    if not path.exists():
        return
    listed = read_stems(path)
    if sorted(listed) != wanted:
        raise UserError(
            f"the list of images {path} is there with {len(listed)} images, but VOC and SBD give "
            f"other ones ({len(wanted)}): remove it, or leave out --sbd to use it as it is"
        )


def _find_label(root: Path, sbd: Path, stem: str, *, listed_by_voc: bool) -> Path:
    """VOC's own label of an image, or SBD's for an image that VOC neither lists nor labels."""
    png = root / "SegmentationClass" / (stem + LABEL_SUFFIX)
    source = png if listed_by_voc or png.exists() else sbd / "cls" / (stem + SBD_SUFFIX)
    if not source.exists():
        raise UserError(
            f"label {source} does not exist, but {stem!r} is listed: "
            "unpack the whole archive (datasets/README.md)"
        )
    return source


def _read_original(source: Path) -> np.ndarray:
    return read_sbd_label(source) if source.suffix == SBD_SUFFIX else read_label(source)
