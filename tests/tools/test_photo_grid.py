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
    }
    for name, pixels in save.items():
        (tmp_path / name).parent.mkdir()
        Image.fromarray(np.array(pixels, dtype=np.uint8)).save(tmp_path / name, quality=95)
    return tmp_path


def row(folder, name="one", predictions=("predictions",)):
    roots = [folder / prediction for prediction in predictions]
    return make_row(name, folder / "photos", folder / "labels", roots, PETS)


def test_panels_are_of_one_size_and_ignored_pixels_stay_grey(folders):
    photo, truth, prediction = row(folders).panels
    assert photo.size == truth.size == prediction.size == (640, 320)
    assert photo.getpixel((600, 300)) == truth.getpixel((600, 300)) == (200, 200, 200)
    expected = tuple(round(0.6 * channel + 0.4 * 200) for channel in BLUE)
    assert truth.getpixel((10, 10)) == prediction.getpixel((600, 300)) == expected


def test_the_legend_tells_the_shares_of_the_image(folders):
    several = row(folders, predictions=("predictions", "labels"))
    assert [(entry.label, *entry.shares) for entry in several.legend] == [
        (0, 37.5, 75.0, 37.5),
        (2, 12.5, 12.5, 12.5),
        (1, 0.0, 12.5, 0.0),
    ]
    assert several.legend[0].colour == "#0072b2"
    assert several.strip().size == (4 * 640 + 3 * 8, 320)


@pytest.mark.parametrize(
    "pixels, message",
    [([[0, 0]], r"predictions/one\.png is 2×1"), ([[0, 0, 0, 7]] * 2, r"one\.png holds the id 7")],
)
def test_a_prediction_that_does_not_fit_is_refused(folders, pixels, message):
    image = Image.fromarray(np.array(pixels, dtype=np.uint8))
    image.save(folders / "predictions" / "one.png")
    with pytest.raises(UserError, match=message):
        row(folders)


def test_missing_files_are_refused_by_name(folders):
    with pytest.raises(UserError, match="there is no photo two .*photos: give names without"):
        row(folders, "two")
    with pytest.raises(UserError, match=r"nowhere/one\.png does not exist"):
        row(folders, predictions=("nowhere",))
