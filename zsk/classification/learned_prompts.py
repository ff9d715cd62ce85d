"""Prompts of learned vectors: [p0]…[pi] name […] (CoOp, Zhou et al., IJCV 2022).

Letters: K names, P and Q context vectors before and after the name, W width of the text tower, E
width of the text space.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from zsk.errors import UserError
from zsk.known_weights import local_file
from zsk.safe_load import read_file, save_file

from .encoder import VisionLanguageEncoder
from .prompts import get_templates

CONTEXT = {"prefix", "suffix"}
CONTENT = {*CONTEXT, "trained_on", "encoder"}  # of a file


class LearnedPrompts(nn.Module):
    """Context vectors before and after every class name.

    Args:
        prefix, suffix: (P,W) and (Q,W) float32.
        trained_on: names and prompt names of the classes whose masks the vectors learned from.
    """

    def __init__(self, prefix: Tensor, suffix: Tensor, trained_on: Sequence[str] = ()) -> None:
        super().__init__()
        self.prefix = nn.Parameter(prefix)
        self.suffix = nn.Parameter(suffix)
        self.trained_on = tuple(trained_on)

    def forward(self, encoder: VisionLanguageEncoder, names: Sequence[str]) -> Tensor:
        """(K,E) float32 unit rows on the encoder's device, with gradient for the vectors.

        Raises TextError; its `text` is the name.
        """
        device = encoder.device
        return encoder.encode_in_context(names, self.prefix.to(device), self.suffix.to(device))


def load_prompts(
    name: str, weights: str, encoder: VisionLanguageEncoder, key: str = "MODEL.CLIP.PROMPT"
) -> tuple[str, ...] | LearnedPrompts:
    """The prompts that `key` names: templates, or "learned" from the file `weights`.

    Raises:
        UserError: no such templates; an encoder that takes no context; a file that is missing,
            damaged, or learned with another encoder.
    """
    if name != "learned":
        return get_templates(name, key)
    check_takes_context(encoder)
    if not weights:
        raise UserError(
            f"{key} is learned, but {key}_WEIGHTS is empty: give a file "
            "that tools/train_prompts.py wrote"
        )
    path = local_file(weights)
    content = read_file(path, f"{key}_WEIGHTS, the file of learned prompts")
    if (
        not isinstance(content, dict)
        or not content.keys() >= CONTENT
        or not all(
            isinstance(content[part], Tensor) and content[part].ndim == 2 for part in CONTEXT
        )
    ):
        raise UserError(
            f"{path} ({key}_WEIGHTS) holds no learned prompts: give a file that "
            "tools/train_prompts.py wrote"
        )
    if content["encoder"] != encoder.fingerprint():
        raise UserError(
            f"the learned prompts {weights} ({key}_WEIGHTS) were trained with another "
            "encoder than MODEL.CLIP.NAME: give the one they belong to, or train others with "
            "tools/train_prompts.py"
        )
    return LearnedPrompts(content["prefix"], content["suffix"], content["trained_on"])


def check_takes_context(encoder: VisionLanguageEncoder) -> None:
    """Raise a UserError unless prompts can be learned for this encoder."""
    if not encoder.takes_context:
        raise UserError(
            "learned prompts need the text tower of OpenAI's CLIP, which MODEL.CLIP.NAME has not: "
            "choose templates for MODEL.CLIP.PROMPT, such as single, or a model of OpenAI's"
        )


def save_prompts(path: str, prompts: LearnedPrompts, encoder: VisionLanguageEncoder) -> None:
    """Write `path`, whole or not at all, with the encoder's fingerprint, for `load_prompts`.

    Raises:
        UserError: it cannot be written.
    """
    content = {
        "prefix": prompts.prefix.detach().cpu(),
        "suffix": prompts.suffix.detach().cpu(),
        "trained_on": list(prompts.trained_on),
        "encoder": encoder.fingerprint(),
    }
    save_file(path, content)
