"""OpenAI's CLIP (Radford et al., ICML 2021), frozen. The only importer of `clip`."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zsk.errors import UserError

from .clip_patches import fit_to_patches
from .clip_text import features_in_context
from .clip_vision import ClipVision, clip_vision
from .encoder import TextTooLongError, VisionLanguageEncoder

try:
    import clip
    from clip.model import CLIP as CLIP  # noqa: F401 (clip_training's)
    from clip.model import build_model, convert_weights
except ImportError as error:
    raise UserError(
        f"OpenAI's CLIP code cannot be imported ({error}): "
        "run `pip install openai-clip==1.0.1 'setuptools<81'` (`clip` on PyPI is something else)"
    ) from error

PIXEL_MEAN = (255 * 0.48145466, 255 * 0.4578275, 255 * 0.40821073)
PIXEL_STD = (255 * 0.26862954, 255 * 0.26130258, 255 * 0.27577711)


class ClipEncoder(VisionLanguageEncoder):
    """CLIP in single precision on the CPU, in half precision on a GPU.

    Args:
        weights: an OpenAI model's name, looked for in $ZSK_CLIP_DIR and in the cache folder of
            `clip`, or the path of a file: a TorchScript archive as published, or a state dict.
        one_pass_size: encode_regions resizes the photo so that its shorter side has about this
            many pixels. 0: input_size, what the model was trained at.
        masked_layers: of the last layers of a vision transformer, how many give each region a class
            token of its own that sees only the patches under its mask; all, where it has fewer.

    Raises:
        UserError: no such file, no complete CLIP model in it, or a number outside its range.
    """

    takes_regions = True
    takes_dense = True
    takes_context = True

    def __init__(self, weights: str, one_pass_size: int = 0, masked_layers: int = 4) -> None:
        if one_pass_size < 0:
            raise UserError(f"MODEL.CLIP.ONE_PASS_SIZE is {one_pass_size}, but must not be < 0")
        if masked_layers < 1:
            raise UserError(f"MODEL.CLIP.MASKED_LAYERS is {masked_layers}, but must be at least 1")
        file = find_weights(weights)
        model = _build(_read_state_dict(file), file)
        super().__init__(
            embed_dim=model.text_projection.shape[1],
            input_size=model.visual.input_resolution,
            pixel_mean=PIXEL_MEAN,
            pixel_std=PIXEL_STD,
            logit_scale=float(model.logit_scale.detach().exp()),
        )
        self.one_pass_size = one_pass_size or self.input_size
        self.masked_layers = masked_layers
        self.hold("clip", model)

    def set_precision(self, network: nn.Module, device: torch.device) -> None:
        network.float()
        if device.type == "cuda":
            convert_weights(network)  # its own recipe: layer norms and embeddings stay float32

    def _text_features(self, texts: Sequence[str]) -> Tensor:
        model = self.network("clip")
        tokens = tokenize_all(texts, model.context_length)
        return model.encode_text(tokens.to(self.device))

    def embed_tokens(self, text: str) -> Tensor:
        model = self.network("clip")
        tokens = _token_ids(text, model.context_length)[1:-1]  # without start and end
        return model.token_embedding(tokens.to(self.device)).float()

    def _context_features(self, names: Sequence[str], prefix: Tensor, suffix: Tensor) -> Tensor:
        model = self.network("clip")
        limit = model.context_length
        tokens = [_token_ids(name, limit).to(self.device) for name in names]
        for name, ids in zip(names, tokens):
            if len(prefix) + len(ids) + len(suffix) > limit:
                raise TextTooLongError(name, limit)
        return features_in_context(model, tokens, prefix, suffix)

    def _image_features(self, crops: Tensor) -> Tensor:
        return self.network("clip").encode_image(crops)

    def _region_features(self, pixels: Tensor, masks: Tensor) -> Tensor:
        vision = self._vision()
        return vision.regions(fit_to_patches(pixels, vision.patch, self.one_pass_size), masks)

    def _dense_features(self, pixels: Tensor) -> Tensor:
        vision = self._vision()
        return vision.dense(fit_to_patches(pixels, vision.patch))

    def _vision(self) -> ClipVision:
        return clip_vision(self.network("clip").visual, self.masked_layers)


def find_weights(weights: str) -> Path:
    """The file for an OpenAI model's name or a path. Raises UserError where there is none."""
    if weights not in clip.available_models():
        file = Path(weights).expanduser()
        if file.is_file():
            return file
        known = ", ".join(clip.available_models())
        raise UserError(
            f"there is no CLIP weights file {weights}, and no model of that name: "
            f"give the path of a file, 'embedded', or one of {known}"
        )
    file_name = weights.replace("/", "-").replace("@", "-") + ".pt"
    folders = [Path.home() / ".cache" / "clip"]
    if os.environ.get("ZSK_CLIP_DIR"):
        folders.insert(0, Path(os.environ["ZSK_CLIP_DIR"]))
    for folder in folders:
        if (folder / file_name).is_file():
            return folder / file_name
    raise UserError(
        f"the weights of CLIP {weights} ({file_name}) are not in "
        f"{' or '.join(str(folder) for folder in folders)}: where there is a network, run "
        f"`python -c \"import clip; clip.load('{weights}')\"`, or give the path of a local file"
    )


def tokenize_all(texts: Sequence[str], context_length: int) -> Tensor:
    """(K,context_length) token ids of K ≥ 1 texts. Raises TextTooLongError."""
    return torch.cat([_tokenize(text, context_length) for text in texts])


def _tokenize(text: str, context_length: int) -> Tensor:
    """(1,context_length) token ids. Raises TextTooLongError."""
    try:
        return clip.tokenize(text, context_length)
    except RuntimeError as error:  # the one thing that tokenize refuses
        raise TextTooLongError(text, context_length) from error


def _token_ids(text: str, context_length: int) -> Tensor:
    """(T,) token ids from the start to the end token. Raises TextTooLongError."""
    padded = _tokenize(text, context_length)[0]
    return padded[: int(padded.argmax()) + 1]  # the end token has the highest id


def _read_state_dict(file: Path) -> dict[str, Tensor]:
    """The tensors in a TorchScript archive or a saved state dict. Raises UserError."""
    try:
        if _is_script_archive(file):
            return dict(torch.jit.load(str(file), map_location="cpu").state_dict())
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (
        OSError, EOFError, RuntimeError, ValueError, LookupError, AttributeError,
        pickle.UnpicklingError, zipfile.BadZipFile,
    ) as error:  # fmt: skip
        raise UserError(
            f"the CLIP weights file {file} cannot be read, it may be a partial download "
            f"({type(error).__name__}): fetch it again"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise UserError(f"the file {file} holds no state dict: give OpenAI CLIP's weights")
    return state


def _is_script_archive(file: Path) -> bool:
    """Both kinds are zip files (older state dicts aside); only TorchScript carries code."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.split("/")[1:2] == ["code"] for name in archive.namelist())


def _build(state: dict[str, Tensor], file: Path) -> Any:
    """CLIP with the weights at the precision they were saved in. Raises UserError."""
    try:
        model = build_model(dict(state)).float()  # a copy: build_model deletes entries
        known = model.state_dict()
        kept = {key: tensor for key, tensor in state.items() if key in known}
        # Again, because build_model rounds every weight to half precision.
        model.load_state_dict(kept)
    except (AssertionError, AttributeError, LookupError, RuntimeError, TypeError) as error:
        raise UserError(
            f"the file {file} holds no complete OpenAI CLIP model ({type(error).__name__}): "
            "give the weights of one of OpenAI's models"
        ) from error
    return model
