"""Builds the feature map F (ASPP or pyramid) from a configuration."""

from collections.abc import Mapping

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec

from zsk.errors import UserError

from .aspp_features import AsppFeatures
from .norm import NORM_GROUPS
from .pixel_decoder import PixelDecoder


def build_feature_map(
    head: CfgNode, input_shape: Mapping[str, ShapeSpec], dim: int
) -> AsppFeatures | PixelDecoder:
    """ASPP on one feature (method), or the feature pyramid of ZS-MaskFormer on several."""
    if len(head.IN_FEATURES) == 1:
        return build_aspp_features(head, input_shape, dim, "KERNELS.DIM")
    check_norm_width(head.NORM, "SEM_SEG_HEAD.CONVS_DIM", head.CONVS_DIM)
    return build_pyramid(head, input_shape, conv_dim=head.CONVS_DIM, mask_dim=dim)


def build_aspp_features(
    head: CfgNode, input_shape: Mapping[str, ShapeSpec], dim: int, key: str
) -> AsppFeatures:
    """ASPP and fusion as `head`, MODEL.SEM_SEG_HEAD, asks for them; dim: D, the value of `key`."""
    if len(head.ASPP_DILATIONS) != 3:
        raise UserError(
            f"MODEL.SEM_SEG_HEAD.ASPP_DILATIONS is {list(head.ASPP_DILATIONS)}, but ASPP of "
            f"{head.NAME} takes three: SPNetHead takes any number"
        )
    check_norm_width(head.NORM, key, dim)
    check_norm_width(head.NORM, "SEM_SEG_HEAD.ASPP_CHANNELS", head.ASPP_CHANNELS)
    return AsppFeatures(
        input_shape,
        in_feature=head.IN_FEATURES[0],
        fine_feature=head.FINE_FEATURE,
        aspp_dilations=head.ASPP_DILATIONS,
        aspp_channels=head.ASPP_CHANNELS,
        dim=dim,
        norm=head.NORM,
    )


def build_pyramid(
    head: CfgNode, input_shape: Mapping[str, ShapeSpec], *, conv_dim: int, mask_dim: int
) -> PixelDecoder:
    """The feature pyramid over IN_FEATURES of `head`, MODEL.SEM_SEG_HEAD.

    Raises:
        UserError: unless there are some, finest first.
    """
    names = list(head.IN_FEATURES)
    key = f"MODEL.SEM_SEG_HEAD.IN_FEATURES is {names}"
    if not names:
        raise UserError(f"{key}: name the backbone features, such as [res2, res3, res4, res5]")
    strides = [int(input_shape[name].stride or 1) for name in names]
    if strides != sorted(strides):
        raise UserError(f"{key}, of strides {strides}: put the finest first, the coarsest last")
    return PixelDecoder(
        input_shape, in_features=names, conv_dim=conv_dim, mask_dim=mask_dim, norm=head.NORM
    )


def check_norm_width(norm: str, key: str, width: int) -> None:
    """Raises UserError where a norm cannot part so many channels into its groups."""
    if norm == "GN" and width % NORM_GROUPS:
        raise UserError(
            f"MODEL.{key} is {width}, but has to be a multiple of {NORM_GROUPS} with "
            "MODEL.SEM_SEG_HEAD.NORM GN"
        )
