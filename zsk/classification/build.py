"""Builds the encoder that MODEL.CLIP.NAME names.

A new encoder is a file with a function that is registered here under a scheme:

    @ENCODER_REGISTRY.register()
    def my_scheme(name: str, **options: int) -> VisionLanguageEncoder: ...

and is chosen with MODEL.CLIP.NAME my_scheme or my_scheme:name.
"""

from __future__ import annotations

import torch
from detectron2.config import CfgNode
from fvcore.common.registry import Registry

from .encoder import VisionLanguageEncoder

ENCODER_REGISTRY = Registry("ENCODER")
"""Scheme -> function of the rest of the name (after the colon) and MODEL.CLIP's options."""


# The imports are in the functions, since each encoder needs packages that the others do not.
@ENCODER_REGISTRY.register()
def openai(name: str, declared: bool = True, **options: int) -> VisionLanguageEncoder:
    from .clip_encoder import ClipEncoder

    return ClipEncoder(name, declared=declared, **options)


@ENCODER_REGISTRY.register()
def embedded(name: str, **options: int) -> VisionLanguageEncoder:
    from .embedded_encoder import EmbeddedEncoder

    return EmbeddedEncoder(name or "lite2")


@ENCODER_REGISTRY.register()
def open_clip(name: str, **options: int) -> VisionLanguageEncoder:
    from .open_clip_encoder import OpenClipEncoder

    return OpenClipEncoder(name, **options)


@ENCODER_REGISTRY.register()
def vectors(name: str, **options: int) -> VisionLanguageEncoder:
    from .vector_encoder import VectorEncoder

    return VectorEncoder(name)


def build_encoder(
    name: str,
    device: torch.device | str = "cpu",
    *,
    temperature: float = 0.0,
    **options: int,
) -> VisionLanguageEncoder:
    """The encoder that `name` stands for, on `device`. Nothing is downloaded.

    Args:
        name: "scheme" or "scheme:name" of a registered encoder, such as "embedded" or
            "embedded:lite0"; else an OpenAI CLIP model such as "ViT-B/16", or a CLIP weights file.
            "openai:file" says that the file is of OpenAI's model class, where it cannot be told.
            "vectors:FILE,FILE" are word vectors, see `VectorEncoder`.
        temperature: τ, the factor on cosines; 0 takes the encoder's own.
        options: one_pass_size, see ClipEncoder; the embedded encoder ignores it.

    Raises:
        UserError: the packages or the weights are missing or unreadable.
    """
    scheme, _, rest = name.partition(":")
    encoder: VisionLanguageEncoder
    if scheme in ENCODER_REGISTRY:
        encoder = ENCODER_REGISTRY.get(scheme)(rest, **options)
    else:
        encoder = openai(name, declared=False, **options)
    encoder.logit_scale = temperature or encoder.logit_scale
    return encoder.to(device)


def encoder_of(clip: CfgNode) -> VisionLanguageEncoder:
    """The encoder that a configuration's MODEL.CLIP describes, on the CPU. Raises UserError."""
    return build_encoder(clip.NAME, temperature=clip.TEMPERATURE, one_pass_size=clip.ONE_PASS_SIZE)
