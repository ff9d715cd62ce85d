"""One photo and a list of names in, one label per pixel out: the model without any data set.

segmentation = Segmenter()(image, "cat, sofa, wall")
segmentation.shares()  # {"cat": 0.61, "sofa": 0.28, "wall": 0.11}

photo = Segmenter().look(image)  # the network runs once
photo.segment("cat, sofa"), photo.segment("animal, furniture")
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import torch
from detectron2.data import transforms as T
from detectron2.modeling import build_model

from zsk.data.augmentations import eval_resize
from zsk.data.vocabularies import unseen_names
from zsk.engine.checkpoint import load_weights
from zsk.engine.network_settings import check_network_settings
from zsk.errors import UserError
from zsk.known_weights import by_name
from zsk.load import check_options, default_vocabulary, load_config, trained_names
from zsk.resources import find_resource
from zsk.test_time_augmentation import with_test_time_augmentation
from zsk.visualization import draw_segmentation, pixel_shares
from zsk.vocabulary import Vocabulary
from zsk.words import Words

DEFAULT_CONFIG = find_resource("configs/embedded/zsk_lite2.yaml")

ClassNames = Words | Vocabulary
logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What a `Segmenter` found in one image.

    Attributes:
        labels: (H,W) int64, ids into `vocabulary`, at the size of the image that was given.
        vocabulary: the names that competed for each pixel.
    """

    labels: np.ndarray
    vocabulary: Vocabulary

    def shares(self) -> dict[str, float]:
        """Name → fraction of the pixels, largest first; a name that was not found has 0."""
        return pixel_shares(self.labels, self.vocabulary.names)

    def overlay(self, image: np.ndarray) -> np.ndarray:
        """The photo and its segmentation side by side with names and legend, (H',W',3) uint8 RGB.

        Args:
            image: the (H,W,3) or (H,W) uint8 array that was segmented.

        Raises:
            UserError: the image is not such an array, or not of the labels' size.
        """
        rgb = as_rgb(image)
        if rgb.shape[:2] != self.labels.shape:
            raise UserError(
                f"the segmentation is of an image of {self.labels.shape[1]}x{self.labels.shape[0]} "
                f"pixels, not of one of {rgb.shape[1]}x{rgb.shape[0]}"
            )
        return np.asarray(draw_segmentation(rgb, self.labels, self.vocabulary.names))


