"""What the programs datasets/prepare_*.py share."""
