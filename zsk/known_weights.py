"""Weights by name: published models, their files on this machine, and who publishes them.

Nothing is downloaded, except a file that is given as hf://user/repository/file.
"""

from __future__ import annotations

import hashlib
import os
import re
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from zsk.errors import UserError
from zsk.resources import find_resource

SUFFIXES = (".pth", ".safetensors")
_HUB_ADDRESS = re.compile(r"hf://([^/@]+/[^/@]+)(?:@([^/]+))?/(.+)")


class KnownWeights(NamedTuple):
    """A row of the table; the configuration is the .yaml beside the file.

    file: in `weights_folder()`, or in the package. The suffix may be any of SUFFIXES.
    source: who publishes the model, and the file to convert.
    sha256: 64 hex digits; "" for a file that the user converts.
    """

    file: str
    licence: str
    source: str
    sha256: str = ""


_MASK_FORMER = "github.com/facebookresearch/MaskFormer (MODEL_ZOO.md, ADE20K, model_final_"
_ZSSEG = "github.com/MendelXu/zsseg.baseline (README.md, Trained Model of the"
_BY_NC = "CC BY-NC 4.0"
KNOWN = {
    "zsk_lite2": KnownWeights(
        "configs/embedded/zsk_lite2.pth",
        "Apache-2.0",
        "this package",
        "13d0414561e3f17a42615a8a6a3cb06a2cff1dc26e8d6926852422cd38cd1367",
    ),
    "zsseg_coco": KnownWeights("zsseg_coco.pth", _BY_NC, f"{_ZSSEG} zero-shot setting)"),
    "zsseg_cross": KnownWeights("zsseg_cross.pth", _BY_NC, f"{_ZSSEG} cross-dataset setting)"),
    "maskformer_r50": KnownWeights("maskformer_r50.pth", _BY_NC, f"{_MASK_FORMER}d8dbeb.pkl)"),
    "maskformer_r101": KnownWeights("maskformer_r101.pth", _BY_NC, f"{_MASK_FORMER}1aeb94.pkl)"),
    "maskformer_r101c": KnownWeights("maskformer_r101c.pth", _BY_NC, f"{_MASK_FORMER}b432ea.pkl)"),
}


def weights_folder() -> Path:
    """$ZSK_WEIGHTS_DIR, or ~/.cache/zsk-net/weights."""
    return Path(os.path.expanduser(os.environ.get("ZSK_WEIGHTS_DIR") or "~/.cache/zsk-net/weights"))


def local_file(name: str) -> str:
    """The path of the file that `name` stands for, which need not exist.

    Args:
        name: a path, which goes first; a name of KNOWN; or hf://user/repository[@revision]/file,
            which huggingface_hub fetches once and keeps.

    Raises:
        UserError: a named file is missing or is another one; an address cannot be fetched.
    """
    if name.startswith("hf://"):
        return _fetched(name)
    if name in KNOWN and not os.path.isfile(name):
        return str(_known_file(name))
    return name


def by_name(
    config_file: str | PathLike[str] | None, weights: str | PathLike[str] | None
) -> tuple[str | PathLike[str] | None, str | PathLike[str] | None]:
    """Configuration and weights, where one of them may be a name of KNOWN that brings the other.

    A file of weights alone brings the .yaml beside it, also where it is given as `config_file`.

    Raises:
        UserError: the name is unknown, or a configuration is missing.
    """
    if weights is None and str(config_file).endswith(SUFFIXES):
        config_file, weights = None, config_file
    name = str(config_file or weights or "")
    if not re.fullmatch(r"[\w-]+", name) or os.path.isfile(name):
        return (config_file or _config_beside(name) if weights else config_file), weights
    if name not in KNOWN:
        raise UserError(
            f"there is no file {name}, and no weights of that name: give a file, or one of "
            f"{', '.join(KNOWN)}"
        )
    config = _known_file(name).with_suffix(".yaml")
    if not config.is_file():
        raise UserError(
            f"the configuration of the weights {name} is not at {config}: "
            "zsk convert writes it beside them"
        )
    return str(config), name if weights is None else weights


def check_sha256(file: Path, sha256: str, what: str) -> None:
    """Raise a UserError unless the file has the SHA-256 of the published one, `what`."""
    with open(file, "rb") as content:
        if hashlib.file_digest(content, "sha256").hexdigest() != sha256:
            raise UserError(
                f"{file} is not the published file of {what} (its SHA-256 is another): fetch it "
                "again, or give its path instead of the name to use it as it is"
            )


def _config_beside(weights: str) -> str:
    """The configuration of a file of weights, or of an address, that is given without one."""
    file = Path(os.path.expanduser(weights))
    if not weights.startswith("hf://"):
        if not file.is_file():
            raise UserError(f"weights file {weights} does not exist: give a checkpoint or a name")
        if file.with_suffix(".yaml").is_file():
            return str(file.with_suffix(".yaml"))
    raise UserError(
        f"weights {weights} without a configuration: give --config-file (config_file of a "
        "Segmenter), such as the config.yaml of their training, or keep it as the .yaml of the "
        "same name beside them"
    )


def _known_file(name: str) -> Path:
    known, folder = KNOWN[name], weights_folder()
    if folder.exists() and not folder.is_dir():
        raise UserError(
            f"the folder of weights, {folder}, is a file: set ZSK_WEIGHTS_DIR to a folder"
        )
    places = [folder / known.file, find_resource(known.file)]
    found = [p.with_suffix(s) for p in places for s in SUFFIXES if p.with_suffix(s).is_file()]
    if len(found) > 1 and found[0].parent == found[1].parent:
        raise UserError(
            f"the weights {name} are both {found[0]} and {found[1].name}: delete one of them, or "
            "give the path of the file to use"
        )
    if not found:
        target = folder / known.file
        raise UserError(
            f"the weights {name} are not at {target}: get FILE from {known.source}, licence "
            f"{known.licence}, and run `zsk convert FILE {target}`, or set "
            "ZSK_WEIGHTS_DIR to the folder that has them"
        )
    if known.sha256:
        check_sha256(found[0], known.sha256, name)
    return found[0]


def _fetched(address: str) -> str:
    """The local copy of a file of the Hugging Face hub."""
    match = _HUB_ADDRESS.fullmatch(address)
    if not match:
        raise UserError(f"{address} is no address of a file: give hf://user/repository/file")
    repository, revision, file = match.groups()
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise UserError(
            f"{address} needs the package huggingface_hub: run `pip install huggingface_hub`, or "
            "give the path of a local file"
        ) from error
    try:
        return str(hf_hub_download(repository, file, revision=revision))
    except Exception as error:  # the hub, its HTTP library and the disk have their own kinds
        reason = " ".join(str(error).split("\n\n")[0].split()) or type(error).__name__
        raise UserError(
            f"{address} cannot be fetched ({type(error).__name__}: {reason}): check address, "
            "network and access, or give the path of a local file"
        ) from error
