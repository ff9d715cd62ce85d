"""Naming regions with frozen vision-language models."""
