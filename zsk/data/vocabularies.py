"""The vocabularies of registered data sets, and which of their classes a model was trained on."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

import numpy as np
from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog

from zsk.errors import UserError
from zsk.vocabulary import Vocabulary


def registered_names() -> list[str]:
    """The data sets that `zsk.data.register` registered, sorted."""
    names = DatasetCatalog.list()
    return sorted(n for n in names if MetadataCatalog.get(n).get("evaluator_type") == "zero_shot")


def split_metadata(name: str) -> Metadata:
    """What a data set was registered with; a UserError lists the registered names."""
    ours = registered_names()
    if name not in ours:
        raise UserError(
            f"the data set {name!r} is not registered; registered are: {', '.join(ours) or 'none'}"
        )
    return MetadataCatalog.get(name)


def get_vocabulary(
    name: str, *, friendly: bool = True, trained_on: Sequence[str] = (), words: bool = False
) -> Vocabulary:
    """The joint vocabulary of a registered data set, with the seen flags of a model.

    Args:
        name: of the data set.
        friendly: False takes the benchmark's names as prompt names.
        trained_on: the training data sets of the model (DATASETS.TRAIN). In a cross-dataset
            evaluation (`is_cross_dataset`) the classes with trained names are seen; otherwise, and
            for (), the flags are those of the data set's own split.
        words: what a model is asked for, in the place of classes that have words of their own
            (`zsk.data.register`): W ≥ K words, of which `classes_of_words` tells the classes.

    Raises:
        UserError: a data set is not registered; one for evaluation only is in `trained_on`, or is
            `name` while `trained_on` is empty.
    """
    metadata = split_metadata(name)
    vocabulary: Vocabulary = metadata.question if words else metadata.vocabulary
    if is_cross_dataset(name, trained_on):
        trained = trained_names(trained_on)
        names, prompt_names = vocabulary.names, vocabulary.prompt_names
        vocabulary = Vocabulary.from_trained(names, prompt_names, trained)
        for word, spelled in vocabulary.unseen_spellings(trained).items():
            logging.getLogger(__name__).warning(
                f"{word!r} of {name} counts as untrained, but the trained {spelled!r} is spelled "
                "almost alike: where they are one class, make this its prompt name"
            )
    elif metadata.evaluation_only:
        raise UserError(
            f"the data set {name!r} is for evaluation only: name it in DATASETS.TEST, and in "
            "DATASETS.TRAIN the data set that the model was trained on, which tells seen from "
            "unseen"
        )
    if friendly:
        return vocabulary
    return dataclasses.replace(vocabulary, prompt_names=vocabulary.names)


def classes_of_words(name: str) -> np.ndarray | None:
    """Word → class, (W,) int64, of a data set whose classes have words; None for any other."""
    classes = split_metadata(name).classes_of_words
    return None if classes is None else np.array(classes)


def is_cross_dataset(name: str, trained_on: Sequence[str]) -> bool:
    """Whether the seen flags of data set `name` differ from what `trained_on` trained.

    Always True for a data set for evaluation only, and False where `trained_on` is empty.
    """
    metadata = split_metadata(name)
    own: Vocabulary = metadata.vocabulary
    if not trained_on:
        return False
    if metadata.evaluation_only:
        return True
    if any(split_metadata(other).vocabulary == own for other in trained_on):
        return False
    trained = trained_names(trained_on)
    return own != Vocabulary.from_trained(own.names, own.prompt_names, trained)


def trained_names(datasets: Sequence[str], seen: bool = True) -> tuple[str, ...]:
    """Names and prompt names of the seen (or the unseen) classes of training data sets, each once.

    Prompt names count even if DATASETS.PROMPT_NAMES is off: the masks are the same.

    Raises:
        UserError: a data set is not registered, or is for evaluation only.
    """
    names: list[str] = []
    for vocabulary in map(get_vocabulary, datasets):
        for words in (vocabulary.names, vocabulary.prompt_names):
            names += [word for word, flag in zip(words, vocabulary.seen) if flag == seen]
    return tuple(dict.fromkeys(names))
