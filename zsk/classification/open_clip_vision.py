"""open_clip's image towers on a whole photo. Letters as in clip_vision.py."""

from __future__ import annotations

from typing import Any

from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from timm.models.convnext import ConvNeXt
from torch import Tensor, nn

from .clip_patches import patch_coverage
from .clip_vision import ClipVision, clip_vision
from .sight import Sight


class ConvNextVision(ClipVision):
    """timm's ConvNeXt and open_clip's projection: the pooling is restricted to a mask.

    Each mean over places goes through timm's head (norm, hidden layers) and the projection, as the
    mean over a whole image does. FC-CLIP (Yu et al., NeurIPS 2023) pools this way, too.
    """

    def see(self, photos: Tensor) -> Sight:
        """Levels are the four stages, the last of which timm's head pools."""
        trunk = self.visual.trunk
        x, stages = trunk.forward_intermediates(photos.to(next(trunk.parameters()).dtype))
        levels = {f"res{i}": stage for i, stage in enumerate(stages, start=2)}
        return Sight(levels, (x,), x.shape[-2:])

    def regions(self, sight: Sight, masks: Tensor) -> Tensor:
        (features,) = sight.regions
        coverage = patch_coverage(masks, features.shape[-2:])
        shares = (coverage / coverage.sum(dim=1, keepdim=True)).to(features.dtype)
        return self._project(shares @ features.flatten(1).T)

    def _project(self, tokens: Tensor) -> Tensor:
        """To timm's head each row is an image of one place."""
        return self.visual.head(self.visual.trunk.forward_head(tokens[:, :, None, None]))


def open_clip_vision(visual: nn.Module) -> ClipVision | None:
    """The tower `visual` on a whole photo; None where it takes crops only.

    A plain vision transformer is changed in place, in its layout alone.
    """
    if isinstance(visual, ModifiedResNet):
        return clip_vision(visual)
    if isinstance(visual, TimmModel) and isinstance(visual.trunk, ConvNeXt):
        pools = getattr(visual.trunk.head, "global_pool", None)
        return ConvNextVision(visual) if getattr(pools, "pool_type", "") == "avg" else None
    if isinstance(visual, VisionTransformer) and _is_plain(visual):
        # tokens before images, the layout of OpenAI's towers
        visual.transformer.batch_first = False
        for block in visual.transformer.resblocks:
            block.attn.batch_first = False
        return clip_vision(visual)
    return None


def _is_plain(visual: Any) -> bool:
    """Blocks and pooling as in OpenAI's towers; the activation may be another one."""
    return (
        visual.pool_type == "tok"
        and visual.attn_pool is None
        and all(
            isinstance(block, ResidualAttentionBlock) and isinstance(block.ls_1, nn.Identity)
            for block in visual.transformer.resblocks
        )
    )