class Segmenter:
    """A loaded model, ready for any image and any names; threads may share it and its photos.

    Args:
        config_file: a YAML file, or one that comes with the package ("configs/…/….yaml"), or a name
            of zsk/known_weights.py, which stands for configuration and weights; None takes that of
            `weights`, or the small model that works without any download.
        weights: a checkpoint file, a name, or hf://user/repository/file; None takes the one that
            the configuration names.
        device: "cpu", "cuda", "cuda:1"; None takes the GPU if there is one.
        opts: further configuration keys and values, as on the command line.

    Raises:
        UserError: a file is missing or does not fit, a key is unknown, a device is not there.
    """

    def __init__(
        self,
        config_file: str | PathLike[str] | None = None,
        weights: str | PathLike[str] | None = None,
        device: str | None = None,
        opts: Sequence[str] = (),
    ) -> None:
        if device is not None:
            _check_device(device)  # before a configuration falls back to the CPU
        check_options(opts)
        merged = ["MODEL.DEVICE", "cuda" if torch.cuda.is_available() else "cpu", *opts]
        if device is not None:
            merged += ["MODEL.DEVICE", device]
        config_file, weights = by_name(config_file, weights)
        if weights is not None:
            merged += ["MODEL.WEIGHTS", str(weights)]
        config_file = os.path.expanduser(config_file or DEFAULT_CONFIG)
        if not os.path.isfile(config_file):
            config_file = find_resource(config_file)
        self.cfg = load_config(str(config_file), merged)
        _check_device(self.cfg.MODEL.DEVICE)
        self.model = build_model(self.cfg).eval()
        trained = load_weights(self.model, self.cfg.MODEL.WEIGHTS)
        check_network_settings(self.cfg, trained, self.model)
        learned = bool(self.cfg.MODEL.WEIGHTS)  # else no class counts as trained
        fixed = self.cfg.MODEL.SEM_SEG_HEAD.CLASSIFIER == "linear"
        self._only = default_vocabulary(self.cfg) if fixed else None
        self._trained = trained_names(self.cfg) if learned else ()
        self._untrained = unseen_names(self.cfg.DATASETS.TRAIN) if learned else ()
        self.model = with_test_time_augmentation(self.cfg, self.model)
        # as the test mapper does it, so that a photo and an evaluated image get the same labels
        self._resize = T.AugmentationList(eval_resize(self.cfg))

    def __call__(self, image: np.ndarray, class_names: ClassNames) -> Segmentation:
        """Give each pixel one of the names: `look`, then `Photo.segment`.

        Args:
            image: (H,W,3) uint8 RGB or (H,W) uint8 grey, at least 1×1.
            class_names: a list of names, one string with commas between them, the `Path` of a
                file (see `zsk.words.class_words`), or a vocabulary. Names that the model was
                trained on count as seen, also in another spelling ("dining_table", "cats").

        Returns:
            labels at the image's own size.

        Raises:
            UserError: the image is something else, or a name is empty, repeated, too long or looks
                like a file.
        """
        return self.together([image], class_names)[0]

    def together(self, images: Sequence[np.ndarray], class_names: ClassNames) -> list[Segmentation]:
        """Several images in one call of the model, with the same results as one by one.

        Images of the same size go through the network together, which pays on a GPU; the memory
        grows with the number of images. Arguments and errors are those of a call with one image.

        Returns:
            one per image, in their order; none for no image.
        """
        vocabulary = self.vocabulary(class_names)
        return [photo.segment(vocabulary) for photo in self._look(images)]

    def look(self, image: np.ndarray) -> Photo:
        """Everything that depends on the image alone, for any number of `Photo.segment`.

        Args:
            image: as in a call with one image.

        Raises:
            UserError: the image is something else.
        """
        return self._look([image])[0]

    def vocabulary(self, class_names: ClassNames) -> Vocabulary:
        """The names with their seen flags; arguments and errors as in a call with one image.

        `Vocabulary.spellings` tells which names are other spellings of trained ones.
        """
        if isinstance(class_names, Vocabulary):
            return self._known(class_names)
        vocabulary = Vocabulary.from_words(class_names, self._trained, self._untrained)
        self._known(vocabulary)
        for word, trained in vocabulary.spellings:
            logger.info('"%s" counts as the trained class "%s"', word, trained)
        return vocabulary

    def _known(self, vocabulary: Vocabulary) -> Vocabulary:
        """The vocabulary; a UserError where a linear classifier has other classes."""
        only = self._only
        if only and vocabulary.names not in (only.names, only.prompt_names):
            raise UserError(
                f"this model knows only its own {len(only)} classes, in their order "
                f"({', '.join(only.names[:3])}, …): give no other class names (MODEL.SEM_SEG_HEAD."
                "CLASSIFIER linear), or take a model that takes any"
            )
        return vocabulary

    def _look(self, images: Sequence[np.ndarray]) -> list[Photo]:
        rgb = [as_rgb(image) for image in images]
        looks = self.model.look([self._resized(image) for image in rgb])
        return [Photo(self, look, image.shape[:2]) for look, image in zip(looks, rgb)]

    def _resized(self, rgb: np.ndarray) -> torch.Tensor:
        """(3,H,W) uint8, as the model takes it."""
        view = T.AugInput(rgb)
        self._resize(view)
        return torch.from_numpy(view.image.transpose(2, 0, 1).copy())


class Photo:
    """One image that a `Segmenter` has looked at, ready for any names; made by `Segmenter.look`."""

    def __init__(self, segmenter: Segmenter, look: Any, size: tuple[int, int]) -> None:
        self._segmenter = segmenter
        self._look = look
        self.size = size  # (height, width)

    def segment(self, class_names: ClassNames) -> Segmentation:
        """Give each pixel one of the names; the network does not run again.

        Arguments, result and errors are those of `Segmenter.__call__`.
        """
        vocabulary = self._segmenter.vocabulary(class_names)
        labels = self._segmenter.model.label(self._look, vocabulary, self.size)
        return Segmentation(labels.cpu().numpy(), vocabulary)


def as_rgb(image: np.ndarray) -> np.ndarray:
    """The image as (H,W,3); grey is repeated.

    Raises:
        UserError: not a uint8 array of shape (H,W,3) or (H,W) with at least one pixel.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        what = f"an array of {image.dtype}" if isinstance(image, np.ndarray) else type(image)
        raise UserError(f"an image must be a numpy array of uint8, 0 to 255, but this is {what}")
    if image.ndim == 2:
        image = np.stack([image] * 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise UserError(
            "an image must be of shape (height, width, 3), red first, or (height, width), with at "
            f"least one pixel, but this one is {image.shape}"
        )
    return image


def _check_device(name: str) -> None:
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device '{name}' cannot be used ({reason}): try 'cpu'") from error
