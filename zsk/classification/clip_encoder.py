"""OpenAI's CLIP (Radford et al., ICML 2021), frozen. The only importer of `clip`."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zsk.errors import UserError

from .clip_file import ClipFile
from .clip_patches import fit_to_patches
from .clip_text import features_in_context
from .clip_vision import ClipVision, clip_vision
from .encoder import TextTooLongError, VisionLanguageEncoder
from .half_at_rest import rest, wake

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

# what only texts go through; of ViT-B/16 254 MB in single precision
_TEXT_TOWER = (
    "transformer",
    "token_embedding",
    "positional_embedding",
    "ln_final",
    "text_projection",
)


class ClipEncoder(VisionLanguageEncoder):
    """CLIP in single precision on the CPU (see half_at_rest.py), in half precision on a GPU.

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
        file = ClipFile(find_weights(weights))
        state = file.read()
        model = _build(state, file.path)
        embed_dim, keys = model.text_projection.shape[1], tuple(model.state_dict())
        tower = {name: getattr(model, name) for name in _TEXT_TOWER}
        _drop_text_tower(model)
        state = {key: _entry(state, key) for key in model.state_dict()}
        _fill(model, state)
        rest(model.visual)
        super().__init__(
            embed_dim=embed_dim,
            input_size=model.visual.input_resolution,
            pixel_mean=PIXEL_MEAN,
            pixel_std=PIXEL_STD,
            logit_scale=float(model.logit_scale.detach().exp()),
        )
        self.one_pass_size = one_pass_size or self.input_size
        self.masked_layers = masked_layers
        self.hold("clip", model)
        self._file, self._keys, self._empty_tower = file, keys, tower

    def release_text(self) -> None:
        """Without its text tower the model is smaller by a third (ViT-B/16: 254 of 599 MB).

        A GPU keeps it: it encodes texts faster than a file is read.
        """
        if self.device.type == "cpu":
            _drop_text_tower(self.network("clip"))

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Name and value of every weight of the model, from the file where it is not in memory."""
        held = self.network("clip").state_dict()
        state = {} if len(held) == len(self._keys) else self._file.read()
        for key in self._keys:
            yield key, held[key] if key in held else _entry(state, key)

    def _named_weights(self) -> Iterator[tuple[str, Tensor]]:
        return ((f"clip.{key}", tensor) for key, tensor in self.weights())

    @torch.inference_mode(False)  # or no gradient could pass through what a test read
    def _with_text_tower(self) -> Any:
        """The model, whole: the text tower is read from the file where it is not there."""
        model = self.network("clip")
        if model.token_embedding is None:
            state = self._file.read()
            state = {key: state[key] for key in self._keys if key.split(".")[0] in _TEXT_TOWER}
            for name, part in self._empty_tower.items():
                setattr(model, name, copy.deepcopy(part).requires_grad_(False))
            _fill(model, state)
            for block in model.transformer.eval().resblocks:
                block.attn_mask = model.build_attention_mask()  # no weight: it has no values yet
            if self.device.type != "cpu":  # there it came as it stays, and the rest may be awake
                self.settle(model)
        return model

    def set_precision(self, network: Any, device: torch.device) -> None:
        wake(network)
        network.float()
        if device.type == "cuda":
            convert_weights(network)  # its own recipe: layer norms and embeddings stay float32
        else:
            rest(network.visual)

    def _text_features(self, texts: Sequence[str]) -> Tensor:
        model = self._with_text_tower()
        tokens = tokenize_all(texts, model.context_length)
        return model.encode_text(tokens.to(self.device))

    def embed_tokens(self, text: str) -> Tensor:
        model = self._with_text_tower()
        tokens = _token_ids(text, model.context_length)[1:-1]  # without start and end
        return model.token_embedding(tokens.to(self.device)).float()

    def _context_features(self, names: Sequence[str], prefix: Tensor, suffix: Tensor) -> Tensor:
        model = self._with_text_tower()
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


def _build(state: dict[str, Tensor], file: Path) -> Any:
    """CLIP of these weights' sizes, on the device "meta": without any values. Raises UserError."""
    try:
        # as numbers it would be there twice, and rounded to halves
        with torch.device("meta"), _WithoutValues():
            # a copy: build_model deletes entries
            return build_model({key: tensor.to("meta") for key, tensor in state.items()}).float()
    except (AssertionError, AttributeError, LookupError, RuntimeError, TypeError) as error:
        raise UserError(
            f"the file {file} holds no complete OpenAI CLIP model ({type(error).__name__}): "
            "give the weights of one of OpenAI's models"
        ) from error


class _WithoutValues(TorchFunctionMode):
    """First values are not computed. On "meta", torch would load its whole compiler for that."""

    _left_out = {
        *(nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_),
        *(Tensor.normal_, Tensor.uniform_, Tensor.triu_),
        *(Tensor.mul, Tensor.__mul__, Tensor.__rmul__),
    }

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in self._left_out:
            return args[0] if args else kwargs["tensor"]  # nn.init passes names
        return (torch.empty if func is torch.randn else func)(*args, **kwargs)


def _entry(state: dict[str, Tensor], key: str) -> Tensor:
    """A weight of a model that could be built from `state`.

    Counts of batch norms may be missing, as in files from before torch counted, and are whole
    numbers also where a file has all of its entries in half precision.
    """
    if key.endswith("num_batches_tracked"):
        return state.get(key, torch.tensor(0)).long()
    return state[key]


def _drop_text_tower(model: Any) -> None:
    for name in _TEXT_TOWER:
        setattr(model, name, None)


def _fill(model: Any, state: dict[str, Tensor]) -> None:
    """Give parts their values in single precision, and `state` up: nothing is there twice."""
    for key, tensor in state.items():
        # a copy in any case: the tensor may be a view of the file, which may be written anew
        dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
        state[key] = tensor.to(dtype, copy=True)
    model.load_state_dict(state, strict=False, assign=True)
