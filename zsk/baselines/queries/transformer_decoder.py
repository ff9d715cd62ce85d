"""DETR's transformer decoder: learned queries look at one another and at the image.

The arithmetic is that of DETR (Carion et al., ECCV 2020), with MaskFormer's settings for ResNets:
no encoder, so that the memory is a 1x1 convolution of the coarsest backbone feature.

Shape letters: B images, N queries, D width, h x w memory, L layers.
"""

import math

import torch
from detectron2.layers import Conv2d
from fvcore.nn import weight_init
from torch import Tensor, nn

WAVELENGTH = 10000.0  # of the slowest sine, over the fastest one's


def sine_positions(height: int, width: int, dim: int, device: torch.device) -> Tensor:
    """Position encoding (h*w,D) float32: D/2 numbers for the row, then D/2 for the column.

    Rows and columns count from 1 and are scaled to (0, 2 pi]. `dim` is a multiple of 4.
    """
    rows, columns = (
        sines(torch.arange(1, length + 1, device=device).float() / length * 2 * math.pi, dim // 2)
        for length in (height, width)
    )
    rows = rows[:, None].expand(-1, width, -1)
    columns = columns[None].expand(height, -1, -1)
    return torch.cat([rows, columns], dim=2).flatten(0, 1)


def sines(positions: Tensor, dim: int) -> Tensor:
    """Positions (L,) -> (L,`dim`): sines at even places, their cosines at odd ones."""
    exponents = torch.arange(dim // 2, dtype=torch.float32, device=positions.device) / (dim // 2)
    angles = positions[:, None] * WAVELENGTH**-exponents
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


class TransformerDecoderLayer(nn.Module):
    """Self-attention, cross-attention, feed-forward; each residual, then LayerNorm."""

    def __init__(self, dim: int, num_heads: int, dim_feedforward: int, dropout: float):
        super().__init__()
        self.self_attention = nn.MultiheadAttention(dim, num_heads, dropout, batch_first=True)
        self.self_attention_norm = nn.LayerNorm(dim)
        self.cross_attention = nn.MultiheadAttention(dim, num_heads, dropout, batch_first=True)
        self.cross_attention_norm = nn.LayerNorm(dim)
        self.ffn = nn.Sequential(
            nn.Linear(dim, dim_feedforward),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(dim_feedforward, dim),
        )
        self.ffn_norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, queries: Tensor, keys: Tensor, memory: Tensor) -> Tensor:
        """states, queries (B,N,D), keys, memory (B,h*w,D) -> states (B,N,D).

        `queries` are added to the queries and keys of self-attention and to the queries of
        cross-attention, not to values and residuals; `keys` are the memory with its positions.
        """
        asking = states + queries
        found = self.self_attention(asking, asking, states, need_weights=False)[0]
        states = self.self_attention_norm(states + self.dropout(found))
        found = self.cross_attention(states + queries, keys, memory, need_weights=False)[0]
        states = self.cross_attention_norm(states + self.dropout(found))
        return self.ffn_norm(states + self.dropout(self.ffn(states)))


class TransformerDecoder(nn.Module):
    """N learned queries, refined by L layers; every layer's states are given out."""

    def __init__(
        self,
        in_channels: int,
        *,
        num_queries: int = 100,
        dim: int = 256,
        num_layers: int = 6,
        num_heads: int = 8,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
    ):
        """
        Args:
            in_channels: of the backbone feature that is the memory.
            dim: D, a multiple of 4 and of `num_heads`.
        """
        super().__init__()
        self.query_embed = nn.Parameter(torch.empty(num_queries, dim))
        nn.init.normal_(self.query_embed)
        self.input_proj = Conv2d(in_channels, dim, 1)
        weight_init.c2_xavier_fill(self.input_proj)
        self.layers = nn.ModuleList(
            TransformerDecoderLayer(dim, num_heads, dim_feedforward, dropout)
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(dim)
        for parameter in self.layers.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, feature: Tensor) -> list[Tensor]:
        """Backbone feature (B,C,h,w) -> L states (B,N,D), the last layer's last.

        One LayerNorm is applied to every output; the next layer gets the state before it.
        """
        memory = self.input_proj(feature)
        _, dim, height, width = memory.shape
        positions = sine_positions(height, width, dim, memory.device)
        memory = memory.flatten(2).transpose(1, 2)
        keys = memory + positions.to(memory.dtype)
        queries = self.query_embed.expand(len(memory), -1, -1)
        states = torch.zeros_like(queries)
        outputs = []
        for layer in self.layers:
            states = layer(states, queries, keys, memory)
            outputs.append(self.norm(states))
        return outputs
