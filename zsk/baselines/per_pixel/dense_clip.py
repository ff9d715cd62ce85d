"""Dense features of a vision-language model in a sliding window, without training.

After MaskCLIP (Zhou et al., ECCV 2022). Shape letters: H x W photo, Y x X windows, h x w places in
a window, K classes, E width of the text space.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zsk.classification.encoder import VisionLanguageEncoder
from zsk.errors import UserError

MAX_ENLARGED = 8  # windows along the longer side, when a photo is enlarged for its shorter one


class Windows(NamedTuple):
    """Maps of all windows on a photo, at the resolution of the encoder's features.

    The maps are embeddings (C = E), or class probabilities (C = K). Nothing of the photo's own
    resolution is kept.
    """

    maps: Tensor  # (Y,X,C,h,w) float32
    tops: list[int]  # Y first rows of the windows, in pixels of the photo
    lefts: list[int]  # X first columns
    window: int  # side in pixels of the photo
    size: tuple[int, int]  # (height, width) of the photo

    def probabilities(self, text: Tensor, temperature: float) -> "Windows":
        """Embeddings and text (K,E) unit rows -> class probabilities, which sum to 1 over K."""
        logits = temperature * torch.einsum("ke,yxehw->yxkhw", text.float(), self.maps)
        return self._replace(maps=logits.softmax(dim=2))

    def rows(self, size: tuple[int, int], top: int, bottom: int) -> Tensor:
        """Rows [top, bottom) of the photo at `size` (H,W): (C,bottom-top,W).

        Maps are averaged where windows overlap. They should be probabilities: with logits one
        confident window would outvote the others.
        """
        (height, width), (h, w) = size, self.maps.shape[-2:]
        device = self.maps.device
        rows = torch.arange(top, bottom, device=device)
        columns = torch.arange(width, device=device)
        down = window_weights(rows, height / self.size[0], self.tops, self.window, h)
        across = window_weights(columns, width / self.size[1], self.lefts, self.window, w)
        strip = torch.einsum("ryi,yxkij->krxj", down, self.maps)
        return torch.einsum("krxj,cxj->krc", strip, across)


class DenseClip(nn.Module):
    """Embeddings of the places of a photo, in windows that overlap by half.

    The windows have the encoder's input size.
    """

    def __init__(self, encoder: VisionLanguageEncoder, attention: str = "value"):
        """
        Args:
            attention: one of the `dense_attentions` of the encoder's `vision`.

        Raises:
            UserError: the encoder has no dense features, or not with MODEL.PER_PIXEL.ATTENTION.
        """
        super().__init__()
        if encoder.vision is None:
            raise UserError(
                "MODEL.CLIP.NAME stands for an encoder without dense features, which "
                "MODEL.ENSEMBLE.MODE clip and ensemble need: choose another one, or the mode head"
            )
        attentions = encoder.vision.dense_attentions
        if attention not in attentions:
            raise UserError(
                f"MODEL.PER_PIXEL.ATTENTION is {attention}, but MODEL.CLIP.NAME stands for an "
                f"encoder with {' and '.join(attentions)} only, as all but CLIP's "
                "plain vision transformers: choose that, or a ViT"
            )
        self.encoder = encoder
        self.attention = attention
        self.window = encoder.input_size

    @torch.no_grad()
    def forward(self, image: Tensor) -> Windows:
        """Look at one photo.

        Args:
            image: (3,H,W) uint8 or float, RGB in 0-255, without padding. One that is smaller than
                the window is enlarged until its shorter side is as long as the window.
        """
        pixels = self.encoder.normalised(_enlarged(image.float(), self.window))
        height, width = pixels.shape[-2:]
        tops = window_positions(height, self.window)
        lefts = window_positions(width, self.window)
        maps = [
            self.encoder.encode_dense(part, self.attention)
            for rows in (pixels[:, y : y + self.window] for y in tops)
            for part in (rows[:, :, x : x + self.window] for x in lefts)
        ]
        grid = torch.stack(maps).unflatten(0, (len(tops), len(lefts)))
        return Windows(grid, tops, lefts, self.window, (height, width))


def window_positions(length: int, window: int) -> list[int]:
    """First pixels of the windows along a side: half a window apart, the last one at the border."""
    return [*range(0, length - window, max(1, window // 2)), length - window]


def window_weights(
    pixels: Tensor, scale: float, starts: Sequence[int], window: int, places: int
) -> Tensor:
    """How much each place of each window counts for some pixels, along one side.

    Bilinear interpolation between the places of a window (corners not aligned), and the mean over
    the windows that a pixel lies in.

    Args:
        pixels: (P,) int, of the result.
        scale: the result's length over that of the photo the windows lie on.
        starts, window: S first pixels of the windows and their length, on that photo.
        places: of a window.
    Returns:
        (P,S,places) float32 that sums to 1 for each pixel.
    """
    centres = (pixels + 0.5) / scale
    offsets = centres[:, None] - torch.tensor(starts, device=pixels.device)  # (P,S)
    inside = (offsets >= 0) & (offsets < window)
    position = (offsets * (places / window) - 0.5).clamp(0, places - 1)
    distance = (position[:, :, None] - torch.arange(places, device=pixels.device)).abs()
    weights = (1 - distance).clamp(min=0) * inside[:, :, None]
    return weights / inside.sum(dim=1)[:, None, None]


def _enlarged(image: Tensor, side: int) -> Tensor:
    """(3,H,W), enlarged where necessary until both sides are at least `side`."""
    height, width = image.shape[-2:]
    scale = side / min(height, width)
    if scale <= 1:
        return image
    # the aspect is kept unless the longer side would become longer
    limit = max(height, width, MAX_ENLARGED * side)
    size = [min(max(side, round(length * scale)), limit) for length in (height, width)]
    return F.interpolate(image[None], size, mode="bilinear", align_corners=False)[0]
