"""What the programs datasets/prepare_*.py share."""

import zsk  # noqa: F401  (first: it says which package is missing)
