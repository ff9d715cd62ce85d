"""Which model, which preprocessing and which file an open_clip name stands for; reads the file.

The activation (GELU or QuickGELU) and the colours' mean are in no file of weights: they come from a
published tag, from an open_clip_config.json or from the name, and are never guessed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import open_clip
from huggingface_hub import try_to_load_from_cache
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from torch import Tensor

from zsk.errors import UserError
from zsk.files import user_path
from zsk.known_weights import local_file
from zsk.safe_load import one_line

from .clip_file import read_clip_file

CONFIG_FILE = "open_clip_config.json"
WEIGHT_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")  # as on the hub
DECLARED: dict[str, dict[str, Any]] = {"gelu": {}, "quickgelu": {"quick_gelu": True}}
"""Tags of this project for files of one's own training, with open_clip's own preprocessing."""
OPENAI_ENTRIES = ("input_resolution", "context_length", "vocab_size")  # no weights


class Source(NamedTuple):
    """What an encoder is built from."""

    config: dict[str, Any]  # arguments of open_clip's model class, quick_gelu among them
    preprocess: PreprocessCfg
    file: Path
    origin: str  # the model, for messages


def find_source(name: str) -> Source:
    """The source for one of

        MODEL/TAG             open_clip's names; the weights are looked for in the hub's cache
        MODEL/TAG:FILE        the same weights, or others like them, in a file, see `local_file`
        MODEL:FILE            where all published weights of MODEL are alike
        MODEL/gelu:FILE, MODEL/quickgelu:FILE   the activation of a file of one's own
        FOLDER, local-dir:FOLDER, FOLDER/FILE   with an open_clip_config.json
        hf-hub:OWNER/NAME     such a folder in the hub's cache

    Raises:
        UserError: nothing is there, or the activation is not known. Nothing is downloaded.
    """
    head, _, rest = name.partition(":")
    if head == "hf-hub":
        return _from_hub(rest)
    if head == "local-dir":
        return _from_path(user_path(rest))
    known = open_clip.list_models()
    model, tag = head.replace("/", "-"), ""  # open_clip takes OpenAI's ViT-B/16, too
    if model not in known:
        model, _, tag = head.rpartition("/")
        model = model.replace("/", "-")
    if model in known:
        return _from_model(model, tag.lower().replace("-", "_"), rest)
    if name and (path := user_path(name)).exists():
        return _from_path(path)
    raise UserError(
        f"MODEL.CLIP.NAME open_clip:{name} names neither a model of open_clip nor a local folder: "
        "give open_clip:MODEL/TAG such as open_clip:ViT-B-16/laion2b_s34b_b88k, "
        f"open_clip:MODEL/TAG:FILE, open_clip:hf-hub:OWNER/NAME, or a folder with {CONFIG_FILE}"
    )


def _from_model(model: str, tag: str, file: str) -> Source:
    published = {
        tag: open_clip.get_pretrained_cfg(model, tag)
        for tag in open_clip.list_pretrained_tags_by_model(model)
    }
    known = {**published, **(DECLARED if file else {})}
    config = open_clip.get_model_config(model)
    if tag and tag not in known:
        raise UserError(
            f"open_clip has no weights {tag!r} of {model}: give one of {', '.join(known) or 'none'}"
        )
    if not tag and not file:
        raise UserError(
            f"MODEL.CLIP.NAME open_clip:{model} does not say which weights: give "
            f"open_clip:{model}/TAG, with one of {', '.join(published) or 'no'} published tags, or "
            f"open_clip:{model}/TAG:FILE"
        )
    kinds = {  # by what two sets of weights must share to be read alike
        (bool(it.get("quick_gelu")), it["mean"], it["std"], it["interpolation"]): it
        for it in published.values()
    }
    if not tag and len(kinds) > 1:
        raise UserError(
            f"the weights of open_clip's {model} are not all alike (GELU or QuickGELU, colours), "
            f"and no file says which it has: give open_clip:{model}/TAG:{file}, with the published "
            f"tag or, for weights of your own, gelu or quickgelu; tags are {', '.join(published)}"
        )
    unpublished = {"quick_gelu": config.get("quick_gelu")}
    chosen = known[tag] if tag else next(iter(kinds.values()), unpublished)
    if model.endswith("-quickgelu") and not chosen.get("quick_gelu"):
        plain = model.removesuffix("-quickgelu")
        raise UserError(
            f"MODEL.CLIP.NAME open_clip:{model}/{tag} says QuickGELU by its model and GELU by its "
            f"tag: give open_clip:{model}/quickgelu:FILE or open_clip:{plain}/{tag}:FILE"
        )
    config["quick_gelu"] = bool(chosen.get("quick_gelu"))
    path = local_file(file) if file else _cached_tag(model, tag, chosen["hf_hub"])
    origin = f"{model}/{tag}" if tag else model
    return Source(config, _preprocess(chosen), user_path(path), origin)


def _cached_tag(model: str, tag: str, hub: str) -> Path:
    repo, _, file = hub.rpartition("/")
    names = (str(Path(file).with_suffix(".safetensors")), file) if file else WEIGHT_FILES
    if found := _cached(repo, *names):
        return found
    call = f"open_clip.download_pretrained(open_clip.get_pretrained_cfg('{model}', '{tag}'))"
    raise UserError(
        f"the weights {tag} of open_clip's {model} ({repo}) are not in the hub's cache: where "
        f'there is a network, run `python -c "import open_clip; {call}"`, or give a local file as '
        f"open_clip:{model}/{tag}:FILE"
    )


def _from_hub(repo: str) -> Source:
    config, file = _cached(repo, CONFIG_FILE), _cached(repo, *WEIGHT_FILES)
    if config is None or file is None:
        call = f"open_clip.create_model('hf-hub:{repo}', load_weights=False)"
        raise UserError(
            f"open_clip's model {repo} is not in the hub's cache: where there is a network, run "
            f'`python -c "import open_clip; {call}"`, or give a local folder that holds '
            f"{CONFIG_FILE} and the weights"
        )
    return _from_config(config, file, f"hf-hub:{repo}")


def _cached(repo: str, *files: str) -> Path | None:
    """The first of the files that is in the hub's cache."""
    found = (try_to_load_from_cache(repo, file) for file in files if repo.count("/") == 1)
    try:
        return next((Path(file) for file in found if isinstance(file, str)), None)
    except ValueError:  # no name of a repository
        return None


