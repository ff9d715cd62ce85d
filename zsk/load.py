"""A configuration file and options -> a checked configuration, and what follows from it."""

import hashlib
import os
from collections.abc import Sequence

import torch
import yaml
from detectron2.config import CfgNode, get_cfg

from zsk.config import add_zsk_config
from zsk.data.builtin import datasets_root, register_all
from zsk.data.register import get_vocabulary, seen_names
from zsk.data.split_file import register_split_file
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary


def load_config(config_file: str, opts: Sequence[str] = ()) -> CfgNode:
    """Defaults, then the file (with its _BASE_), then `opts` (KEY VALUE …); registers data sets.

    Relative MODEL.WEIGHTS, MODEL.CLIP.PROMPT_WEIGHTS and DATASETS.SPLIT_FILE in the file are taken
    from the file's folder where they exist there.
    Without a GPU, MODEL.DEVICE cuda becomes cpu, SOLVER.AMP is switched off and MODEL.TEST_DTYPE
    is float32.

    Raises:
        UserError: the file is missing or is no YAML, a key is unknown, a value has a wrong type;
            the same for the split file.
    """
    if not config_file:
        raise UserError(
            "no configuration is given: name one of the folder configs/ (--config-file)"
        )
    if not os.path.isfile(config_file):
        raise UserError(f"config file {config_file} does not exist: see the folder configs/")
    register_all(datasets_root())
    cfg = get_cfg()
    add_zsk_config(cfg)
    try:
        cfg.merge_from_file(config_file)
    except (KeyError, ValueError, AssertionError, yaml.YAMLError, OSError) as error:
        raise UserError(f"config file {config_file}: {_first_line(error)}") from error
    cfg.MODEL.WEIGHTS = _beside(config_file, cfg.MODEL.WEIGHTS)
    cfg.MODEL.CLIP.PROMPT_WEIGHTS = _beside(config_file, cfg.MODEL.CLIP.PROMPT_WEIGHTS)
    cfg.DATASETS.SPLIT_FILE = _beside(config_file, cfg.DATASETS.SPLIT_FILE)
    try:
        cfg.merge_from_list(list(opts))
    except (KeyError, ValueError, AssertionError) as error:
        raise UserError(
            f"command-line options: {_first_line(error)} (zsk/config.py lists the keys)"
        ) from error
    if cfg.DATASETS.SPLIT_FILE:
        register_split_file(cfg.DATASETS.SPLIT_FILE)
    if cfg.MODEL.DEVICE == "cuda" and not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
    if cfg.MODEL.DEVICE == "cpu":
        cfg.SOLVER.AMP.ENABLED = False
        cfg.MODEL.TEST_DTYPE = "float32"  # half precision is slower on a CPU
    return cfg


def default_vocabulary(cfg: CfgNode) -> Vocabulary:
    """The joint vocabulary of the first test data set (of the first training one without it)."""
    names = tuple(cfg.DATASETS.TEST) + tuple(cfg.DATASETS.TRAIN)
    if not names:
        raise UserError("DATASETS.TEST and DATASETS.TRAIN are empty: name a registered data set")
    return get_vocabulary(
        names[0], friendly=cfg.DATASETS.PROMPT_NAMES, trained_on=cfg.DATASETS.TRAIN
    )


def trained_names(cfg: CfgNode) -> tuple[str, ...]:
    """Names and prompt names of the classes that a model of this configuration saw masks of."""
    return seen_names(cfg.DATASETS.TRAIN)


def config_hash(cfg: CfgNode) -> str:
    """sha256 of everything that decides a result: the configuration less what goes where."""
    relevant = cfg.clone()
    relevant.defrost()
    relevant.OUTPUT_DIR = ""
    relevant.TEST.DUMP = []
    return hashlib.sha256(relevant.dump().encode()).hexdigest()


def _beside(config_file: str, path: str) -> str:
    """The path from the configuration's folder if there is such a file, else as it is."""
    beside = os.path.join(os.path.dirname(os.path.abspath(config_file)), path)
    return beside if os.path.isfile(beside) else path


def _first_line(error: Exception) -> str:
    """What is wrong, without KeyError's quotes, on one line."""
    text = str(error.args[0]) if error.args else type(error).__name__
    return " ".join(text.split())
