"""The protocol of a training: what it used of the unseen classes. Reports of its numbers say it.

It is noted in checkpoints, under PROTOCOL, and handed on to trainings that start from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from detectron2.config import CfgNode

from zsk.errors import UserError

PROTOCOL = "protocol"

INDUCTIVE = "inductive"
TRANSDUCTIVE = "transductive (self-training on pixels without labels)"
LEAK = "leak (trained with true masks or pictures of unseen classes)"
PROTOCOLS = (INDUCTIVE, TRANSDUCTIVE, LEAK)
"""The strictest first; numbers of different protocols are not compared."""


def protocol_of(cfg: CfgNode) -> str:
    """The protocol of a training with this configuration, whatever weights it starts from."""
    if cfg.DATASETS.LEAK_UNSEEN_LAYOUT:
        return LEAK
    return TRANSDUCTIVE if cfg.SELF_TRAINING.ENABLED else INDUCTIVE


def noted_protocol(notes: Mapping[str, Any]) -> str:
    """What a checkpoint, a report or a result notes; before there was a leak, only "transductive".

    Raises:
        UserError: it is no protocol that this version knows.
    """
    if PROTOCOL not in notes:
        return TRANSDUCTIVE if notes.get("transductive") else INDUCTIVE
    noted = str(notes[PROTOCOL])
    if noted not in PROTOCOLS:
        raise UserError(
            f'"{PROTOCOL}" is {notes[PROTOCOL]!r}, but has to be one of {", ".join(PROTOCOLS)}: '
            "take the version of this project that wrote it"
        )
    return noted


def loosest(*protocols: str) -> str:
    """That of weights on which several have a part."""
    return max(protocols, key=PROTOCOLS.index)


def short_name(protocol: str) -> str:
    """inductive, transductive or leak."""
    return protocol.split()[0]
