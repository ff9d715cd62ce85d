"""One update stage: static kernels become group-aware (eqs. 3.1-3.5).

The arithmetic is that of K-Net's kernel update head (Zhang et al., NeurIPS 2021). An option decides
where the thesis and K-Net differ: gather activation, sum or mean, a feature transform.

Shape letters: B images, D kernel width, N kernels, h x w feature map.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .masks import convolve_kernels, resize_masks


def gather_group_features(
    features: Tensor, mask_logits: Tensor, activation: str, reduction: str
) -> Tensor:
    """Pool the features under every mask (eq. 3.1).

    features (B,D,h,w), mask_logits (B,N,h,w) -> (B,N,D) float32. `activation` is "sigmoid" (method)
    or "softmax" over the N kernels (K-Net's public code); `reduction` is "sum" (method) or "mean",
    which divides by the area of the mask. The sum over h*w pixels overflows float16, so it is taken
    in float32 under autocast, too.
    """
    with torch.autocast(device_type=features.device.type, enabled=False):
        logits = mask_logits.float()
        masks = logits.sigmoid() if activation == "sigmoid" else logits.softmax(dim=1)
        if reduction == "mean":
            masks = masks / masks.sum(dim=(2, 3), keepdim=True).clamp(min=1e-6)
        return masks.flatten(2) @ features.float().flatten(2).mT


class KernelGate(nn.Module):
    """Gated mix of group features and kernels (eqs. 3.2, 3.3; K-Net's adaptive kernel update)."""

    def __init__(self, dim: int, groups: int = 1):
        """
        Args:
            dim: D, a multiple of `groups`.
            groups: a kernel is cut into so many rows, which pass the same weights (2 rows of 256 in
                K-Net's public configurations).
        """
        super().__init__()
        dim //= groups
        self.dim = dim
        self.group_fc = nn.Linear(dim, 2 * dim)
        self.kernel_fc = nn.Linear(dim, 2 * dim)
        self.group_gate = nn.Linear(dim, dim)
        self.kernel_gate = nn.Linear(dim, dim)
        self.group_gate_norm = nn.LayerNorm(dim)
        self.kernel_gate_norm = nn.LayerNorm(dim)
        self.group_norm = nn.LayerNorm(dim)
        self.kernel_norm = nn.LayerNorm(dim)
        self.out_fc = nn.Linear(dim, dim)
        self.out_norm = nn.LayerNorm(dim)

    def forward(self, group: Tensor, kernels: Tensor) -> Tensor:
        """group (B,N,D), kernels (B,N,D) -> updated kernels (B,N,D) float32.

        In float32 under autocast, too: `group` is a sum over pixels, and F_G, a product with it,
        overflows float16.
        """
        with torch.autocast(device_type=group.device.type, enabled=False):
            group, kernels = (x.float().unflatten(-1, (-1, self.dim)) for x in (group, kernels))
            group_in, group_out = self.group_fc(group).split(self.dim, dim=-1)
            kernel_in, kernel_out = self.kernel_fc(kernels).split(self.dim, dim=-1)
            joint = group_in * kernel_in  # F_G, eq. 3.2
            group_gate = self.group_gate_norm(self.group_gate(joint)).sigmoid()
            kernel_gate = self.kernel_gate_norm(self.kernel_gate(joint)).sigmoid()
            group_part = group_gate * self.group_norm(group_out)
            mixed = group_part + kernel_gate * self.kernel_norm(kernel_out)
            return F.relu(self.out_norm(self.out_fc(mixed))).flatten(-2)


class KernelInteraction(nn.Module):
    """Self-attention and feed-forward over the N kernels, residual + LayerNorm (eq. 3.4)."""

    def __init__(self, dim: int, num_heads: int, dim_feedforward: int):
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, num_heads, batch_first=True)
        self.attention_norm = nn.LayerNorm(dim)
        self.ffn = nn.Sequential(
            nn.Linear(dim, dim_feedforward),
            nn.ReLU(inplace=True),
            nn.Identity(),  # K-Net's dropout of 0, which counts in the names of the weights
            nn.Linear(dim_feedforward, dim),
        )
        self.ffn_norm = nn.LayerNorm(dim)

    def forward(self, kernels: Tensor) -> Tensor:
        """kernels (B,N,D) -> (B,N,D)."""
        attended = self.attention(kernels, kernels, kernels, need_weights=False)[0]
        kernels = self.attention_norm(kernels + attended)
        return self.ffn_norm(kernels + self.ffn(kernels))


class KernelUpdateStage(nn.Module):
    """Gather, gate, interact, predict."""

    def __init__(
        self,
        *,
        dim: int = 256,
        num_heads: int = 8,
        dim_feedforward: int = 2048,
        num_mask_layers: int = 1,
        gather_activation: str = "sigmoid",
        gather_reduction: str = "sum",
        feature_transform: bool = False,
        mask_update: str = "predict",
        gate_groups: int = 1,
    ):
        """
        Args:
            num_mask_layers: linear -> LayerNorm -> ReLU blocks in g_s before its last linear.
            gather_activation, gather_reduction: see `gather_group_features`.
            feature_transform: a 1x1 convolution on F in every stage (in K-Net's public
                configurations, not in the method).
            mask_update: "predict" (eq. 3.5), or "add" the prediction to the previous masks, which
                is a choice of this project for initial masks from clusters.
            gate_groups: see `KernelGate`.
        """
        super().__init__()
        self.gather_activation = gather_activation
        self.gather_reduction = gather_reduction
        self.transform = nn.Conv2d(dim, dim, 1) if feature_transform else None
        self.gate = KernelGate(dim, gate_groups)
        self.interaction = KernelInteraction(dim, num_heads, dim_feedforward)
        layers: list[nn.Module] = []
        for _ in range(num_mask_layers):
            # no bias: the LayerNorm that follows has one (and K-Net's weights have none)
            layers += [nn.Linear(dim, dim, bias=False), nn.LayerNorm(dim), nn.ReLU(inplace=True)]
        last = nn.Linear(dim, dim)
        self.mask_kernels = nn.Sequential(*layers, last)  # g_s
        self.mask_update = mask_update
        if mask_update == "add":
            # an untrained stage does not change the masks
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(
        self, features: Tensor, kernels: Tensor, mask_logits: Tensor
    ) -> tuple[Tensor, Tensor]:
        """F (B,D,h,w), K_{s-1} (B,N,D), M_{s-1} (B,N,h',w') -> K_s (B,N,D), M_s (B,N,h,w)."""
        if self.transform is not None:
            features = self.transform(features)
        mask_logits = resize_masks(mask_logits, features.shape[-2:])
        group = gather_group_features(
            features, mask_logits, self.gather_activation, self.gather_reduction
        )
        kernels = self.interaction(self.gate(group, kernels))
        masks = convolve_kernels(self.mask_kernels(kernels), features)
        if self.mask_update == "add":
            masks = masks + mask_logits
        return kernels, masks
