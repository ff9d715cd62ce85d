"""OpenAI's CLIP (Radford et al., ICML 2021), frozen. The only importer of `clip`.

Letters as in encoder.py.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from zsk.errors import UserError
from zsk.files import user_path
from zsk.known_weights import check_sha256, local_file

from .clip_file import check_openai, read_clip_file
from .clip_vision import clip_vision
from .encoder import TextError, VisionLanguageEncoder

try:
    import clip
    from clip.model import CLIP as CLIP  # noqa: F401 (for the training of small ones)
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
            `clip`, or a file, see `local_file`: a TorchScript archive as published, or a state
            dict.
        one_pass_size: encode_regions resizes the photo so that its shorter side has about this
            many pixels. 0: input_size, what the model was trained at.
        declared: the file is known to be of OpenAI's model class, see `check_openai`.

    Raises:
        UserError: no such file, no complete CLIP model in it, or perhaps one of open_clip's.
    """

    takes_context = True

    def __init__(self, weights: str, one_pass_size: int = 0, declared: bool = False) -> None:
        file = find_weights(weights)
        if weights in clip.available_models():
            # its address holds the SHA-256, which clip.load compares, too
            check_sha256(file, clip.clip._MODELS[weights].split("/")[-2], f"CLIP {weights}")
            declared = True
        model = _build(file, declared)
        super().__init__(
            embed_dim=model.text_projection.shape[1],
            input_size=model.visual.input_resolution,
            pixel_mean=PIXEL_MEAN,
            pixel_std=PIXEL_STD,
            logit_scale=float(model.logit_scale.detach().exp()),
        )
        self.hold("clip", model)
        self.hold_vision(clip_vision(model.visual), one_pass_size or self.input_size)

    def set_precision(self, network: Any, device: torch.device) -> None:
        network.float()
        if device.type == "cuda":
            convert_weights(network)  # CLIP's recipe: layer norms and embeddings stay float32

    def _text_features(self, texts: Sequence[str]) -> Tensor:
        model = self.network("clip")
        tokens = tokenize_all(texts, model.context_length)
        return model.encode_text(tokens.to(self.device))

    def embed_tokens(self, text: str) -> Tensor:
        model = self.network("clip")
        (padded,) = tokenize_all([text], model.context_length)
        ids = padded[: int(padded.argmax()) + 1]  # the end token has the highest
        return model.token_embedding(ids.to(self.device)).float()

    def _context_features(self, names: Sequence[str], prefix: Tensor, suffix: Tensor) -> Tensor:
        model = self.network("clip")
        prefix, suffix = prefix.to(model.dtype), suffix.to(model.dtype)
        sequences = []
        for name in names:
            tokens = self.embed_tokens(name).to(model.dtype)
            if len(prefix) + len(tokens) + len(suffix) > model.context_length:
                raise TextError(name, f"more than {model.context_length} tokens")
            sequences.append(torch.cat([tokens[:1], prefix, tokens[1:-1], suffix, tokens[-1:]]))
        return _encode_sequences(model, sequences)

    def _image_features(self, crops: Tensor) -> Tensor:
        return self.network("clip").encode_image(crops)


def find_weights(weights: str) -> Path:
    """The file for an OpenAI model's name or a path. Raises UserError where there is none."""
    if weights not in clip.available_models():
        file = user_path(local_file(weights))
        if file.is_file():
            return file
        known = ", ".join(clip.available_models())
        raise UserError(
            f"there is no CLIP weights file {weights}, and no model of that name: "
            f"give the path of a file, 'embedded', 'open_clip:MODEL/TAG', or one of {known}"
        )
    file_name = weights.replace("/", "-").replace("@", "-") + ".pt"
    folders = [Path.home() / ".cache" / "clip"]
    if os.environ.get("ZSK_CLIP_DIR"):
        folders.insert(0, user_path(os.environ["ZSK_CLIP_DIR"]))
    for folder in folders:
        if (folder / file_name).is_file():
            return folder / file_name
    raise UserError(
        f"the weights of CLIP {weights} ({file_name}) are not in "
        f"{' or '.join(str(folder) for folder in folders)}: where there is a network, run "
        f"`python -c \"import clip; clip.load('{weights}')\"`, or give the path of a local file as "
        "MODEL.CLIP.NAME"
    )


def tokenize_all(texts: Sequence[str], context_length: int) -> Tensor:
    """(K,context_length) token ids of K ≥ 1 texts. Raises TextError."""
    rows = []
    for text in texts:
        try:
            rows.append(clip.tokenize(text, context_length))
        except RuntimeError as error:  # the one thing that tokenize refuses
            raise TextError(text, f"more than {context_length} tokens") from error
    return torch.cat(rows)


def _encode_sequences(model: Any, sequences: Sequence[Tensor]) -> Tensor:
    """Token vectors (T,W) of each text → (K,E) features, with gradient for the vectors."""
    ends = torch.tensor([len(sequence) - 1 for sequence in sequences])
    # What follows the end token is never looked at (attention is causal): the sequences end with
    # the longest of them, which for short names is several times cheaper than the full length.
    x = pad_sequence(list(sequences), batch_first=True)
    x = x + model.positional_embedding[: x.shape[1]].to(model.dtype)
    x = x.transpose(0, 1)
    hidden = torch.full((len(x), len(x)), float("-inf"), device=x.device, dtype=x.dtype).triu(1)
    for block in model.transformer.resblocks:  # which itself insists on the full context length
        normed = block.ln_1(x)
        x = x + block.attn(normed, normed, normed, need_weights=False, attn_mask=hidden)[0]
        x = x + block.mlp(block.ln_2(x))
    x = model.ln_final(x.transpose(0, 1)).to(model.dtype)
    return x[torch.arange(len(ends)), ends] @ model.text_projection


def _build(file: Path, declared: bool) -> Any:
    """OpenAI's model with the weights of a file, in single precision. Raises UserError."""
    state = read_clip_file(file)
    try:
        check_openai(file, state, declared)
        with torch.random.fork_rng(devices=[]):  # the first values are not to change a seeded run
            model = build_model(state).float()  # which takes entries that are no weights out
        model.load_state_dict(state)  # again, since build_model rounds the weights to halves
        return model
    except UserError:
        raise
    except Exception as error:  # of shapes, names and numbers of heads, with kinds of their own
        raise UserError(
            f"the file {file} holds no complete OpenAI CLIP model ({type(error).__name__}): "
            "give the weights of one of OpenAI's models"
        ) from error
