"""Tables of configurations, trained with the same budget and seeds, and what they came to."""
