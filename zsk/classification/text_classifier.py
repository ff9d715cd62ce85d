"""Class names → text embeddings, the classifier weights of head and regions.

Letters: K classes, T templates, E width of the text space.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zsk.errors import UserError
from zsk.vocabulary import Vocabulary

from .encoder import TextTooLongError, VisionLanguageEncoder
from .prompts import build_prompts
from .text_cache import TextCache

CACHED_VOCABULARIES = 8  # a few users' words beside training's and a test set's


class TextClassifier(nn.Module):
    """Encodes a vocabulary's prompt names, each through every template.

    Args:
        encoder: the frozen text side.
        templates: T ≥ 1 texts with one "{}" each.
        disk_cache: where embeddings outlive the process; None: nowhere.
    """

    def __init__(
        self,
        encoder: VisionLanguageEncoder,
        templates: Sequence[str],
        disk_cache: TextCache | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.templates = tuple(templates)
        self.disk_cache = disk_cache
        self._cache: OrderedDict[tuple[tuple[str, ...], str], Tensor] = OrderedDict()

    def forward(self, vocabulary: Vocabulary) -> Tensor:
        """(K,E) float32 unit rows on the encoder's device, without gradient.

        A template ensemble is the mean of its unit rows, scaled to length 1 again. The least
        recently used vocabularies are forgotten. Raises UserError for a class whose prompt is too
        long for the encoder.
        """
        key = (vocabulary.prompt_names, str(self.encoder.device))
        if key not in self._cache:
            self._cache[key] = self._kept_or_encoded(vocabulary)
            if len(self._cache) > CACHED_VOCABULARIES:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key]

    def _kept_or_encoded(self, vocabulary: Vocabulary) -> Tensor:
        if self.disk_cache is None:
            return self._encode(vocabulary)
        with torch.inference_mode(False):  # for what comes from the disk, as below
            return self.disk_cache.rows(
                self.encoder,
                self.templates,
                vocabulary.prompt_names,
                lambda: self._encode(vocabulary),
            )

    @torch.inference_mode(False)  # or rows first made in a test could not serve in training
    @torch.no_grad()
    def _encode(self, vocabulary: Vocabulary) -> Tensor:
        names = vocabulary.prompt_names
        prompts = [prompt for name in names for prompt in build_prompts(name, self.templates)]
        try:
            rows = self.encoder.encode_text(prompts)
        except TextTooLongError as error:
            position = prompts.index(error.text) // len(self.templates)
            raise UserError(
                f"the prompt of the class {vocabulary.names[position]!r} has more than the "
                f"{error.max_tokens} tokens that the text encoder takes: shorten the name"
            ) from error
        return F.normalize(rows.view(len(names), len(self.templates), -1).mean(dim=1), dim=1)
