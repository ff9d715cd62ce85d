"""The encoder that a name stands for."""

from __future__ import annotations

import torch

from zsk.errors import UserError

from .encoder import VisionLanguageEncoder


def build_encoder(
    name: str,
    device: torch.device | str = "cpu",
    *,
    temperature: float = 0.0,
    **clip_options: int,
) -> VisionLanguageEncoder:
    """The encoder that `name` stands for, on `device`.

    Args:
        name: "embedded" or "embedded:lite0" (weights that install as packages), an OpenAI CLIP
            model's name such as "ViT-B/16", or the path of a CLIP weights file.
        temperature: what cosines are multiplied with to be logits; 0: the encoder's own number.
        clip_options: ClipEncoder's one_pass_size and masked_layers; the embedded one has neither.

    Raises:
        UserError: the packages or the weights are missing or unreadable, or an option is out of
            its range. Nothing is downloaded.
    """
    if not 0 <= temperature < float("inf"):
        raise UserError(
            f"MODEL.CLIP.TEMPERATURE is {temperature}, but has to be a finite number, 0.0 for the "
            "encoder's own or more"
        )
    encoder: VisionLanguageEncoder
    # Imported here: neither model's packages are needed for the other one.
    if name.partition(":")[0] == "embedded":
        from .embedded_encoder import EmbeddedEncoder

        encoder = EmbeddedEncoder(name.partition(":")[2] or "lite2")
    else:
        from .clip_encoder import ClipEncoder

        encoder = ClipEncoder(name, **clip_options)
    encoder.logit_scale = temperature or encoder.logit_scale
    return encoder.to(device)
