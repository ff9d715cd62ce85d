"""The base of the evaluators: ground truth read once per image, counts summed over processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from zsk.data.labels import check_label, read_joint_label
from zsk.data.vocabularies import classes_of_words, get_vocabulary, is_cross_dataset
from zsk.errors import UserError
from zsk.evaluation.metrics import NAME_GROUPS, SPLIT_GROUPS
from zsk.vocabulary import ignore_label


def sum_over_processes(counts: np.ndarray) -> np.ndarray:
    """The sum of all processes' integer counts, on every process; exact, whatever their order."""
    return np.stack(comm.all_gather(counts)).sum(axis=0)


class LabelledEvaluator(DatasetEvaluator):
    """Gives `add` each image once, with its ground truth.

    Args:
        dataset_name: a registered data set; its metadata holds the joint vocabulary.
        trained_on: the data sets that the model was trained on; across data sets they decide which
            classes are seen. () takes the data set's own split.
        seen_only: only the seen names competed (TEST.VOCABULARY seen): pixels of unseen classes
            are ignored, and ids are those of the seen vocabulary.

    Raises:
        UserError: as `get_vocabulary`; or only seen names are to compete and there is none, or
            classes of the data set have words.
    """

    def __init__(
        self, dataset_name: str, trained_on: Sequence[str] = (), *, seen_only: bool = False
    ) -> None:
        self.dataset_name = dataset_name
        self.joint_vocabulary = get_vocabulary(dataset_name, trained_on=trained_on)
        self.seen_only = seen_only
        self.vocabulary = self.joint_vocabulary.seen_only() if seen_only else self.joint_vocabulary
        self.question, self.classes_of_words = self.vocabulary, classes_of_words(dataset_name)
        if self.classes_of_words is not None:
            if seen_only:
                raise UserError(
                    f"TEST.VOCABULARY is seen, but classes of {dataset_name} stand for several "
                    "words, seen and unseen ones: set it to joint"
                )
            self.question = get_vocabulary(dataset_name, trained_on=trained_on, words=True)
        self.cross_dataset = is_cross_dataset(dataset_name, trained_on)
        self.groups = NAME_GROUPS if self.cross_dataset else SPLIT_GROUPS
        self.reset()

    def reset(self) -> None:
        self._files: set[str] = set()
        self._all_ignore = 0

    def add(self, file_name: str, ground_truth: np.ndarray, output: Mapping[str, Any]) -> None:
        """Count an image: its label file, (H,W) joint ids, and the model's result."""
        raise NotImplementedError

    def process(
        self, inputs: Sequence[dict[str, Any]], outputs: Sequence[Mapping[str, Any]]
    ) -> None:
        """Count the test mapper's records, less repeated and wholly ignored ones, and the results.

        Raises:
            UserError: a record with other classes, a label file that cannot be read, is not of its
                image's or its prediction's size or holds an id outside the vocabulary. The message
                names the file.
        """
        for record, output in zip(inputs, outputs):
            file_name = record["sem_seg_file_name"]
            if file_name in self._files:
                continue  # a loader's padding repeats images
            self._files.add(file_name)
            given = record["vocabulary"]
            # the prompt names may differ: the configuration chooses them
            if (given.names, given.seen) != (self.question.names, self.question.seen):
                raise UserError(
                    f"the record of label {file_name} has other classes than data set "
                    f"'{self.dataset_name}': evaluate with that data set's own test loader"
                )
            ground_truth = read_joint_label(record)
            size = record["height"], record["width"]
            check_label(ground_truth, record, size, len(self.joint_vocabulary))
            if self.seen_only:
                ground_truth = self.joint_vocabulary.seen_lookup()[ground_truth]
            if (ground_truth == ignore_label(len(self.vocabulary))).all():
                self._all_ignore += 1
                continue
            self.add(file_name, ground_truth, output)

    def image_counts(self) -> tuple[int, int]:
        """(images, images whose pixels are all ignored) over all processes.

        Raises:
            UserError: two processes were given the same image; it would be counted twice.
        """
        counted = Counter(name for files in comm.all_gather(self._files) for name in files)
        repeated = sorted(name for name, count in counted.items() if count > 1)
        if repeated:
            raise UserError(
                f"{repeated[0]} was evaluated by more than one process: use a test loader whose "
                "sampler does not pad (zsk.data.loader.build_test_loader)"
            )
        all_ignore = sum_over_processes(np.array([self._all_ignore]))
        return len(counted), int(all_ignore[0])
