"""Materials and stuff: colours, patterns, and what is random about them."""

import numpy as np
import pytest

from zsk.data.synthetic.classes import MATERIALS, PATTERNS, TONES
from zsk.data.synthetic.textures import material, stuff

FLAT = ("red", "green", "blue", "yellow")
FRAME_Y, FRAME_X = np.mgrid[-1:1:80j, -1:1:80j]
IMAGE_Y, IMAGE_X = np.mgrid[:96, :96].astype(float)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def colours(name: str, seed: int = 0) -> np.ndarray:
    """(C,3), the distinct colours of a material."""
    return np.unique(material(name, FRAME_X, FRAME_Y, rng(seed)).reshape(-1, 3), axis=0)


@pytest.mark.parametrize("name", MATERIALS)
def test_a_material_has_one_colour_or_a_dark_and_a_light_one(name: str) -> None:
    for seed in range(5):
        found = colours(name, seed)
        assert 0 <= found.min() and found.max() <= 255
        assert len(found) == (1 if name in FLAT else 2)
        if name not in FLAT:
            assert found[0].max() < 70 and found[1].min() > 190


@pytest.mark.parametrize("name, strong, weak", [("red", 0, 2), ("green", 1, 0), ("blue", 2, 0)])
def test_a_colour_is_what_its_name_says(name: str, strong: int, weak: int) -> None:
    for seed in range(10):
        (colour,) = colours(name, seed)
        assert colour.argmax() == strong and colour[strong] > colour[weak] + 50


def test_stripes_run_along_y_and_spots_are_separate() -> None:
    stripes = material("striped", FRAME_X, FRAME_Y, rng())
    assert (stripes == stripes[:1]).all()  # nothing changes along y
    spots = material("spotted", FRAME_X, FRAME_Y, rng())[..., 0]
    dark = spots == spots.min()
    # π · 0.32² of each cell
    assert dark.mean() == pytest.approx(0.322, abs=0.06)
    assert not dark.all(axis=0).any() and not dark.all(axis=1).any()


def test_a_material_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="no material 'golden'"):
        material("golden", FRAME_X, FRAME_Y, rng())


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("tone", TONES)
def test_stuff_is_one_tone_of_varying_brightness(pattern: str, tone: str) -> None:
    texture = stuff(pattern, tone, IMAGE_X, IMAGE_Y, rng())
    assert texture.shape == (96, 96, 3) and texture.min() >= 0
    shares = texture / texture.sum(axis=-1, keepdims=True)
    assert np.ptp(shares, axis=(0, 1)).max() < 1e-9
    assert texture[..., 0].std() > 5


def test_patterns_are_told_apart_by_brightness_alone() -> None:
    """The same random numbers: same tone, scale, angle and phase."""
    textures = [stuff(pattern, "grey", IMAGE_X, IMAGE_Y, rng())[..., 0] for pattern in PATTERNS]
    for i, one in enumerate(textures):
        for other in textures[:i]:
            assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.5


def test_the_same_random_numbers_give_the_same_texture_and_others_another() -> None:
    for draw in (
        lambda seed: material("spotted", FRAME_X, FRAME_Y, rng(seed)),
        lambda seed: material("red", FRAME_X, FRAME_Y, rng(seed)),
        lambda seed: stuff("bricks", "teal", IMAGE_X, IMAGE_Y, rng(seed)),
    ):
        assert np.array_equal(draw(1), draw(1))
        assert not np.array_equal(draw(1), draw(2))
