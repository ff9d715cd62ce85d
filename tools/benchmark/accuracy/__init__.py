"""Tables of configurations, trained with the same budget and seeds, and their scores."""
