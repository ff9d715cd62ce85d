"""Masks from queries: ZS-MaskFormer and MaskFormer."""
