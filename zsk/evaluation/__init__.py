"""Evaluation: label maps to metrics, proposals to recall, and the report about both."""
