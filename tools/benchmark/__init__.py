"""Benchmarks of this project, run from a checkout."""
