"""A feature pyramid of a vision transformer, whose layers are all on one grid of patches.

After ViTDet's simple pyramid (Li et al., ECCV 2022), with a layer of its own for each level.
Shape letters: B photos, C channels in, h x w patches.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

GROUPS = 32  # of the norms


class PatchPyramid(nn.Module):
    """Maps (B,C,h,w) -> (B,256,…): res2 four times the size, res3 two, res4 one, res5 half."""

    WIDTH = 256
    FACTORS = {"res2": 0.25, "res3": 0.5, "res4": 1.0, "res5": 2.0}  # of the stride

    def __init__(self, channels: int, names: Sequence[str]):
        """
        Args:
            channels: C.
            names: of the levels that are made.
        """
        super().__init__()
        finer: dict[str, list[nn.Module]] = {
            "res2": [_enlarged(), nn.GELU(), _enlarged()],
            "res3": [_enlarged()],
            "res4": [],
            "res5": [nn.MaxPool2d(2, ceil_mode=True)],
        }
        self.levels = nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.GroupNorm(1, channels),
                    nn.Conv2d(channels, self.WIDTH, 1),
                    *finer[name],
                    nn.GroupNorm(GROUPS, self.WIDTH),
                )
                for name in names
            }
        )

    def forward(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: level(maps[name]) for name, level in self.levels.items()}


def _enlarged() -> nn.Module:
    return nn.ConvTranspose2d(PatchPyramid.WIDTH, PatchPyramid.WIDTH, 2, stride=2)
