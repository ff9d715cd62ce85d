"""Heads of the per-pixel meta-architecture that learn from generated features."""
