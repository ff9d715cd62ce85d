"""One photo and a list of names in, one label per pixel out: the model without any data set.

segmentation = Segmenter()("photo.jpg", "cat, sofa, wall")
segmentation.shares()  # {"cat": 0.61, "sofa": 0.28, "wall": 0.11}

photo = Segmenter().look("photo.jpg")  # the network runs once
photo.segment("cat, sofa"), photo.segment("animal, furniture")
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any

import numpy as np
import torch
from detectron2.data import transforms as T

from zsk.answer import Answer
from zsk.data.augmentations import eval_resize
from zsk.data.vocabularies import trained_names
from zsk.engine.trained_model import load_trained
from zsk.errors import UserError
from zsk.input_image import ImageLike, file_of, rgb_array
from zsk.known_weights import by_name
from zsk.load import (
    check_device,
    check_options,
    default_vocabulary,
    has_fixed_classes,
    load_config,
)
from zsk.looks.test_time_augmentation import with_test_time_augmentation
from zsk.resources import find_resource
from zsk.segmentation import Segmentation
from zsk.vocabulary import Vocabulary, ignore_label
from zsk.words import Words

DEFAULT_CONFIG = find_resource("configs/embedded/zsk_lite2.yaml")
ClassNames = Words | Vocabulary
logger = logging.getLogger(__name__)


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
            check_device(device)  # before a configuration falls back to the CPU
        check_options(opts)
        merged = ["MODEL.DEVICE", "cuda" if torch.cuda.is_available() else "cpu", *opts]
        if device is not None:
            merged += ["MODEL.DEVICE", device]
        config_file, weights = by_name(config_file, weights)
        if weights is not None:
            merged += ["MODEL.WEIGHTS", str(weights)]
        config_file = str(DEFAULT_CONFIG if config_file is None else config_file)
        self.cfg = load_config(config_file, merged)
        check_device(self.cfg.MODEL.DEVICE)
        model, _ = load_trained(self.cfg)
        fixed = has_fixed_classes(self.cfg)
        self._only = default_vocabulary(self.cfg) if fixed else None
        learned, data = bool(self.cfg.MODEL.WEIGHTS), self.cfg.DATASETS.TRAIN
        self._trained = trained_names(data) if learned else ()  # of no weights there are none
        self._untrained = trained_names(data, seen=False) if learned else ()
        self.model: Any = with_test_time_augmentation(self.cfg, model)
        # as the test mapper does it, so that a photo and an evaluated image get the same labels
        self._resize = T.AugmentationList(eval_resize(self.cfg))
        self.origin: dict[str, Any] = {
            **{"config": config_file, "weights": self.cfg.MODEL.WEIGHTS},
            **{"clip": self.cfg.MODEL.CLIP.NAME, "opts": [str(word) for word in opts]},
        }

    def __repr__(self) -> str:
        weights = self.cfg.MODEL.WEIGHTS or "no weights"
        return f"<Segmenter {self.cfg.MODEL.META_ARCHITECTURE}, {weights}, {self.cfg.MODEL.DEVICE}>"

    def __call__(self, image: Any, class_names: ClassNames, **options: Any) -> Any:
        """Give each pixel one of the names: `look`, then `Photo.segment`.

        Args:
            image: a photo as `zsk.input_image.rgb_array` takes it: an array, a PIL image or a path;
                or a list of photos.
            class_names: a list of names, one string with commas between them, the `Path` of a
                file (see `zsk.words.class_words`), or a vocabulary. "sofa|couch" is one class with
                two words. Names that the model was trained on count as seen, also in another
                spelling ("dining_table", "cats").
            options: those of `Photo.segment`.

        Returns:
            a `Segmentation`, or a list of them for a list of photos.

        Raises:
            UserError: the image is something else, or a name is empty, repeated, too long or looks
                like a file.
        """
        several = isinstance(image, (list, tuple))
        found = self.together(image if several else [image], class_names, **options)
        return found if several else found[0]

    def together(
        self, images: Sequence[ImageLike], class_names: ClassNames, **options: Any
    ) -> list[Segmentation]:
        """Several images in one call of the model, with the same results as one by one.

        Images of the same size go through the network together, which pays on a GPU; the memory
        grows with the number of images. Arguments and errors are those of a call with one image.

        Returns:
            one per image, in their order; none for no image.
        """
        vocabulary = self.vocabulary(class_names)
        return [photo.segment(vocabulary, **options) for photo in self._look(images)]

    def look(self, image: ImageLike) -> Photo:
        """Everything that depends on the image alone, for any number of `Photo.segment`.

        Args:
            image: as in a call with one image.

        Raises:
            UserError: the image is something else.
        """
        return self._look([image])[0]

    def vocabulary(self, class_names: ClassNames) -> Vocabulary:
        """The names with their seen flags; arguments and errors as in a call with one image.

        `Vocabulary.spellings` tells which names are other spellings of trained ones. A model that
        knows only the classes of its training takes their names, and has its own prompt names and
        flags for them.
        """
        only = self._only
        if isinstance(class_names, Vocabulary):
            vocabulary = class_names
        else:
            vocabulary = Vocabulary.from_words(class_names, self._trained, self._untrained)
            for note in vocabulary.notes():
                logger.info(note)
        if only is None:
            return vocabulary
        if vocabulary.aliases or vocabulary.names not in (only.names, only.prompt_names):
            raise UserError(
                f"this model knows only its own {len(only)} classes, in their order "
                f"({', '.join(only.names[:3])}, …): give no other class names, or choose a model "
                "for any names (MODEL.SEM_SEG_HEAD.NAME and CLASSIFIER decide)"
            )
        return dataclasses.replace(only, names=vocabulary.names)

    def with_background(self, vocabulary: Vocabulary, background: str | None) -> Vocabulary:
        """The background's words as a further class, where there are any.

        Raises:
            UserError: as for `Vocabulary.with_last`, or the model knows only its own classes.
        """
        if background is None:
            return vocabulary
        return self.vocabulary(vocabulary.with_last(background, self._trained, self._untrained))

    def check_numbers(self, threshold: float, lam: float | None) -> None:
        """Raises UserError as `Photo.segment` does."""
        for name, value in {"threshold": threshold, "lam": 0.0 if lam is None else lam}.items():
            number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
            if not number or not 0 <= value <= 1:
                raise UserError(f"{name} is {value!r}, but has to be a number in [0, 1]")
        if lam is not None and self.cfg.MODEL.ENSEMBLE.MODE != "ensemble":
            raise UserError(
                f"lam weighs the head against CLIP, but this model names by one of them alone "
                f"(MODEL.ENSEMBLE.MODE {self.cfg.MODEL.ENSEMBLE.MODE}): leave it out"
            )

    def _look(self, images: Sequence[ImageLike]) -> list[Photo]:
        rgb = [rgb_array(image) for image in images]
        looks = self.model.look([self._resized(image) for image in rgb])
        return [Photo(self, *parts) for parts in zip(rgb, looks, map(file_of, images))]

    def _resized(self, rgb: np.ndarray) -> torch.Tensor:
        """(3,H,W) uint8, as the model takes it."""
        view = T.AugInput(rgb)
        self._resize(view)
        return torch.from_numpy(view.image.transpose(2, 0, 1).copy())


class Photo:
    """One image that a `Segmenter` has looked at, ready for any names; made by `Segmenter.look`.

    Attributes:
        image: (H,W,3) uint8 RGB.
        seen: what the model's `look` gave, see `zsk.zsk_net.ZSKNet.look`.
        file: the path that it was read from, None of an image that was no file.
    """

    def __init__(
        self, segmenter: Segmenter, image: np.ndarray, seen: Any, file: str | None = None
    ) -> None:
        self.image = image
        self._segmenter = segmenter
        self.seen = seen
        self.file = file

    def __repr__(self) -> str:
        return f"<Photo {self.size[1]}x{self.size[0]}>"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[0], self.image.shape[1]

    def segment(
        self,
        class_names: ClassNames,
        *,
        background: str | None = None,
        threshold: float = 0.0,
        lam: float | None = None,
    ) -> Segmentation:
        """Give each pixel one of the names; the network does not run again.

        Args:
            class_names: as for `Segmenter.__call__`.
            background: words for what has none of the names, such as "wall|floor|sky": pixels where
                they fit best are background. They count as seen as names do.
            threshold: in [0,1]; pixels whose confidence is below are background.
            lam: λ in [0,1], in place of MODEL.ENSEMBLE.LAMBDA: the weight of the head for seen
                classes, and of CLIP for unseen ones.

        Raises:
            UserError: as for `Segmenter.__call__`; a number is out of its range, or the model has
                no ensemble.
        """
        segmenter = self._segmenter
        vocabulary = segmenter.vocabulary(class_names)
        segmenter.check_numbers(threshold, lam)
        answer = self._answer(vocabulary, background, self.size, lam)
        labels, confidence = answer.label()
        none = (labels == len(vocabulary)) | (confidence < threshold)
        labels = labels.masked_fill(none, ignore_label(len(vocabulary)))
        ensemble = segmenter.cfg.MODEL.ENSEMBLE
        if lam is None and ensemble.MODE == "ensemble":
            lam = ensemble.LAMBDA
        origin = {
            **({} if self.file is None else {"image": self.file}),
            **{**segmenter.origin, "background": background, "threshold": float(threshold)},
            **{"lam": None if lam is None else float(lam)},
        }
        return Segmentation(
            labels.cpu().numpy(), confidence.cpu().numpy(), vocabulary, self.image, answer, origin
        )

    def probabilities(
        self,
        class_names: ClassNames,
        *,
        size: tuple[int, int],
        background: str | None = None,
        lam: float | None = None,
    ) -> np.ndarray:
        """(K,h,w) float32 in [0,1], class scores; (K+1,h,w) with those of the background last.

        Args:
            class_names, background, lam: as for `segment`.
            size: (h,w), whatever the size of the photo.

        Raises:
            UserError: as `segment`, or the size is not two whole numbers from 1.
        """
        sides = list(size) if isinstance(size, Iterable) else []
        if len(sides) != 2 or not all(isinstance(n, (int, np.integer)) and n > 0 for n in sides):
            raise UserError(f"the size {size} is not two whole numbers, height and width, from 1")
        vocabulary = self._segmenter.vocabulary(class_names)
        self._segmenter.check_numbers(0.0, lam)
        return self._answer(vocabulary, background, size, lam).probabilities().cpu().numpy()

    def _answer(
        self,
        vocabulary: Vocabulary,
        background: str | None,
        size: tuple[int, int],
        lam: float | None,
    ) -> Answer:
        """With the background as a further class, where there is one."""
        asked = self._segmenter.with_background(vocabulary, background)
        return self._segmenter.model.answer(self.seen, asked, size, lam)
