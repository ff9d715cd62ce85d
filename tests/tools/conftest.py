"""What the tests of the benchmark share."""

from collections.abc import Iterator

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog


@pytest.fixture(autouse=True)
def own_catalogs() -> Iterator[None]:
    """Reading a configuration registers data sets: neither from nor for other tests' folders."""
    saved = dict(DatasetCatalog), dict(MetadataCatalog)
    for catalog in (DatasetCatalog, MetadataCatalog):
        catalog.clear()
    yield
    for catalog, content in zip((DatasetCatalog, MetadataCatalog), saved):
        catalog.clear()
        catalog.update(content)
