"""Registers data sets with Detectron2: explicit, lazy, and safe to call twice.

Registering opens no file. Listing a data set, when a loader is built, checks that files pair up.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

from zsk.data.evaluation_sets import EvaluationClasses
from zsk.data.labels import ordered_values
from zsk.data.listing import list_records
from zsk.errors import UserError
from zsk.vocabulary import IGNORE_LABEL, Vocabulary

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


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
    values = None if label_values is None else ordered_values(label_values, vocabulary)
    _register(
        name,
        image_root,
        label_root,
        {"vocabulary": vocabulary, "evaluation_classes": None, "training": training},
        classes=vocabulary.names,
        label_values=values,
        file_list=file_list,
        image_suffixes=image_suffixes,
        advice=advice,
    )


def register_evaluation_set(
    name: str,
    image_root: str | os.PathLike[str],
    label_root: str | os.PathLike[str],
    classes: EvaluationClasses,
    *,
    file_list: str | os.PathLike[str] | None = None,
    image_suffixes: Sequence[str] = IMAGE_SUFFIXES,
    advice: str = "",
) -> None:
    """Register a data set that is only evaluated on, for the cross-dataset setting.

    It has no unseen list: which of its classes are seen follows from the data sets that the model
    was trained on (see `get_vocabulary`). Everything else is as in `register_zero_shot_split`.

    Raises:
        UserError: as there.
    """
    _register(
        name,
        image_root,
        label_root,
        {"vocabulary": None, "evaluation_classes": classes, "training": False},
        classes=classes.names,
        label_values=None,
        file_list=file_list,
        image_suffixes=image_suffixes,
        advice=advice,
    )


def _register(
    name: str,
    image_root: str | os.PathLike[str],
    label_root: str | os.PathLike[str],
    settings: dict[str, Any],
    *,
    classes: Sequence[str],
    label_values: tuple[int, ...] | None,
    file_list: str | os.PathLike[str] | None,
    image_suffixes: Sequence[str],
    advice: str,
) -> None:
    """What both ways of registering share; `settings` go into the metadata as they are."""
    if len(classes) > IGNORE_LABEL:
        raise UserError(
            f"the data set {name!r} has {len(classes)} classes, but 8-bit label images hold at "
            f"most {IGNORE_LABEL}"
        )
    # absolute paths: a later change of the working directory changes nothing
    images, labels = os.path.abspath(image_root), os.path.abspath(label_root)
    stems = None if file_list is None else os.path.abspath(file_list)
    suffixes = tuple(image_suffixes)
    settings = {
        "image_root": images,
        "sem_seg_root": labels,
        "file_list": stems,
        "image_suffixes": suffixes,
        "label_values": label_values,
        **settings,
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
            label_values=label_values,
            advice=advice,
        )

    DatasetCatalog.register(name, records)
    MetadataCatalog.get(name).set(
        ignore_label=IGNORE_LABEL,
        evaluator_type="zero_shot",
        stuff_classes=list(classes),
        advice=advice,
        **settings,
    )


def registered_names() -> list[str]:
    """The data sets that this module registered, sorted; Detectron2's own are left out."""
    names = DatasetCatalog.list()
    return sorted(n for n in names if MetadataCatalog.get(n).get("evaluator_type") == "zero_shot")


def get_vocabulary(
    name: str, *, friendly: bool = True, trained_on: Sequence[str] = ()
) -> Vocabulary:
    """The joint vocabulary of a registered data set, with the seen flags of a model.

    Args:
        name: the data set's name.
        friendly: False prompts with the benchmark's names instead of the friendlier ones.
        trained_on: the data sets whose masks the model was trained on (DATASETS.TRAIN). Where
            they make the evaluation a cross-dataset one (`is_cross_dataset`), a class is seen
            when its name is one that they trained. () takes the flags of the data set's own
            split.

    Raises:
        UserError: no zero-shot data set of one of these names is registered, or a data set for
            evaluation only is trained on, or evaluated with nothing in `trained_on`.
    """
    classes = _classes(name)
    if is_cross_dataset(name, trained_on):
        trained = seen_names(trained_on)
        vocabulary = Vocabulary.from_trained(classes.names, classes.prompt_names, trained)
    elif isinstance(classes, Vocabulary):
        vocabulary = classes
    else:
        raise UserError(
            f"the data set {name!r} is for evaluation only: name it in DATASETS.TEST, and in "
            "DATASETS.TRAIN the data set that the model was trained on, which tells seen from "
            "unseen"
        )
    if friendly:
        return vocabulary
    return dataclasses.replace(vocabulary, prompt_names=vocabulary.names)


def is_cross_dataset(name: str, trained_on: Sequence[str]) -> bool:
    """Whether evaluating on `name` crosses data sets: its own split does not describe the model.

    True for a data set for evaluation only, and for one whose split calls a class unseen that the
    model was trained on, or seen that it was not. False while `trained_on` is empty.

    Raises:
        UserError: no zero-shot data set of one of these names is registered.
    """
    if not trained_on:
        return False
    own = _classes(name)
    if any(_classes(other) == own for other in trained_on):
        return False
    trained = seen_names(trained_on)
    return own != Vocabulary.from_trained(own.names, own.prompt_names, trained)


def seen_names(datasets: Sequence[str]) -> tuple[str, ...]:
    """Names and prompt names of the classes that training on these data sets has masks of.

    The friendlier prompt names are among them even where a configuration switches them off:
    whether a class was trained does not depend on how it was called in the prompt.

    Raises:
        UserError: a data set is not registered, is for evaluation only, or has no seen class.
    """
    names: list[str] = []
    for dataset in datasets:
        seen = get_vocabulary(dataset).seen_only()
        names += [*seen.names, *seen.prompt_names]
    return tuple(dict.fromkeys(names))


def _classes(name: str) -> Vocabulary | EvaluationClasses:
    """What `name` was registered with, or a UserError that lists the registered names."""
    ours = registered_names()
    if name not in ours:
        raise UserError(
            f"the data set {name!r} is not registered; registered are: {', '.join(ours) or 'none'}"
        )
    metadata = MetadataCatalog.get(name)
    return metadata.vocabulary or metadata.evaluation_classes


def _refuse_other_settings(name: str, settings: dict[str, Any]) -> None:
    """Raise a UserError unless `name` was registered with exactly these settings."""
    metadata = MetadataCatalog.get(name)
    for key, value in settings.items():
        if metadata.get(key) != value:
            raise UserError(
                f"the data set {name!r} is registered already with another {key}: "
                "choose another name or use the same arguments"
            )
