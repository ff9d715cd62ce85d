"""Class names → text embeddings, the classifier weights for proposal head and regions.

Letters: K classes, T templates, E width of the text space.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from detectron2.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from zsk.errors import UserError
from zsk.vocabulary import Vocabulary

from .encoder import TextError, VisionLanguageEncoder
from .frozen_module import FrozenModule
from .learned_prompts import LearnedPrompts, load_prompts
from .text_cache import cache_folder, cached_rows

ONE_ROW = 1 - 1e-6  # cosine from which two rows differ by rounding only
ROWS_AT_ONCE = 1000  # that are compared with all others: bounds the memory
KEPT_WORDS = 20_000  # rows in memory; over this, those of the last vocabulary are kept


class TextClassifier(FrozenModule):
    """Encodes a vocabulary's prompt names, each through every template or the learned context.

    Args:
        encoder: the frozen text side.
        prompts: T ≥ 1 texts with one "{}" each, or learned prompts. Learned prompts are frozen and
            no part of the state dict, so a model may be evaluated with other prompts.
        folder: where the embeddings of templates are kept between programs, or None. The
            embeddings of learned prompts are not kept.
    """

    def __init__(
        self,
        encoder: VisionLanguageEncoder,
        prompts: Sequence[str] | LearnedPrompts,
        folder: Path | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.learned = isinstance(prompts, LearnedPrompts)
        self.folder = None if self.learned else folder
        self.templates: tuple[str, ...] = ("{}",)
        if isinstance(prompts, LearnedPrompts):
            self.hold("prompts", prompts)
        else:
            self.templates = tuple(prompts)
        # (prompt name, device) → row; never changed but replaced as a whole, so that threads may
        # share it
        self._rows: dict[tuple[str, str], Tensor] = {}

    def set_precision(self, network: nn.Module, device: torch.device) -> None:
        """Learned context vectors stay in float32."""

    def forward(self, vocabulary: Vocabulary) -> Tensor:
        """(K,E) float32 unit rows on the encoder's device, without gradient.

        A template ensemble is the mean of its unit rows, normalised again. Raises UserError for a
        class whose prompt the encoder cannot read.

        Args:
            vocabulary: without aliases (`Vocabulary.one_class_per_word`).
        """
        assert not vocabulary.aliases
        device = str(self.encoder.device)
        known, words = self._rows, dict(zip(vocabulary.prompt_names, vocabulary.names))
        missing = [prompt for prompt in words if (prompt, device) not in known]
        if missing:
            rows = self._kept_or_encoded(missing, [words[prompt] for prompt in missing])
            if len(known) + len(missing) > KEPT_WORDS:
                known = {key: known[key] for prompt in words if (key := (prompt, device)) in known}
            self._rows = known = known | {(p, device): row for p, row in zip(missing, rows)}
        text = torch.stack([known[prompt, device] for prompt in words])
        if missing:
            _warn_of_equal(text, vocabulary.names)
        return text

    @torch.inference_mode(False)  # rows that a test reads or encodes have to serve in training, too
    def _kept_or_encoded(self, prompt_names: Sequence[str], names: Sequence[str]) -> Tensor:
        encode = partial(self._encode, prompt_names, names)
        if self.folder is None:
            return encode()
        return cached_rows(self.folder, self.encoder, self.templates, prompt_names, encode)

    @torch.no_grad()
    def _encode(self, prompt_names: Sequence[str], names: Sequence[str]) -> Tensor:
        """(K,E) unit rows; `names` are those of error messages."""
        prompts = [text.format(name) for name in prompt_names for text in self.templates]
        try:
            if self.learned:
                rows = self.network("prompts")(self.encoder, prompts)
            else:
                rows = self.encoder.encode_text(prompts)
        except TextError as error:
            name = names[prompts.index(error.text) // len(self.templates)]
            raise UserError(
                f"the text encoder cannot read the prompt of the class {name!r}, which has "
                f"{error.reason}: give a short English name, or choose another encoder "
                "(MODEL.CLIP.NAME)"
            ) from error
        return F.normalize(rows.view(len(names), len(self.templates), -1).mean(dim=1), dim=1)


def _warn_of_equal(text: Tensor, names: Sequence[str]) -> None:
    """Of classes with one row, which show the same; `text`: (K,E) unit rows."""
    text, pairs = text.cpu(), []
    for start in range(0, len(text), ROWS_AT_ONCE):
        cosines = (text[start : start + ROWS_AT_ONCE] @ text.T).triu(start + 1)
        pairs += [(start + one, other) for one, other in (cosines > ONE_ROW).nonzero().tolist()]
    if pairs:
        first, second = (names[k] for k in pairs[0])
        others = f" ({len(pairs) - 1} other pairs, too)" if len(pairs) > 1 else ""
        logging.getLogger(__name__).warning(
            f"{first!r} and {second!r} are one to the text encoder: leave one out{others}"
        )


def build_text_classifier(
    clip: CfgNode, encoder: VisionLanguageEncoder, key: str = "PROMPT"
) -> TextClassifier:
    """The text classifier that MODEL.CLIP describes; `key` is PROMPT or REGION_PROMPT.

    Raises:
        UserError: as `load_prompts` does; or a prompt for vectors of bare names.
    """
    if clip[key] != "name" and not encoder.takes_prompts:
        raise UserError(
            f"MODEL.CLIP.{key} is {clip[key]}, but MODEL.CLIP.NAME {clip.NAME} has vectors of "
            f"bare names: choose {key} name"
        )
    prompts = load_prompts(clip[key], clip[f"{key}_WEIGHTS"], encoder, f"MODEL.CLIP.{key}")
    return TextClassifier(encoder, prompts, cache_folder())


def warn_of_leaks(model: nn.Module, vocabulary: Vocabulary) -> bool:
    """Warn of unseen classes that learned prompts were trained on; whether there are any."""
    leaked: set[str] = set()
    for part in model.modules():
        if isinstance(part, TextClassifier) and part.learned:
            leaked.update(vocabulary.unseen_spellings(part.network("prompts").trained_on))
    if leaked:
        logging.getLogger(__name__).warning(
            "the learned prompts were trained on classes that count as unseen here, so scores of "
            f"unseen classes are no zero-shot scores: {', '.join(sorted(leaked))}"
        )
    return bool(leaked)