def _from_path(path: Path) -> Source:
    """A folder as the hub lays it out, or a file of weights in such a folder."""
    folder = path if path.is_dir() else path.parent
    if not (folder / CONFIG_FILE).is_file():
        raise UserError(
            f"there is no {CONFIG_FILE} in {folder}, which says what model the weights are of: "
            f"give open_clip:MODEL/TAG:FILE, such as open_clip:ViT-B-16/laion2b_s34b_b88k:{path}"
        )
    names = WEIGHT_FILES if path == folder else (path.name,)
    file = next((folder / name for name in names if (folder / name).is_file()), None)
    if file is None:
        raise UserError(f"{folder} holds no {' or '.join(WEIGHT_FILES)}: give the path of the file")
    return _from_config(folder / CONFIG_FILE, file, str(path))


def _from_config(config_file: Path, file: Path, origin: str) -> Source:
    try:
        content = json.loads(config_file.read_text(encoding="utf-8"))
        config = {"quick_gelu": False, **content["model_cfg"]}  # open_clip's default
        return Source(config, _preprocess(content.get("preprocess_cfg") or {}), file, origin)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(
            f"{config_file} is no configuration of open_clip ({one_line(error)}): fetch it again"
        ) from error


def _preprocess(chosen: dict[str, Any]) -> PreprocessCfg:
    return PreprocessCfg(**merge_preprocess_dict(PreprocessCfg(), chosen))


def read_state(file: Path) -> dict[str, Tensor]:
    """The tensors in a file of weights, or in a checkpoint of open_clip's training.

    Raises:
        UserError: the file cannot be read, or holds no weights. Nothing in it is executed.
    """
    state: Any = read_clip_file(file)
    state = state.get("state_dict", state)
    if not isinstance(state, dict):
        raise UserError(f"the file {file} holds no weights: give CLIP's weights")
    state = {key.removeprefix("module."): value for key, value in state.items()}
    return {key: value for key, value in state.items() if key not in OPENAI_ENTRIES}
