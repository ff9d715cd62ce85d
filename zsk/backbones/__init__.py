"""Backbones beside Detectron2's own."""
