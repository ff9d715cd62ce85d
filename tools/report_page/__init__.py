"""The HTML page about evaluations, run from a checkout (tools/report.py)."""
