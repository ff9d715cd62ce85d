"""What naming needs beside an exported look: words.npz, arrays that numpy reads without pickle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from zsk.engine.network_settings import weights_key
from zsk.errors import UserError
from zsk.files import replacing
from zsk.proposals.class_scores import TextAlignedScores
from zsk.vocabulary import Vocabulary
from zsk.zsk_net import ZSKNet

from .look import linear_classes


@torch.inference_mode()
def words_of(model: ZSKNet, vocabulary: Vocabulary) -> dict[str, np.ndarray]:
    """The arrays that `zsk.export.naming` reads, by name; docs/export.md lists them.

    Raises:
        UserError: a class has aliases.
    """
    for name, further in zip(vocabulary.names, vocabulary.aliases):
        if further:
            raise UserError(
                f"an export takes one word for each class, but {name!r} has {', '.join(further)} "
                "beside it: leave them out, or give each as a class of its own"
            )
    text = model.text_classifier(vocabulary)
    regional = model.region_text_classifier
    ensemble = model.ensemble
    values: dict[str, object] = {
        "names": list(vocabulary.names),
        "seen": vocabulary.seen,
        "text": text.float().cpu(),
        "region_text": (text if regional is None else regional(vocabulary)).float().cpu(),
        "mode": ensemble.mode,
        "lam": ensemble.lam,
        "seen_penalty": np.float32(ensemble.seen_penalty),
        "empty": ensemble.empty,
        "clip_temperature": np.float32(model.region_encoder.encoder.logit_scale),
        "mask_softmax": np.float32(model.mask_softmax),
        "votes_at": model.votes_at,
        "network": weights_key(model),
        "classifier": "linear" if linear_classes(model) else "none",
    }
    for part in model.modules():
        if isinstance(part, TextAlignedScores):  # the last one is that of the last stage
            values["classifier"] = "text"
            values["head_temperature"] = np.float32(part.temperature)
            values["no_object"] = torch.nn.functional.normalize(part.no_object, dim=-1).cpu()
    return {key: np.asarray(value) for key, value in values.items()}


def write_words(path: Path, words: dict[str, np.ndarray]) -> None:
    """Raises UserError where the file cannot be written."""
    with replacing(path) as unfinished:
        np.savez(unfinished, allow_pickle=False, **words)
