"""SIGN's relative positional encoding and positional module (Cheng et al., ICCV 2021).

Type 1 of the public code, its default. Shape letters: B images, D width of the features, h x w
feature map.
"""

import torch
from torch import Tensor, nn

from .context_module import DilatedContext

LAST_POSITION = 511.0
WAVELENGTH = 10000.0  # of the slowest sine, over the fastest one's


def relative_positions(height: int, width: int, dim: int, device: torch.device) -> Tensor:
    """The encoding (D,h,w) float32: D/2 channels for the column, then D/2 for the row.

    The first column is 0 and the last 511, whatever the width, and likewise the rows. Even
    channels are sines, odd ones cosines of the same frequency. D is a multiple of 4.
    """
    exponents = torch.arange(dim // 4, dtype=torch.float32, device=device) / (dim // 4)
    frequencies = WAVELENGTH**-exponents

    def encode(length: int) -> Tensor:
        positions = torch.linspace(0.0, LAST_POSITION, length, device=device)
        angles = frequencies[:, None] * positions
        return torch.stack([angles.sin(), angles.cos()], dim=1).flatten(0, 1)  # (D/2,length)

    columns = encode(width)[:, None].expand(-1, height, -1)
    rows = encode(height)[:, :, None].expand(-1, -1, width)
    return torch.cat([columns, rows])


class PositionModule(nn.Module):
    """Adds to maps (B,D,h,w) what their sigmoids and the places of the cells say."""

    def __init__(self, dim: int, width: int):
        """
        Args:
            dim: D, a multiple of 4.
            width: of the hidden convolutions.
        """
        super().__init__()
        assert dim % 4 == 0
        self.surroundings = DilatedContext(2 * dim, width, dim)

    def forward(self, maps: Tensor) -> Tensor:
        dim, height, width = maps.shape[1:]
        places = relative_positions(height, width, dim, maps.device)
        places = places.to(maps.dtype).expand(len(maps), -1, -1, -1)
        return maps + self.surroundings(torch.cat([maps.sigmoid(), places], dim=1))
