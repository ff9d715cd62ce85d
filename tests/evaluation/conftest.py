"""The data set of the evaluation tests."""

from pathlib import Path

import pytest
from label_records import NAME, VOCABULARY

from zsk.data.register import register_zero_shot_split


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """The folder of the photos and labels of the data set `NAME`."""
    register_zero_shot_split(NAME, tmp_path, tmp_path, VOCABULARY, training=True)
    return tmp_path
