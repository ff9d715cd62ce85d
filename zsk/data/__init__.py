"""Data: splits, registration, reading and augmenting. Nothing is registered on import."""
