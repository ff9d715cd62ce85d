"""Photo, ground truth and prediction side by side, from files of a few pixels."""

import numpy as np
import pytest
from PIL import Image
from report_page.photo_grid import make_row

from zsk.errors import UserError
from zsk.vocabulary import Vocabulary

PETS = Vocabulary(("cat", "dog", "cow"), ("cat", "dog", "cow"), (True, True, False))
BLUE = (0, 114, 178)  # class 0 in every picture


@pytest.fixture
def folders(tmp_path):
    """Photo, ground truth and prediction of the image "one": 4×2 pixels, half not labelled."""
    save = {
        "photos/one.JPG": np.full((2, 4, 3), 200),
        "labels/one.png": [[0, 0, 255, 255], [0, 2, 255, 255]],
        "predictions/one.png": [[0, 0, 0, 0], [1, 2, 0, 0]],
        "small/one.png": [[0, 0]],
        "foreign/one.png": [[0, 0, 0, 7]] * 2,
    }
    for name, pixels in save.items():
        (tmp_path / name).parent.mkdir()
        Image.fromarray(np.array(pixels, dtype=np.uint8)).save(tmp_path / name, quality=95)
    return tmp_path


def row(folder, name="one", predictions=("predictions", "labels")):
    roots = [folder / prediction for prediction in predictions]
    return make_row(name, folder / "photos", folder / "labels", roots, PETS)


def test_panels_and_legend(folders):
    one = row(folders)
    photo, truth, prediction, _ = one.panels
    assert one.strip().size == (4 * 640 + 3 * 8, 320)
    # ignored pixels stay grey
    assert photo.getpixel((600, 300)) == truth.getpixel((600, 300)) == (200, 200, 200)
    expected = tuple(round(0.6 * channel + 0.4 * 200) for channel in BLUE)
    assert truth.getpixel((10, 10)) == prediction.getpixel((600, 300)) == expected
    assert one.legend[0].colour == "#0072b2"
    assert [(entry.label, *entry.shares) for entry in one.legend] == [
        (0, 37.5, 75.0, 37.5),
        (2, 12.5, 12.5, 12.5),
        (1, 0.0, 12.5, 0.0),
    ]


@pytest.mark.parametrize(
    "name, folder, message",
    [
        ("one", "small", r"small/one\.png is 2×1"),
        ("one", "foreign", r"foreign/one\.png holds the id 7"),
        ("one", "nowhere", r"nowhere/one\.png does not exist"),
        ("two", "small", "there is no photo two .*photos: give names without"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(folders, name, folder, message):
    with pytest.raises(UserError, match=message):
        row(folders, name, [folder])
