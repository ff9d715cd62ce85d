"""Trainings that the tools run: the small CLIP, its one-pass fine-tuning, learned prompts."""
