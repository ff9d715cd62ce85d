"""A feature pyramid of a vision transformer, whose layers are all on one grid of patches.

After ViTDet's simple pyramid (Li et al., ECCV 2022), with a layer of its own for each level.
Shape letters: B photos, C channels in, h x w patches.
"""

from collections.abc import Mapping

from torch import Tensor, nn

GROUPS = 32  # of the norms


class PatchPyramid(nn.Module):
    """Maps res2 to res5 (B,C,h,w) -> (B,256,…), four, two, one and half times the size."""

    WIDTH = 256
    FACTORS = {"res2": 0.25, "res3": 0.5, "res4": 1.0, "res5": 2.0}  # of the stride

    def __init__(self, channels: int):
        super().__init__()
        width = self.WIDTH
        self.levels = nn.ModuleDict(
            {
                "res2": nn.Sequential(_merged(channels), _enlarged(), nn.GELU(), _enlarged()),
                "res3": nn.Sequential(_merged(channels), _enlarged()),
                "res4": _merged(channels),
                "res5": nn.Sequential(_merged(channels), nn.MaxPool2d(2, ceil_mode=True)),
            }
        )
        self.norms = nn.ModuleDict({name: nn.GroupNorm(GROUPS, width) for name in self.levels})

    def forward(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: self.norms[name](level(maps[name])) for name, level in self.levels.items()}


def _merged(channels: int) -> nn.Module:
    # CLIP's tokens have a few channels a hundred times as large as the others
    return nn.Sequential(nn.GroupNorm(1, channels), nn.Conv2d(channels, PatchPyramid.WIDTH, 1))


def _enlarged() -> nn.Module:
    return nn.ConvTranspose2d(PatchPyramid.WIDTH, PatchPyramid.WIDTH, 2, stride=2)
