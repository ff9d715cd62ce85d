"""The per-pixel systems that ZSK-Net is compared with: dense CLIP, an FCN on texts, and both."""
