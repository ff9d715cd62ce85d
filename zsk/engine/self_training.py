"""Self-training: a frozen teacher labels, in the training batches, pixels without a label.

The models do not know of it: they get records of all classes. Letters: B records, V views,
H x W image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from torch import Tensor, nn

from zsk.answer import Answer, normalised
from zsk.data.pseudo_labels import Guess, Rule, annealed_weights, best_unseen, kept_guesses
from zsk.data.vocabularies import get_vocabulary
from zsk.engine.network_settings import weights_key
from zsk.engine.trained_model import load_trained
from zsk.errors import UserError
from zsk.label_map import strips_of_rows
from zsk.looks.batched_inputs import Record
from zsk.proposals.masks import resize_masks
from zsk.vocabulary import Vocabulary, ignore_label

View = tuple[float, bool]
"""Size of a view over the image's, and whether it is mirrored."""


class SelfTraining:
    """Batches of a training loader whose pixels without a label may be of unseen classes.

    Each record has "vocabulary", the joint one; "sem_seg" (and "unnamed") with its ids; with
    ANNEAL "label_weights" (H,W) float32. Padding and recoloured segments are never labelled.
    """

    def __init__(
        self,
        loader: Iterable[list[Record]],
        teacher: nn.Module,
        vocabulary: Vocabulary,
        rule: Rule = Rule(),
        views: Sequence[View] = ((1.0, False),),
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        """
        Args:
            loader: of `ZeroShotMapper`'s records, with ids of the seen classes.
            teacher: a model of this project, which is frozen here.
            vocabulary: the joint one.
            notes: of the teacher's training (`zsk.engine.settings`).

        Raises:
            UserError: every class is seen.
        """
        if all(vocabulary.seen):
            raise UserError(
                "SELF_TRAINING.ENABLED is True, but every class of DATASETS.TRAIN is seen: there "
                "is nothing to label, so switch it off"
            )
        self.loader = loader
        self.teacher: Any = teacher.eval().requires_grad_(False)
        self.vocabulary = vocabulary
        self.rule = rule
        self.views = views
        self.notes = notes or {}
        seen = vocabulary.seen_only()
        table = np.full(ignore_label(len(seen)) + 1, ignore_label(len(vocabulary)))
        table[: len(seen)] = np.flatnonzero(vocabulary.seen)
        self._to_joint = torch.from_numpy(table)

    def __iter__(self) -> Iterator[list[Record]]:
        for records in self.loader:
            sizes = [record["unpadded"] for record in records]
            images = [record["image"][:, :h, :w] for record, (h, w) in zip(records, sizes)]
            views = [self._guesses(images, *view) for view in self.views]
            yield [self._labelled(*pair) for pair in zip(records, zip(*views))]

    def _labelled(self, record: Record, views: Sequence[Guess]) -> Record:
        height, width = record["unpadded"]
        ignore = ignore_label(len(self.vocabulary))
        found: Record = {"vocabulary": self.vocabulary}
        for key in {"sem_seg", "unnamed"} & record.keys():
            found[key] = self._to_joint[record[key]]
        here = found["sem_seg"][:height, :width]
        free = here == ignore
        if "unnamed" in found:
            free &= found["unnamed"][:height, :width] == ignore
        kept = kept_guesses(views, free.to(views[0].labels.device), self.rule)
        here[kept.cpu()] = views[0].labels[kept].cpu()
        if self.rule.anneal:
            weights = torch.ones(found["sem_seg"].shape)
            weights[:height, :width] = annealed_weights(views[0].confidence, kept, self.rule.anneal)
            found["label_weights"] = weights
        return {**record, **found}

    @torch.no_grad()
    def _guesses(self, images: Sequence[Tensor], scale: float, mirror: bool) -> list[Guess]:
        """What the teacher thinks of B images (3,H,W) uint8 in one view."""
        looks = self.teacher.look([_view(image, scale, mirror) for image in images])
        guesses = []
        for look, image in zip(looks, images):
            guess = self._guess(self.teacher.answer(look, self.vocabulary, image.shape[-2:]))
            guesses.append(guess.mirrored() if mirror else guess)
        return guesses

    def _guess(self, answer: Answer) -> Guess:
        strips = []
        for rows in strips_of_rows(answer.size, answer.depth):
            scores = normalised(answer.score_rows(*rows), dim=0)
            strips.append(best_unseen(scores, self.vocabulary.seen_mask.to(scores.device)))
        return Guess(*(torch.cat(parts) for parts in zip(*strips)))

    def fingerprint(self) -> str:
        """16 hex digits that change with any weight of the teacher that a checkpoint holds."""
        return weights_key(self.teacher)[:16]


def _view(image: Tensor, scale: float, mirror: bool) -> Tensor:
    """An image (3,H,W) uint8, resized and mirrored."""
    if scale != 1:
        size = [max(1, round(scale * side)) for side in image.shape[-2:]]
        image = resize_masks(image[None].float(), size)[0].round().byte()
    return image.flip(-1) if mirror else image


def build_self_training(cfg: CfgNode, loader: Iterable[list[Record]]) -> SelfTraining:
    """What SELF_TRAINING describes, with the checkpoint MODEL.WEIGHTS for a teacher.

    Raises:
        UserError: there is no such checkpoint, it is of another model, or every class is seen.
    """
    vocabulary = get_vocabulary(cfg.DATASETS.TRAIN[0], friendly=cfg.DATASETS.PROMPT_NAMES)
    teacher, notes = load_trained(cfg, teacher=True)
    settings = cfg.SELF_TRAINING
    worst_rank = None
    if settings.FILTER == "rank":
        worst_rank = int(settings.AMOUNT)
    elif settings.CANDIDATES == "all":
        worst_rank = 1
    share = settings.AMOUNT if settings.FILTER == "share" else 1.0
    views: list[View] = [(1.0, False)]
    if settings.FILTER == "agreement":
        views = [(scale, mirror) for scale in settings.VIEW_SCALES for mirror in (False, True)]
    rule = Rule(worst_rank, share, settings.ANNEAL)
    return SelfTraining(loader, teacher, vocabulary, rule, views, notes)
