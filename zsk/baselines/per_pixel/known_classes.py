"""The classes of a learned classifier, told apart by their vectors.

Shape letters: K classes, E width of the class vectors.
"""

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode
from torch import Tensor, nn

from zsk.classification.text_classifier import TextClassifier
from zsk.data.vocabularies import get_vocabulary
from zsk.errors import UserError
from zsk.vocabulary import ignore_label

SAME_VECTOR = 0.999  # cosine; half precision costs 1e-5


class KnownClasses(nn.Module):
    """All classes of the training's data set, seen and unseen, in the order of the classifier."""

    vectors: Tensor
    own_vectors: Tensor
    own_seen: Tensor

    def __init__(self, vectors: Tensor, seen: Tensor):
        """`vectors`: (K,E) unit rows; `seen`: (K,) bool."""
        super().__init__()
        # kept in checkpoints: a classifier belongs to the vectors that it was trained with ...
        self.register_buffer("vectors", vectors.detach().float().clone())
        # ... but which classes are seen is that of the configuration, in its order
        self.register_buffer("own_vectors", self.vectors.clone(), persistent=False)
        self.register_buffer("own_seen", seen.clone(), persistent=False)

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def seen(self) -> Tensor:
        """(K,) bool, in the order of the classifier."""
        seen = torch.zeros_like(self.own_seen)
        seen[self.columns(self.own_vectors)] = self.own_seen
        return seen

    def columns(self, text: Tensor) -> Tensor:
        """Class vectors (k,E) of some of the classes, in any order -> their positions (k,) int64.

        Raises:
            UserError: a vector is none of the classes'.
        """
        with torch.autocast(device_type=text.device.type, enabled=False):
            cosines = F.normalize(text.float(), dim=1) @ self.vectors.T
        best, positions = cosines.max(dim=1)
        unknown = int((best < SAME_VECTOR).sum())
        if unknown:
            raise UserError(
                f"the classifier knows the {len(self)} classes of its training only, and "
                f"{unknown} of the {len(text)} names given are none of them (or MODEL.CLIP.NAME or "
                "PROMPT is another than in its training): give names of DATASETS.TRAIN, or take a "
                "system for any names, such as SPNetHead"
            )
        return positions

    def labels(self, sem_seg: Tensor, text: Tensor) -> Tensor:
        """Labels of some of the classes -> of all.

        Args:
            sem_seg: int64, ids below k or `ignore_label(k)`.
            text: (k,E) vectors of the classes that they are of.
        Returns:
            int64, ids below K or `ignore_label(K)`.
        """
        columns, ignored = self.columns(text), sem_seg == ignore_label(len(text))
        return columns[sem_seg.masked_fill(ignored, 0)].masked_fill(
            ignored, ignore_label(len(self))
        )

    def without_unseen(self, sem_seg: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Labels of the seen classes among those of `text`, and the vectors of these.

        Args:
            sem_seg, text: as in `labels`.
        Returns:
            int64, ids below s or `ignore_label(s)`; (s,E).
        """
        seen = self.seen[self.columns(text)]
        count = int(seen.sum())
        table = sem_seg.new_full((ignore_label(len(text)) + 1,), ignore_label(count))
        table[seen.nonzero()[:, 0]] = torch.arange(count, device=table.device)
        return table[sem_seg], text[seen]


def known_classes(cfg: CfgNode, text_classifier: TextClassifier) -> KnownClasses:
    """Those of the first data set of DATASETS.TRAIN.

    Raises:
        UserError: there is none, or two of its classes have the same vector.
    """
    if not cfg.DATASETS.TRAIN:
        raise UserError(
            f"DATASETS.TRAIN is empty, but MODEL.SEM_SEG_HEAD.NAME {cfg.MODEL.SEM_SEG_HEAD.NAME} "
            "learns a classifier of its classes: name the data set of the training"
        )
    vocabulary = get_vocabulary(cfg.DATASETS.TRAIN[0], friendly=cfg.DATASETS.PROMPT_NAMES)
    vectors = text_classifier(vocabulary)
    same = (vectors @ vectors.T).triu(1).ge(SAME_VECTOR).nonzero().tolist()
    if same:
        one, other = (vocabulary.prompt_names[k] for k in same[0])
        raise UserError(
            f"the classes {one!r} and {other!r} have the same vector, by which "
            f"MODEL.SEM_SEG_HEAD.NAME {cfg.MODEL.SEM_SEG_HEAD.NAME} tells classes apart: choose "
            "another MODEL.CLIP.NAME or PROMPT, or another name"
        )
    return KnownClasses(vectors, vocabulary.seen_mask)
