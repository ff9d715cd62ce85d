"""The systems that ZSK-Net is compared with: query heads and systems without proposals."""
