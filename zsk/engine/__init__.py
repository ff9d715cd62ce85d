"""Training and evaluation around the model: solver, checkpoints, processes, random state."""
