"""Looks at photos on disk: the networks see a photo once, whatever words are asked of it later.

looks = LookCache(segmenter, "looks/")
looks.look("photo.jpg").segment("cat, sofa")  # the networks run, here and in later programs once
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zsk import __version__
from zsk.baselines.per_pixel.dense_clip import Windows
from zsk.baselines.per_pixel.per_pixel_net import HeadMap, Places
from zsk.engine.network_settings import encoder_of, weights_key
from zsk.errors import UserError
from zsk.files import writable_folder
from zsk.input_image import ImageLike, file_of, rgb_array
from zsk.looks.tiles import Tile
from zsk.looks.true_scale import Box
from zsk.regions import Regions
from zsk.safe_load import read_file, save_file
from zsk.segmentation import Segmentation
from zsk.segmenter import ClassNames, Photo, Segmenter
from zsk.settings.key_checks import all_keys

FORMAT = 3  # to be raised when the same model and photo give another look
SUFFIX = ".pt"
_KINDS = (Regions, Box, Tile, Places, HeadMap, Windows)
_SECTIONS = ("MODEL.", "INPUT.", "TEST.")
# the words' part of a model, and what is compared by its content
_NOT_OF_LOOKS = (
    *("MODEL.CLIP.PROMPT", "MODEL.CLIP.REGION_PROMPT", "MODEL.CLIP.TEMPERATURE", "MODEL.DEVICE"),
    *("MODEL.ENSEMBLE.LAMBDA", "MODEL.ENSEMBLE.SEEN_PENALTY", "MODEL.ENSEMBLE.EMPTY"),
    *("MODEL.ENSEMBLE.MASK_SOFTMAX", "MODEL.WEIGHTS", "TEST.IMS_PER_BATCH"),
)

logger = logging.getLogger(__name__)


class LookCache:
    """A segmenter that keeps what it saw, one file per photo and model.

    A file is found by the pixels of the photo and by all that decides what the networks see: the
    configuration, the content of all weights, the version of this package and of torch, the type of
    the device. Names, prompts and λ may change. All numbers are kept in full precision, so labels
    are the same as without the cache. A file that is damaged or of something else is written again.
    Several processes may share the folder, which may be deleted at any time.

    Args:
        folder: is made where it is missing.

    Raises:
        UserError: the folder cannot be made or written to.
    """

    def __init__(self, segmenter: Segmenter, folder: str | PathLike[str]) -> None:
        self.segmenter, self.folder = segmenter, Path(folder)
        writable_folder(self.folder, f"the folder {folder} for looks")
        self._model_key = model_key(segmenter)

    def look(self, image: ImageLike) -> Photo:
        """As `Segmenter.look`; the networks run where no file has the look."""
        rgb, name = rgb_array(image), file_of(image)
        key = hashlib.sha256(f"{self._model_key} {rgb.shape} ".encode())
        key.update(np.ascontiguousarray(rgb).data)
        file = self.folder / f"{key.hexdigest()}{SUFFIX}"
        kept = _read(file, torch.device(self.segmenter.cfg.MODEL.DEVICE))
        if kept is not None:
            return Photo(self.segmenter, rgb, kept, name)
        seen = self.segmenter.look(rgb).seen
        self._write(file, seen)
        return Photo(self.segmenter, rgb, seen, name)

    def together(
        self, images: Sequence[ImageLike], class_names: ClassNames, **options: Any
    ) -> list[Segmentation]:
        """As `Segmenter.together`, photo by photo."""
        vocabulary = self.segmenter.vocabulary(class_names)
        return [self.look(image).segment(vocabulary, **options) for image in images]

    def _write(self, file: Path, look: Any) -> None:
        try:
            # a view would be written with all that it is of
            save_file(file, {"key": file.stem, "look": on_tensors(torch.clone, look)})
        except (UserError, TypeError) as error:
            logger.warning(f"a look is not kept: {error}")


def on_tensors(function: Callable[[Tensor], Tensor], look: Any) -> Any:
    """The look with the function's result in place of each tensor.

    Raises:
        TypeError: there is something in it that could not be read back.
    """
    if isinstance(look, Tensor):
        return function(look)
    if isinstance(look, _KINDS):
        return type(look)(*(on_tensors(function, part) for part in look))
    if type(look) in (list, tuple):
        return type(look)(on_tensors(function, part) for part in look)
    if look is None or isinstance(look, (int, float)):
        return look
    raise TypeError(f"there is a {type(look).__name__} in it, which could not be read back")


def model_key(segmenter: Segmenter) -> str:
    """64 hex digits that change with everything that decides what a look holds, but the photo."""
    cfg = segmenter.cfg
    settings = {
        key: value
        for key, value in all_keys(cfg).items()
        if key.startswith(_SECTIONS) and not key.startswith(_NOT_OF_LOOKS)
    }
    model = getattr(segmenter.model, "model", segmenter.model)  # of one that looks several times
    encoder = encoder_of(model)
    content = [FORMAT, __version__, torch.__version__, torch.device(cfg.MODEL.DEVICE).type]
    content += [settings, weights_key(model)]
    if encoder is not None:
        content += [encoder.pixel_mean, encoder.pixel_std, encoder.input_size]
        content += [encoder.interpolation]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _read(file: Path, device: torch.device) -> Any:
    """The look in a file; None where there is none, or the file is damaged or of something else."""
    try:
        if not file.is_file():  # a pipe would never end
            return None
        content = read_file(file, also=_KINDS)
        if content["key"] != file.stem:
            return None
        return on_tensors(lambda tensor: tensor.to(device), content["look"])
    except (UserError, OSError, LookupError, TypeError, ValueError, AttributeError):
        return None
