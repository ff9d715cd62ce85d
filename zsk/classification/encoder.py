"""The interface of the frozen vision-language models.

Letters: K texts, T tokens of a text, P and Q context vectors before and after a name, W width of
the text tower, R crops or regions, H×W photo, h×w a coarser grid over the whole photo, E width of
the shared text and image space.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from zsk.errors import UserError
from zsk.progress import progress

from .clip_patches import fit_to_patches
from .clip_vision import ClipVision
from .frozen_module import FrozenModule
from .sight import Sight

PROBE = "a photo of a cat."
TEXT_BATCH = 256  # texts encoded at once: bounds the memory of large template ensembles


class TextError(ValueError):
    """The encoder cannot read `text`, which has what `reason` says: "more than 77 tokens"."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"the text {text!r} has {reason}")
        self.text, self.reason = text, reason


class VisionLanguageEncoder(FrozenModule, ABC):
    """A frozen model with one space for texts and images: logits = logit_scale · cosine.

    Attributes:
        embed_dim: E.
        input_size: side in pixels of the square crops.
        pixel_mean, pixel_std: of RGB in 0–255; a crop is normalised as (x - mean) / std.
        interpolation: how a crop is resized, "bicubic" or "bilinear", antialiased.
        logit_scale: τ, the model's own unless `build_encoder` was told another.
        patch: sides of photos for `see` are multiples of it, in pixels.
        takes_context: whether embed_tokens and encode_in_context work.
        takes_images, takes_prompts: False for vectors of bare names, which see no image.
        vision: the image tower on whole photos, for `see`, encode_sight, encode_regions and
            encode_dense; None where it takes crops only. Set by `hold_vision`.
        one_pass_size: shorter side in pixels of the photos of encode_regions; 0: their own.
    """

    patch = 1
    takes_context = False
    takes_images = True
    takes_prompts = True
    vision: ClipVision | None = None
    one_pass_size = 0

    def __init__(
        self,
        *,
        embed_dim: int,
        input_size: int,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        logit_scale: float,
        interpolation: str = "bicubic",
    ) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.input_size = input_size
        self.pixel_mean = pixel_mean
        self.pixel_std = pixel_std
        self.logit_scale = logit_scale
        self.interpolation = interpolation
        self._fingerprint: str | None = None

    @abstractmethod
    def _text_features(self, texts: Sequence[str]) -> Tensor:
        """(K,E) in any precision and length. Raises TextError."""

    @abstractmethod
    def _image_features(self, crops: Tensor) -> Tensor:
        """(R,E) in any precision and length; `crops` as in encode_image."""

    def hold_vision(self, vision: ClipVision | None, one_pass_size: int) -> None:
        """Take over a tower on whole photos; its network is held by a name of its own.

        Raises:
            UserError: photos would be smaller than one patch.
        """
        if vision is not None and 0 < one_pass_size < vision.patch:
            raise UserError(
                f"MODEL.CLIP.ONE_PASS_SIZE is {one_pass_size}, less than the {vision.patch} pixels "
                "of one patch: give more, or 0 for the size that CLIP was trained at"
            )
        self.vision, self.one_pass_size = vision, one_pass_size
        if vision is not None:
            self.patch = vision.patch

    def _context_features(self, names: Sequence[str], prefix: Tensor, suffix: Tensor) -> Tensor:
        """(K,E) in any precision and length; arguments and errors as in encode_in_context."""
        raise NotImplementedError

    def embed_tokens(self, text: str) -> Tensor:
        """A text's tokens, from the start to the end token, as (T,W) float32 vectors on `device`.

        Raises:
            TextError: the text is too long.
            NotImplementedError: this encoder takes whole texts only, see `takes_context`.
        """
        raise NotImplementedError

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """K texts → (K,E) float32 unit rows on `device`. Raises TextError."""
        with self._frozen_arithmetic():
            return self._in_batches(self._text_features, texts)

    def encode_in_context(self, names: Sequence[str], prefix: Tensor, suffix: Tensor) -> Tensor:
        """K names between vectors that stand for tokens (learned prompts).

        The one method through which gradients flow: into prefix and suffix, nothing else.

        Args:
            names: K texts.
            prefix, suffix: (P,W) and (Q,W) float32 on `device`, before and after each name.

        Returns:
            (K,E) float32 unit rows on `device`.

        Raises:
            TextError: `text` is the name that is too long between the two.
            NotImplementedError: this encoder takes whole texts only, see `takes_context`.
        """
        encode = partial(self._context_features, prefix=prefix, suffix=suffix)
        with torch.autocast(self.device.type, enabled=False):
            return self._in_batches(encode, names)

    def probe(self) -> Tensor:
        """(E,) float32, by which a checkpoint knows the text space of its training again."""
        return self.encode_text([PROBE])[0]

    def _in_batches(
        self, encode: Callable[[Sequence[str]], Tensor], texts: Sequence[str]
    ) -> Tensor:
        rows = [torch.zeros(0, self.embed_dim, device=self.device)]
        for start in progress(range(0, len(texts), TEXT_BATCH), "text embeddings"):
            rows.append(F.normalize(encode(texts[start : start + TEXT_BATCH]).float(), dim=1))
        return torch.cat(rows)

    def encode_image(self, crops: Tensor) -> Tensor:
        """(R,3,input_size,input_size) float32 crops, normalised → (R,E) float32 unit rows."""
        return self._unit_rows(self._image_features, crops)

    def see(self, pixels: Tensor) -> Sight:
        """Run the image tower over whole photos.

        Args:
            pixels: (B,3,H,W) float32, normalised; H and W are multiples of `patch`.
        """
        assert self.vision is not None
        with self._frozen_arithmetic():
            return self.vision.see(pixels)

    def encode_sight(self, sight: Sight, masks: Tensor) -> Tensor:
        """Embeddings of regions of a photo that was seen.

        Args:
            sight: of one photo, see `Sight.photo`.
            masks: (R,h,w) float32 in [0,1], over the whole photo at any resolution, none empty.

        Returns:
            (R,E) float32 unit rows.
        """
        assert self.vision is not None
        return self._unit_rows(partial(self.vision.regions, sight), masks)

    def encode_regions(self, pixels: Tensor, masks: Tensor) -> Tensor:
        """Embeddings of all regions from one look at the whole photo, at a size of the encoder's.

        Args:
            pixels: (3,H,W) float32, normalised.
            masks: as in `encode_sight`.

        Returns:
            (R,E) float32 unit rows.
        """
        assert self.vision is not None
        photo = fit_to_patches(pixels, self.vision.patch, self.one_pass_size or None)
        return self.encode_sight(self.see(photo[None]).photo(0), masks)

    def encode_dense(self, pixels: Tensor, attention: str = "value") -> Tensor:
        """An embedding for each place of the photo, in the space of the texts.

        Args:
            pixels: (3,H,W) float32, normalised. Time and memory may grow with the square of H·W, so
                cut or shrink a large photo first.
            attention: one of the `dense_attentions` of `vision`.

        Returns:
            (E,h,w) float32, unit-length columns. The grid covers the photo exactly: interpolate to
            (H,W) with align_corners=False.
        """
        assert self.vision is not None
        with self._frozen_arithmetic():
            photo = fit_to_patches(pixels, self.vision.patch)
            return F.normalize(self.vision.dense(photo, attention).float(), dim=0)

    def _unit_rows(self, encode: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        if not len(images):  # which not every network takes
            return torch.zeros(0, self.embed_dim, device=self.device)
        with self._frozen_arithmetic():
            return F.normalize(encode(images).float(), dim=1)

    @contextmanager
    def _frozen_arithmetic(self) -> Iterator[None]:
        """No gradients, and the precision of the encoder under autocast, too."""
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            yield

    def normalised(self, image: Tensor) -> Tensor:
        """(3,H,W) RGB in 0–255 → float32, as the methods take pixels."""
        mean, std = (
            torch.tensor(colour, device=image.device).view(3, 1, 1)
            for colour in (self.pixel_mean, self.pixel_std)
        )
        return (image.float() - mean) / std

    def black_and_white(self) -> tuple[Tensor, Tensor]:
        """The lowest and the highest normalised colour, (3,1,1) each."""
        black, white = (torch.full((3, 1, 1), colour) for colour in (0.0, 255.0))
        return self.normalised(black), self.normalised(white)

    def fingerprint(self) -> str:
        """64 hex digits (SHA-256) of the weights; the same on every device."""
        if self._fingerprint is None:
            digest = hashlib.sha256()
            for name, network in sorted(self._networks.items()):
                for key, tensor in network.state_dict().items():
                    digest.update(f"{name}.{key} {tuple(tensor.shape)}".encode())
                    # in halves: a float32 and a float16 copy of one network agree
                    values = tensor.half() if tensor.is_floating_point() else tensor
                    digest.update(values.cpu().contiguous().numpy().tobytes())
            self._fingerprint = digest.hexdigest()
        return self._fingerprint
