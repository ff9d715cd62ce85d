"""Registers data sets with Detectron2: explicit, lazy, and safe to call twice.

Registering opens no file. Listing a data set, when a loader is built, checks that files pair up.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

from zsk.data.labels import ordered_values
from zsk.data.listing import list_records
from zsk.data.splits import get_split
from zsk.errors import UserError
from zsk.vocabulary import IGNORE_LABEL, Vocabulary

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")

_LISTS_FOLDER = Path(__file__).resolve().parents[2] / "datasets"
_ADVICE = "lay the data out as datasets/README.md says, then run `python datasets/prepare_{}.py`"


def register_zero_shot_split(
    name: str,
    image_root: str | os.PathLike[str],
    label_root: str | os.PathLike[str],
    vocabulary: Vocabulary,
    *,
    training: bool,
    file_list: str | os.PathLike[str] | None = None,
    image_suffixes: Sequence[str] = IMAGE_SUFFIXES,
    label_values: Mapping[str, int] | None = None,
    advice: str = "",
) -> None:
    """Register one folder of photos and one of label PNGs as the Detectron2 data set `name`.

    A photo and its label share their stem ("a.jpg", "a.png"). Labels hold joint ids: positions in
    `vocabulary`, 255 where there is no label; other values are translated by `label_values`.
    Listing gives {"file_name", "sem_seg_file_name", "image_id"} sorted by stem, and with
    `label_values` the K file values as "label_values"; images without any seen pixel are kept.
    Calling again with equal arguments does nothing.

    Args:
        name: what DATASETS.TRAIN and DATASETS.TEST call it.
        image_root: folder of the photos.
        label_root: folder of the label PNGs.
        vocabulary: the joint vocabulary of at most 255 classes (see `zsk.data.splits`).
        training: whether the data set is meant for training, which needs a seen class.
        file_list: text file with one stem per line: only those are listed. None lists all, and
            then a photo without label and a label without photo are mistakes.
        image_suffixes: endings, in lower case, of the files in `image_root` that count as photos.
        label_values: class name → the value, 0–254, that stands for it in the label files, for
            every class; all other values become 255. None: the files hold joint ids.
        advice: what to do about missing files, for the messages of the listing.

    Raises:
        UserError: `name` is taken by a data set with other arguments, or the vocabulary or the
            values do not suit. Listing raises it, naming the file or folder, when one is missing,
            nothing is found, or files do not pair up.
    """
    if training:
        vocabulary.seen_only()  # raises where there is no seen class
    if len(vocabulary) > IGNORE_LABEL:
        raise UserError(
            f"the data set {name!r} has {len(vocabulary)} classes, but 8-bit label images hold at "
            f"most {IGNORE_LABEL}"
        )
    # absolute paths: a later change of the working directory changes nothing
    images, labels = os.path.abspath(image_root), os.path.abspath(label_root)
    stems = None if file_list is None else os.path.abspath(file_list)
    suffixes = tuple(image_suffixes)
    values = None if label_values is None else ordered_values(label_values, vocabulary)
    settings = {
        "image_root": images,
        "sem_seg_root": labels,
        "file_list": stems,
        "image_suffixes": suffixes,
        "label_values": values,
        "vocabulary": vocabulary,
        "training": training,
    }
    if name in DatasetCatalog:
        _refuse_other_settings(name, settings)
        return

    def records() -> list[dict[str, Any]]:
        return list_records(
            images,
            labels,
            file_list=stems,
            image_suffixes=suffixes,
            label_values=values,
            advice=advice,
        )

    DatasetCatalog.register(name, records)
    MetadataCatalog.get(name).set(
        ignore_label=IGNORE_LABEL,
        evaluator_type="zero_shot",
        stuff_classes=list(vocabulary.names),
        advice=advice,
        **settings,
    )


def get_vocabulary(name: str, *, friendly: bool = True) -> Vocabulary:
    """The joint vocabulary of a registered data set.

    Args:
        name: the data set's name.
        friendly: False prompts with the benchmark's names instead of the friendlier ones.

    Raises:
        UserError: no zero-shot data set of that name is registered.
    """
    known = {n: MetadataCatalog.get(n).get("vocabulary") for n in DatasetCatalog.list()}
    vocabulary = known.get(name)
    if vocabulary is None:
        ours = ", ".join(sorted(n for n, classes in known.items() if classes is not None))
        raise UserError(
            f"the data set {name!r} is not registered; registered are: {ours or 'none'}"
        )
    if friendly:
        return vocabulary
    return dataclasses.replace(vocabulary, prompt_names=vocabulary.names)


def datasets_root() -> str:
    """The folder that holds all data sets: $DETECTRON2_DATASETS, else ./datasets."""
    return os.environ.get("DETECTRON2_DATASETS") or "datasets"


def register_all(root: str | os.PathLike[str]) -> None:
    """Register the data sets below `root` that datasets/README.md describes, present or not.

    voc_zs_train, voc_zs_val, coco_stuff_zs_train, coco_stuff_zs_val, photos_zs_train,
    photos_zs_val and photos_zs_overfit. What is missing is reported when a data set is listed,
    with the command that prepares it.

    Raises:
        UserError: they are registered already, below another root.
    """
    voc, coco = Path(root) / "VOC2012", Path(root) / "coco"
    coco_seen = coco / "zsk" / "train2017_seen"
    photos_train, photos_val, photos_overfit = (
        _LISTS_FOLDER / f"photos_{part}.txt" for part in ("train", "val", "overfit")
    )
    for name, split, image_root, label_root, file_list in (
        ("voc_zs_train", "voc", voc / "JPEGImages", voc / "zsk/train_seen", voc / "train.txt"),
        ("voc_zs_val", "voc", voc / "JPEGImages", voc / "zsk/val", voc / "val.txt"),
        ("coco_stuff_zs_train", "coco_stuff", coco / "train2017", coco_seen, None),
        ("coco_stuff_zs_val", "coco_stuff", coco / "val2017", coco / "zsk/val2017", None),
        ("photos_zs_train", "coco_stuff", coco / "train2017", coco_seen, photos_train),
        ("photos_zs_overfit", "coco_stuff", coco / "train2017", coco_seen, photos_overfit),
        ("photos_zs_val", "coco_stuff", coco / "train2017", coco / "zsk/train2017", photos_val),
    ):
        register_zero_shot_split(
            name,
            image_root,
            label_root,
            get_split(split),
            training=not name.endswith("_val"),
            file_list=file_list,
            advice=_ADVICE.format(split),
        )


def _refuse_other_settings(name: str, settings: dict[str, Any]) -> None:
    """Raise a UserError unless `name` was registered with exactly these settings."""
    metadata = MetadataCatalog.get(name)
    for key, value in settings.items():
        if metadata.get(key) != value:
            raise UserError(
                f"the data set {name!r} is registered already with another {key}: "
                "choose another name or use the same arguments"
            )
