"""Models of open_clip (LAION, DataComp, DFN, SigLIP, EVA, ConvNeXt and others), frozen."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from zsk.errors import UserError
from zsk.safe_load import one_line

from .encoder import TextError, VisionLanguageEncoder

try:
    import open_clip
    from open_clip.convert import convert_state_dict
    from open_clip.model import convert_to_custom_text_state_dict
    from open_clip.tokenizer import HFTokenizer
    from open_clip.utils import to_2tuple
except ImportError as error:
    raise UserError(
        f"open_clip cannot be imported ({error}): run `pip install 'open-clip-torch>=3.3,<4'`, or "
        "install zsk-net with its extra, `zsk-net[open_clip]`"
    ) from error

from .open_clip_source import CONFIG_FILE, Source, find_source, read_state
from .open_clip_vision import open_clip_vision

logger = logging.getLogger(__name__)


class OpenClipEncoder(VisionLanguageEncoder):
    """A model of open_clip in single precision on the CPU, in half precision on a GPU.

    SigLIP's models are read as the others are, by a softmax over the names: the bias of their
    sigmoid is the same for all names and falls out.

    Args:
        name: see `find_source`.
        one_pass_size: as in ClipEncoder; for plain vision transformers with a class token, ResNets
            and ConvNeXt. Other image towers take crops only.

    Raises:
        UserError: the weights or the tokenizer are not on this machine, do not fit the model, or
            are of a kind that is not read here.
    """

    def __init__(self, name: str, one_pass_size: int = 0) -> None:
        source = find_source(name)
        model = build_model(source)
        height, width = to_2tuple(model.visual.image_size)
        how = source.preprocess
        squares = height == width and how.resize_mode != "longest"
        if not squares or how.interpolation not in ("bicubic", "bilinear"):
            raise UserError(
                f"open_clip's {source.origin} takes images of {height} × {width}, resized by "
                f"{how.resize_mode} and {how.interpolation}, and crops are squares here, squashed "
                "by bicubic or bilinear: use another model"
            )
        super().__init__(
            embed_dim=source.config["embed_dim"],
            input_size=height,
            pixel_mean=tuple(255 * part for part in how.mean),
            pixel_std=tuple(255 * part for part in how.std),
            logit_scale=float(model.logit_scale.detach().exp()),
            interpolation=how.interpolation,
        )
        self._config = source.config
        self._tokenizer = load_tokenizer(source)
        self.hold("open_clip", model)
        self.hold_vision(open_clip_vision(model.visual), one_pass_size or self.input_size)
        activation = "QuickGELU" if source.config["quick_gelu"] else "GELU"
        logger.info(
            f"open_clip {source.origin}: all {len(model.state_dict())} tensors of {source.file} "
            f"({activation}; crops of {height} px, mean {how.mean}, std {how.std}, "
            f"{how.interpolation})"
        )

    def fingerprint(self) -> str:
        """Of the weights, and of what changes embeddings beside them: activation, tokenizer."""
        tokens = self._tokenizer(["a photo of 2 cats, sitting."]).tolist()
        rest = json.dumps([self._config, tokens], sort_keys=True)
        return hashlib.sha256(f"{super().fingerprint()} {rest}".encode()).hexdigest()

    def _text_features(self, texts: Sequence[str]) -> Tensor:
        limit = self._tokenizer.context_length
        for text in texts:  # open_clip would cut it short
            if _count_tokens(self._tokenizer, text) > limit:
                raise TextError(text, f"more than {limit} tokens")
        return self.network("open_clip").encode_text(self._tokenizer(texts).to(self.device))

    def _image_features(self, crops: Tensor) -> Tensor:
        model = self.network("open_clip")
        return model.encode_image(crops.to(next(model.visual.parameters()).dtype))


def build_model(source: Source) -> Any:
    """open_clip's model with the weights of the file, in single precision. Raises UserError."""
    config = deepcopy(source.config)
    if "multimodal_cfg" in config or "hf_model_name" in (config.get("text_cfg") or {}):
        raise UserError(
            f"open_clip's {source.origin} is a CoCa model or has a text tower of transformers, "
            "which are not read here: use another model"
        )
    kind = open_clip.CustomTextCLIP if config.pop("custom_text", False) else open_clip.CLIP
    state = read_state(source.file)
    try:
        config["vision_cfg"]["timm_model_pretrained"] = False  # would download
        with torch.random.fork_rng(devices=[]):  # the first values are not to change a seeded run
            model = kind(**config)
        state = convert_state_dict(model, state)  # of MobileCLIP's own names
        if hasattr(model, "text"):  # files from before the text tower had a prefix
            state = convert_to_custom_text_state_dict(state)
        for name in ("logit_scale", "logit_bias"):  # numbers or vectors of one number
            if name in state and getattr(model, name) is not None:
                state[name] = state[name].reshape(getattr(model, name).shape)
        model.load_state_dict(state)
        return model.float()
    except Exception as error:  # a configuration can be wrong in many ways
        raise UserError(
            f"the weights file {source.file} does not fit open_clip's model {source.origin} "
            f"({one_line(error)[:300]}): give the model that it was trained as"
        ) from error


def load_tokenizer(source: Source) -> Any:
    """open_clip's tokenizer for a model, from local files alone. Raises UserError."""
    text = source.config["text_cfg"]
    options = dict(
        text.get("tokenizer_kwargs") or {}, context_length=text.get("context_length", 77)
    )
    hub = text.get("hf_tokenizer_name")
    if not hub:
        return open_clip.SimpleTokenizer(**options)
    folder = source.file.parent  # any folder may hold a tokenizer: that of a model has both
    beside = all((folder / name).is_file() for name in (CONFIG_FILE, "tokenizer_config.json"))
    where = str(folder) if beside else hub
    mode = text.get("tokenizer_mode")
    try:
        return HFTokenizer(where, tokenizer_mode=mode, local_files_only=True, **options)
    except ImportError as error:
        raise UserError(
            f"the tokenizer of open_clip's {source.origin} needs a package ({one_line(error)}): "
            "run `pip install transformers`"
        ) from error
    except Exception as error:  # OSError and ValueError, or tokenizers' own kinds
        raise UserError(
            f"the tokenizer {where} of open_clip's {source.origin} cannot be read "
            f"({one_line(error)[:200]}): where there is a network, fill the hub's cache by "
            f'`hf download {hub} --include "*.json" "*.model"`'
        ) from error


def _count_tokens(tokenizer: Any, text: str) -> int:
    """With the start and the end, which truncation would keep."""
    if isinstance(tokenizer, open_clip.SimpleTokenizer):
        return len(tokenizer.encode(text)) + 2
    ids = tokenizer.tokenizer(tokenizer.clean_fn(text)).input_ids
    return len(ids) + bool(tokenizer.tokenizer_mode)  # MetaCLIP 2 appends a class token
