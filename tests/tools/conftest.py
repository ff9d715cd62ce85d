"""What the tests of the tools share."""

import pytest


@pytest.fixture(autouse=True)
def own_catalogs(empty_catalogs: None) -> None:
    """Reading a configuration registers data sets: neither from nor for other tests' folders."""
