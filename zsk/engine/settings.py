"""The settings of a training: kept in its checkpoints, compared when it is resumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.utils import comm

from zsk.data.vocabularies import get_vocabulary
from zsk.engine.checkpoint import noted_settings
from zsk.engine.network_settings import CLASSES, TEXT_SPACE, same_text_space
from zsk.engine.resume import CHECKPOINTS, POINTER, Checkpoint
from zsk.errors import UserError
from zsk.files import replacing
from zsk.load import config_hash
from zsk.protocol import PROTOCOL, protocol_of
from zsk.settings.key_checks import all_keys

# do not change what a training computes; a resumed one does not read MODEL.WEIGHTS
NOT_OF_TRAINING = (
    "DATALOADER.NUM_WORKERS",
    "DATASETS.TEST",
    "INPUT.MAX_SIZE_TEST",
    "INPUT.MIN_SIZE_TEST",
    "INPUT.SIDE_MULTIPLE_TEST",
    "MODEL.ENSEMBLE.",
    "MODEL.TEST_DTYPE",
    "MODEL.WEIGHTS",
    "OUTPUT_DIR",
    "SOLVER.CHECKPOINT_PERIOD",
    "TEST.",
)
# but the labels of a self-training's teacher depend on these
OF_A_TEACHER = ("MODEL.ENSEMBLE.", "MODEL.TEST_DTYPE", "TEST.SIZE_DIV", "TEST.VOTES_AT")


def checkpoints_in(output_dir: str) -> list[str]:
    """Names of the files that a training has left, sorted."""
    folder = Path(output_dir)
    return sorted(p.name for name in (CHECKPOINTS, POINTER) for p in folder.glob(name))


@contextmanager
def config_of_training_kept(output_dir: str) -> Iterator[None]:
    """An earlier training's config.yaml survives a block that writes another one.

    An evaluation or a refused resume must not change what the checkpoints were trained with.
    """
    file = Path(output_dir, "config.yaml")
    keep = comm.is_main_process() and checkpoints_in(output_dir) and file.is_file()
    before = file.read_bytes() if keep else b""
    yield
    if keep:
        with replacing(file) as unfinished:
            unfinished.write_bytes(before)


def refuse_to_replace(output_dir: str) -> None:
    """A new training does not overwrite an earlier one.

    Raises:
        UserError: OUTPUT_DIR holds a checkpoint.
    """
    found = checkpoints_in(output_dir)
    if found:
        raise UserError(
            f"OUTPUT_DIR {output_dir} holds an earlier training ({', '.join(found[:3])}), which "
            "this one would replace: add --resume to go on with it, or give another OUTPUT_DIR"
        )


def check_equal_settings(cfg: CfgNode) -> None:
    """Raise a UserError where the processes of a run have different configurations."""
    if len(set(comm.all_gather(config_hash(cfg)))) > 1:
        raise UserError(
            "the processes have different configurations: start each with the same file and options"
        )


def training_settings(cfg: CfgNode, processes: int) -> dict[str, Any]:
    """Flat key → value of what decides a training, as plain values, with processes and classes."""
    decide = OF_A_TEACHER if cfg.SELF_TRAINING.ENABLED else ()
    kept = {
        key: value
        for key, value in all_keys(cfg).items()
        if key.startswith(decide) or not key.startswith(NOT_OF_TRAINING)
    }
    classes = list(get_vocabulary(cfg.DATASETS.TRAIN[0]).seen_only().names)
    return {"processes": processes, **kept, PROTOCOL: protocol_of(cfg), CLASSES: classes}


def changes(saved: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """The settings of both that differ, "" where none does: "KEY 2 (was 1), …"."""
    both = saved.keys() & given.keys()
    found = [
        f"{key} {given[key]} (was {saved[key]})"
        for key in sorted(both - {TEXT_SPACE})
        if saved[key] != given[key]
    ]
    if TEXT_SPACE in both and not same_text_space(saved[TEXT_SPACE], given[TEXT_SPACE]):
        found.append("the text tower of MODEL.CLIP.NAME (its embeddings are others)")
    return ", ".join(found)


def drawn_seed(checkpoint: Checkpoint | None) -> int:
    """The seed for a negative SEED: that of the training to resume, else a new one, for all."""
    saved = noted_settings(checkpoint.content["trainer"]) if checkpoint else {}
    return int(saved["SEED"]) if "SEED" in saved else comm.shared_random_seed()
