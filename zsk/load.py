"""A configuration file and options -> a checked configuration, and what follows from it."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce

import torch
from detectron2.config import CfgNode
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from fvcore.common.config import BASE_KEY

from zsk.config import default_config
from zsk.data.builtin import register_builtin
from zsk.data.split_file import register_split_file
from zsk.data.vocabularies import get_vocabulary
from zsk.errors import UserError
from zsk.resources import find_resource
from zsk.settings.config_file import BESIDE_THE_FILE, SafeConfig, flat, own_content
from zsk.settings.key_checks import all_keys, check_read, check_together, check_values, was_dumped
from zsk.vocabulary import Vocabulary

# yacs quotes both values, and for a section all of its keys
_MISMATCH = r"Type mismatch \(<class '(?:.*\.)?(\w+)'> vs\. .* vs\. (.*)\) for config key: (.*)"
PATHS = (*BESIDE_THE_FILE, "OUTPUT_DIR", "MODEL.TIMM.WEIGHTS", "MODEL.CLIP.NAME")
_KINDS = {
    **{"SafeConfig": "a section of keys", "str": "a text", "bool": "True or False"},
    **{"int": "a whole number", "float": "a number such as 1.0", "tuple": "a list"},
}


def config_path(config_file: str) -> str:
    """The file itself or, where it does not exist, the installed package's of that name."""
    path = os.path.expanduser(config_file)
    return path if os.path.exists(path) else str(find_resource(path))


def load_config(config_file: str, opts: Sequence[str] = ()) -> CfgNode:
    """Defaults, then the file (with its _BASE_), then `opts` (KEY VALUE …); registers data sets.

    Relative paths: see `read_config`. A ~ at the beginning of `config_file` or of one of PATHS is
    the home folder. Without a GPU, MODEL.DEVICE cuda becomes cpu, SOLVER.AMP is switched off and
    MODEL.TEST_DTYPE is float32.

    Raises:
        UserError: the file is missing or is no YAML, a key is unknown, has a value that it cannot
            have, or would do nothing; the same for the split file.
    """
    if not config_file:
        raise UserError(
            "no configuration is given: name one of the folder configs/ (--config-file)"
        )
    config_file = config_path(config_file)
    if not os.path.exists(config_file):
        raise UserError(f"config file {config_file} does not exist: see the folder configs/")
    register_builtin()
    given = {".".join(key) for key, _ in flat(own_content(config_file))} - {BASE_KEY}
    cfg = SafeConfig(default_config())
    with _named(f"config file {config_file}"):
        cfg.merge_from_file(config_file)
        check_values(cfg)
        if not was_dumped(given):
            check_read(cfg, given)
    check_options(opts)
    with _named("command-line options"):
        cfg.merge_from_list(list(opts))
        check_values(cfg)
        check_read(cfg, opts[::2])
        check_together(cfg)
    _change(cfg, PATHS, os.path.expanduser)
    if cfg.DATASETS.SPLIT_FILE:
        register_split_file(cfg.DATASETS.SPLIT_FILE)
    if cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
    if not cfg.MODEL.DEVICE.startswith("cuda"):
        cfg.SOLVER.AMP.ENABLED = False
    if cfg.MODEL.DEVICE == "cpu":
        cfg.MODEL.TEST_DTYPE = "float32"  # half precision is slower on a CPU
    return cfg


def check_device(name: str) -> None:
    """Raise a UserError for a device that is not there."""
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device '{name}' cannot be used ({reason}): try 'cpu'") from error


def default_vocabulary(cfg: CfgNode) -> Vocabulary:
    """The joint vocabulary of the first test data set (of the first training one without it)."""
    names = tuple(cfg.DATASETS.TEST) + tuple(cfg.DATASETS.TRAIN)
    if not names:
        raise UserError("DATASETS.TEST and DATASETS.TRAIN are empty: name a registered data set")
    return get_vocabulary(
        names[0], friendly=cfg.DATASETS.PROMPT_NAMES, trained_on=cfg.DATASETS.TRAIN, words=True
    )


def has_fixed_classes(cfg: CfgNode) -> bool:
    """Whether the model names the classes of its training only, and no words of a user's."""
    head = cfg.MODEL.SEM_SEG_HEAD
    kind = SEM_SEG_HEADS_REGISTRY.get(head.NAME)
    return head.CLASSIFIER == "linear" or getattr(kind, "names_known_classes", False)


def config_hash(cfg: CfgNode) -> str:
    """sha256 of everything that decides a result: the configuration less what goes where."""
    relevant = {**all_keys(cfg), "OUTPUT_DIR": "", "TEST.DUMP": []}
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()


def check_options(opts: Sequence[str]) -> None:
    """Raise a UserError for options that are no KEY VALUE pairs, quoting what the user gave."""
    keys = all_keys(default_config())
    for place, option in enumerate(opts):
        if str(option).startswith("--"):
            raise UserError(
                f"{option} stands behind KEY VALUE pairs: give options with -- before them"
            )
        if place % 2 == 0 and (place + 1 == len(opts) or str(opts[place + 1]) in keys):
            raise UserError(
                f"command-line options: {option} has no value: give KEY VALUE pairs, and a list as "
                "one word in quotes"
            )


def _change(cfg: CfgNode, keys: Sequence[str], change: Callable[[str], str]) -> None:
    for key in keys:
        *sections, name = key.split(".")
        node = reduce(getattr, sections, cfg)
        setattr(node, name, change(getattr(node, name)))


@contextmanager
def _named(source: str) -> Iterator[None]:
    """A mistake found in the block is a UserError that names where it comes from."""
    try:
        yield
    except UserError as error:
        if str(error).startswith("config file "):
            raise  # it names the file of a _BASE_
        raise UserError(f"{source}: {error}") from error
    except (KeyError, ValueError, AssertionError, RecursionError, MemoryError) as error:
        # without KeyError's quotes, on one line
        text = " ".join(str(error.args[0] if error.args else type(error).__name__).split())
        mismatch = re.match(_MISMATCH, text)
        if mismatch:
            kind, value, key = mismatch.groups()
            text = f"{key} is {value[:60]}, but has to be {_KINDS.get(kind, kind)}"
        raise UserError(f"{source}: {text} (zsk/config.py lists the keys)") from error
