"""A small synthetic world for zero-shot segmentation, rendered on the fly from a seed."""
