"""A model's look at a photo for other runtimes, and naming without torch."""
