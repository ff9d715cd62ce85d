"""SIGN's relative positional encoding and positional module (Cheng et al., ICCV 2021).

Type 1 of the public code, its default. Shape letters: B images, D width of the features, h x w
feature map.
"""

import torch
from torch import Tensor, nn

from zsk.baselines.queries.transformer_decoder import sines

from .context_module import DilatedContext

LAST_POSITION = 511.0


def relative_positions(height: int, width: int, dim: int, device: torch.device) -> Tensor:
    """The encoding (D,h,w) float32: D/2 channels for the column, then D/2 for the row.

    The first column is 0 and the last 511, whatever the width, and likewise the rows. Even
    channels are sines, odd ones cosines of the same frequency. D is a multiple of 4.
    """
    rows, columns = (
        sines(torch.linspace(0.0, LAST_POSITION, length, device=device), dim // 2).T
        for length in (height, width)
    )
    columns = columns[:, None].expand(-1, height, -1)
    rows = rows[:, :, None].expand(-1, -1, width)
    return torch.cat([columns, rows])


class PositionModule(nn.Module):
    """Adds to maps (B,D,h,w) what their sigmoids and the places of the cells say."""

    def __init__(self, dim: int, width: int):
        """`dim`: D, a multiple of 4; `width`: of the hidden convolutions."""
        super().__init__()
        assert dim % 4 == 0
        self.surroundings = DilatedContext(2 * dim, width, dim)

    def forward(self, maps: Tensor) -> Tensor:
        dim, height, width = maps.shape[1:]
        places = relative_positions(height, width, dim, maps.device)
        places = places.to(maps.dtype).expand(len(maps), -1, -1, -1)
        return maps + self.surroundings(torch.cat([maps.sigmoid(), places], dim=1))
