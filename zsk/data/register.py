"""Registers data sets with Detectron2.

Registering opens no file; files are paired when a data set is listed. Letter: K classes.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence

from detectron2.data import DatasetCatalog, MetadataCatalog

from zsk.data.images import IMAGE_SUFFIXES
from zsk.data.labels import LABEL_ORIENTATIONS, ordered_values
from zsk.data.listing import LABEL_SUFFIX, list_records
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary, ignore_label


def register_zero_shot_split(
    name: str,
    image_root: str | os.PathLike[str],
    label_root: str | os.PathLike[str],
    vocabulary: Vocabulary,
    *,
    training: bool,
    file_list: str | os.PathLike[str] | None = None,
    image_suffixes: Sequence[str] = IMAGE_SUFFIXES,
    label_suffix: str = LABEL_SUFFIX,
    sub_folders: bool = False,
    label_values: Mapping[str, int] | None = None,
    label_orientation: str | None = None,
    evaluation_only: bool = False,
    words: Mapping[str, Vocabulary] | None = None,
    advice: str = "",
) -> None:
    """Register a folder of photos and a folder of label PNGs as the Detectron2 data set `name`.

    A photo and its label share their stem ("a.jpg", "a.png"). Records: see
    `zsk.data.listing.match_files`; images without a seen pixel are kept. Calling again with equal
    arguments does nothing.

    Args:
        name: for DATASETS.TRAIN and DATASETS.TEST.
        image_root: folder of the photos.
        label_root: folder of the label PNGs.
        vocabulary: the joint vocabulary (see `zsk.data.splits`).
        training: whether the data set is for training, which needs a seen class.
        file_list: text file with one stem per line: only these are listed. None lists all files,
            which then have to pair up.
        image_suffixes, label_suffix: endings of the files behind the stem.
        sub_folders: files in folders below count, too; their stems are "folder/a".
        label_values: class name → its value, 0–65535, in the label files; every class needs one,
            other values are ignored. None: the files hold joint ids, the positions in
            `vocabulary`, and 255 (over 255 classes 65535) for unlabelled pixels.
        label_orientation: whether the labels of photos with an EXIF orientation were drawn on the
            "displayed" or the "stored" pixels. None: such a photo is an error unless its size tells
            that its label is right.
        evaluation_only: the flags of `vocabulary` mean nothing: the seen classes follow from the
            data sets that the model was trained on (see `get_vocabulary`).
        words: of a data set for evaluation only, class name → the words that a model is asked for
            in its place, such as all that a background can be. They compete as classes of their
            own; a pixel that gets one of them counts as one of the class.
        advice: what to do about missing files, for error messages.

    Raises:
        UserError: `name` is taken by a data set with other arguments, or the vocabulary or the
            values do not suit. Listing raises it for files that are missing or do not pair up.
    """
    if training:
        vocabulary.seen_only()  # raises where there is no seen class
    if label_orientation not in (None, *LABEL_ORIENTATIONS):
        raise UserError(
            f"label_orientation is {label_orientation!r}: choose {' or '.join(LABEL_ORIENTATIONS)}"
        )
    if words and not evaluation_only:
        raise UserError(f"the data set {name!r} has words: only one for evaluation may have them")
    if vocabulary.aliases:
        raise UserError(
            f"the vocabulary of the data set {name!r} has aliases, which a data set cannot "
            "have: give words, which one for evaluation may have"
        )
    question, classes_of_words = _question_of(vocabulary, words or {})
    settings = {
        # absolute, because the working directory may change
        "image_root": os.path.abspath(image_root),
        "sem_seg_root": os.path.abspath(label_root),
        "file_list": None if file_list is None else os.path.abspath(file_list),
        "image_suffixes": tuple(image_suffixes),
        "label_suffix": label_suffix,
        "sub_folders": sub_folders,
        "label_values": None if label_values is None else ordered_values(label_values, vocabulary),
        "label_orientation": label_orientation,
        "vocabulary": vocabulary,
        "training": training,
        "evaluation_only": evaluation_only,
        "question": question,
        "classes_of_words": classes_of_words,
    }
    metadata = MetadataCatalog.get(name)
    if name in DatasetCatalog:
        for key, value in settings.items():
            if metadata.get(key) != value:
                raise UserError(
                    f"the data set {name!r} is registered already with another {key}: "
                    "choose another name or use the same arguments"
                )
        return
    DatasetCatalog.register(name, functools.partial(list_records, name))
    metadata.set(
        ignore_label=ignore_label(len(vocabulary)),
        evaluator_type="zero_shot",
        stuff_classes=list(vocabulary.names),
        advice=advice,
        **settings,
    )


def _question_of(
    vocabulary: Vocabulary, words: Mapping[str, Vocabulary]
) -> tuple[Vocabulary, tuple[int, ...] | None]:
    """W ≥ K words to ask a model for, and the class of each; None where they are the classes."""
    unknown = sorted(words.keys() - set(vocabulary.names))
    if unknown:
        raise UserError(f"words are given for {unknown[0]!r}, which is not one of the classes")
    if not words:
        return vocabulary, None
    asked: list[tuple[int, str, str, bool]] = []
    for k, one in enumerate(zip(vocabulary.names, vocabulary.prompt_names, vocabulary.seen)):
        own = words.get(one[0])
        rows = [one] if own is None else zip(own.names, own.prompt_names, own.seen)
        asked += ((k, *row) for row in rows)
    classes, names, prompt_names, seen = zip(*asked)
    return Vocabulary(names, prompt_names, seen), classes
