"""The meta-architecture without masks, what its heads share, and those that compare with text."""
