"""A small synthetic world for zero-shot segmentation: the code that draws its scenes."""
