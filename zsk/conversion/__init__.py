"""Published weights under this project's names (tools/convert_weights.py): a file per source."""
