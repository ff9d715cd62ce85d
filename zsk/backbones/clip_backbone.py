"""CLIP's own image tower, frozen, as the backbone: one network for the masks and for the names."""

import math
from collections.abc import Sequence

import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone import Backbone
from torch import Tensor
from torch.nn import functional as F

from zsk.classification.build import encoder_of
from zsk.classification.encoder import VisionLanguageEncoder
from zsk.classification.sight import Sight
from zsk.errors import UserError

from .patch_pyramid import PatchPyramid

PROBE_SIDE = 64  # pixels, at least, of the picture that tells the shapes


class ClipBackbone(Backbone):
    """The feature maps of an encoder's image tower, and what its `encode_sight` reads.

    The tower has no weights in the state dict. A vision transformer's maps, which are all of one
    size, go through a `PatchPyramid`, which is trained.
    """

    has_own_weights = True
    is_new = True  # what is trained

    def __init__(
        self, encoder: VisionLanguageEncoder, *, out_features: Sequence[str], scale: float = 1.0
    ):
        """
        Args:
            encoder: one that takes whole photos (with a `vision`).
            out_features: names of levels, "res2" the finest.
            scale: the size of photos for the tower over that of photos here.

        Raises:
            UserError: the tower has no such levels, or a stride is not a whole number of pixels.
        """
        super().__init__()
        self.encoder = encoder
        self.scale = scale
        side = encoder.patch * math.ceil(PROBE_SIDE / encoder.patch)
        levels, _, grid = encoder.see(torch.zeros(1, 3, side, side, device=encoder.device))
        shapes = {name: (level.shape[1], side / level.shape[2]) for name, level in levels.items()}
        self.pyramid: PatchPyramid | None = None
        if len({stride for _, stride in shapes.values()}) == 1:
            names = [name for name in PatchPyramid.FACTORS if name in out_features]
            self.pyramid = PatchPyramid(levels["res2"].shape[1], names)
            shapes = {
                name: (PatchPyramid.WIDTH, encoder.patch * factor)
                for name, factor in PatchPyramid.FACTORS.items()
            }
        self._out_features = list(out_features)
        self._out_feature_channels, self._out_feature_strides = {}, {}
        for name in out_features:
            if name not in shapes:
                raise UserError(
                    f"MODEL.RESNETS.OUT_FEATURES asks for {name}, but the image tower of "
                    f"MODEL.CLIP.NAME has {', '.join(shapes)}"
                )
            self._out_feature_channels[name], stride = shapes[name]
            self._out_feature_strides[name] = _whole_stride(name, stride / scale)
        # photos are padded to multiples of all strides, so that masks and `Sight.regions` cover the
        # same area; a tower with a patch of one pixel pads by itself
        self.patch = _whole_stride("a patch", encoder.patch / scale)
        coarsest = math.lcm(*self._out_feature_strides.values())
        if encoder.patch > 1:
            self.patch = math.lcm(self.patch, coarsest)
        cell = _whole_stride("a cell of what names the regions", side / grid[0] / scale)
        if coarsest % cell:
            raise UserError(
                f"MODEL.RESNETS.OUT_FEATURES is {list(out_features)}, but what names the regions "
                f"has a stride of {cell}: add res5"
            )

    def see(self, pixels: Tensor) -> Sight:
        """(B,3,H,W) normalised -> levels (B,C,h,w) float32, at their true scale.

        The last pixels are repeated up to whole patches and cells of all levels.
        """
        height, width = pixels.shape[-2:]
        missing = (0, -width % self.patch, 0, -height % self.patch)
        pixels = F.pad(pixels, missing, mode="replicate") if any(missing) else pixels
        if self.scale != 1:
            size = [round(side * self.scale) for side in pixels.shape[-2:]]
            pixels = F.interpolate(pixels, size, mode="bicubic", antialias=True)
        sight = self.encoder.see(pixels)
        levels = {name: level.float() for name, level in sight.levels.items()}
        if self.pyramid is not None:
            levels = self.pyramid(levels)
        return sight._replace(levels={name: levels[name] for name in self._out_features})

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """(B,3,H,W) normalised -> the levels of `see`."""
        return dict(self.see(pixels).levels)


def _whole_stride(name: str, stride: float) -> int:
    whole = round(stride)
    if whole < 1 or abs(stride - whole) > 1e-4 * whole:  # 0.6667 is taken for 2/3
        raise UserError(
            f"MODEL.CLIP.BACKBONE_SCALE gives {name} a stride of {stride:g} pixels, which has to be"
            " a whole number: take 0.875 for patches of 14 pixels, else 2.0, 1.0, 0.6667 or 0.5"
        )
    return whole


@BACKBONE_REGISTRY.register()
def build_clip_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> ClipBackbone:
    """Reads MODEL.CLIP, MODEL.RESNETS.OUT_FEATURES and MODEL.PIXEL_MEAN and _STD, which are CLIP's.

    Raises:
        UserError: the encoder takes only crops, or the pixels are of other colours than its.
    """
    encoder = encoder_of(cfg.MODEL.CLIP)
    if encoder.vision is None:
        raise UserError(
            "MODEL.BACKBONE.NAME is build_clip_backbone, but MODEL.CLIP.NAME "
            f"{cfg.MODEL.CLIP.NAME} takes only crops: choose another CLIP, or another backbone"
        )
    for key, own in (("PIXEL_MEAN", encoder.pixel_mean), ("PIXEL_STD", encoder.pixel_std)):
        given = cfg.MODEL[key]
        if cfg.MODEL.PIXEL_ORDER != "RGB" or any(abs(a - b) > 0.1 for a, b in zip(given, own)):
            raise UserError(
                f"MODEL.{key} is {list(given)} of {cfg.MODEL.PIXEL_ORDER}, but the image tower of "
                f"MODEL.CLIP.NAME {cfg.MODEL.CLIP.NAME} takes {[round(x, 3) for x in own]} of RGB"
            )
    return ClipBackbone(
        encoder,
        out_features=cfg.MODEL.RESNETS.OUT_FEATURES,
        scale=cfg.MODEL.CLIP.BACKBONE_SCALE,
    )
