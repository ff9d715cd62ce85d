"""Reading photos, labels and sizes: every kind of file, or an error that names the file."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from label_files import grey_tiff
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from zsk.data.images import read_image, read_photo_size
from zsk.data.label_files import read_label, read_label_size
from zsk.errors import UserError
from zsk.input_image import rgb_array

READERS = pytest.mark.parametrize("read", [read_image, read_label])
# 1×2 pixels: red, then black
RED_BLACK = np.array([[[255, 0, 0], [0, 0, 0]]], np.uint8)
TURNED = Image.Exif()
TURNED[0x0112] = 6  # displayed after a quarter turn clockwise


@READERS
@pytest.mark.parametrize("content", [b"", b"\x89", b"no image at all"])
def test_no_image(tmp_path: Path, read, content: bytes) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(UserError, match="bad.png cannot be read"):
        read(path)
    with pytest.raises(UserError, match="label .*bad.png cannot be read"):
        read_label_size(path)


@READERS
def test_missing_file_and_folder(tmp_path: Path, read) -> None:
    with pytest.raises(UserError, match="gone.png does not exist"):
        read(tmp_path / "gone.png")
    with pytest.raises(UserError, match="image .*gone.png does not exist"):
        read_photo_size(tmp_path / "gone.png")
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path)


@READERS
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_truncated(tmp_path: Path, read, suffix: str) -> None:
    path = tmp_path / f"half{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    told = "is a JPEG" if (read, suffix) == (read_label, ".jpg") else "cannot be read"
    with pytest.raises(UserError, match=f"half{suffix} {told}"):
        read(path)
    assert read_photo_size(path) == ((64, 64), 1)  # the header is whole


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colour_alpha_and_palette(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(RED_BLACK).convert(mode).save(path)
    image = read_image(path)
    assert image.dtype == np.uint8 and np.array_equal(image, RED_BLACK)
    image[0, 0, 0] = 1  # a read-only array would raise


@pytest.mark.parametrize("alpha", [255, 0])
def test_colours_under_transparent_parts_are_told(tmp_path: Path, caplog, alpha: int) -> None:
    path = tmp_path / f"{alpha}.png"
    Image.new("RGBA", (4, 4), (200, 0, 0, alpha)).save(path)
    assert read_image(path)[0, 0].tolist() == [200, 0, 0]
    told = [f"image {path} has transparent parts: the colours that they hide are used"]
    assert caplog.messages == ([] if alpha == 255 else told)


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_grey(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(np.array([[255, 0]], np.uint8)).convert(mode).save(path)
    assert read_image(path).tolist() == [[[255] * 3, [0] * 3]]


def test_cmyk_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    # cyan 0, magenta 255, yellow 255, black 0 prints as red
    Image.new("CMYK", (16, 8), (0, 255, 255, 0)).save(path, quality=100)
    image = read_image(path)
    assert image.shape == (8, 16, 3)
    assert np.abs(image[0, 0].astype(int) - [255, 0, 0]).max() <= 3


def test_16_bit_is_scaled_and_floating_point_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(np.array([[0, 257, 32896, 65535]], np.uint16)).save(path)
    # v / 257: 0, 1, 128, 255
    assert read_image(path)[0, :, 0].tolist() == [0, 1, 128, 255]
    Image.fromarray(np.zeros((2, 2), np.float32)).save(tmp_path / "x.tiff")
    with pytest.raises(UserError, match="x.tiff stores floating-point"):
        read_image(tmp_path / "x.tiff")


@pytest.mark.parametrize(
    "values, read",
    [
        ([0, 3, 255], [0, 3, 255]),  # 8 bits
        ([0, 257, 65535], [0, 1, 255]),  # 16 bits
        ([0, 65536], "from 0 to 65536"),
        ([-1, 7], "from -1 to 7"),
    ],
)
def test_32_bit_integers(tmp_path: Path, values: list[int], read) -> None:
    Image.fromarray(np.array([values], np.int32)).save(tmp_path / "x.tif")
    if isinstance(read, list):
        assert read_image(tmp_path / "x.tif")[0, :, 2].tolist() == read
    else:
        with pytest.raises(UserError, match=f"x.tif stores values {read}"):
            read_image(tmp_path / "x.tif")


def test_12_bit_grey_and_white_stored_as_0(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    path.write_bytes(grey_tiff((1, 2), 12, 1, b"\xff\xf8\x00"))  # 4095, 2048
    assert read_image(path)[0, :, 0].tolist() == [255, 128]
    path.write_bytes(grey_tiff((1, 2), 16, 0, struct.pack("<HH", 0, 65535)))
    assert read_image(path)[0, :, 0].tolist() == [255, 0]
    path.write_bytes(grey_tiff((1, 2), 8, 0, b"\0\xff"))
    assert read_image(path)[0, :, 0].tolist() == [255, 0]


def test_whole_numbers_of_an_image_without_a_file() -> None:
    """A ramp of 8 bits is no black picture of 16 bits."""
    values = np.array([[0, 128, 255]], dtype=np.int32)
    assert rgb_array(Image.fromarray(values))[0, :, 0].tolist() == [0, 128, 255]
    assert rgb_array(Image.fromarray(values * 257))[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("suffix", ["gif", "tiff", "webp", "png", "avif"])
def test_the_first_of_several_pages_is_read_with_a_line(tmp_path: Path, caplog, suffix) -> None:
    path = tmp_path / f"x.{suffix}"
    pages = [Image.new("RGB", (16, 16), (value,) * 3) for value in (200, 100, 0)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    for _ in range(2):
        assert abs(int(read_image(path)[8, 8, 0]) - 200) <= 3
    assert caplog.messages == [f"image {path} has 3 pages or frames: the first one is used"]


def test_a_photo_with_broken_exif_data_is_sound(tmp_path: Path) -> None:
    path, text = tmp_path / "x.png", PngInfo()
    text.add_text("Raw profile type exif", "\nexif\n 9\nno hexadecimal digits")
    Image.fromarray(RED_BLACK).save(path, pnginfo=text)
    assert np.array_equal(read_image(path), RED_BLACK)


def test_a_pipe_is_no_photo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.jpg")
    for read in (read_image, read_label):
        with pytest.raises(UserError, match="x.jpg cannot be read .no regular file"):
            read(tmp_path / "x.jpg")


def test_a_photo_of_too_many_pixels(tmp_path: Path, monkeypatch) -> None:
    Image.new("1", (20, 10)).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 99)
    with pytest.raises(
        UserError, match="x.png has 0.0002 million pixels.* 0.000198 million: scale"
    ):
        read_image(tmp_path / "x.png")


@pytest.mark.parametrize("error", [RuntimeError("bad data"), MemoryError(), KeyError("x")])
def test_whatever_a_decoder_raises(tmp_path: Path, monkeypatch, error: Exception) -> None:
    """Such as the RuntimeError of AVIF's."""

    def load(_: Image.Image) -> None:
        raise error

    Image.new("L", (2, 2)).save(tmp_path / "x.png")
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    with pytest.raises(UserError, match="x.png cannot be read"):
        read_image(tmp_path / "x.png")


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    stored = np.zeros((16, 32, 3), np.uint8)
    stored[:, :16] = 255  # left half white: the top half when displayed
    Image.fromarray(stored).save(path, quality=100, exif=TURNED)
    image = read_image(path)
    assert image.shape == (32, 16, 3) and read_photo_size(path) == ((32, 16), 6)
    assert image[:12].min() > 240 and image[20:].max() < 15
    path = tmp_path / "x.tif"
    Image.fromarray(stored).save(path, tiffinfo={0x0112: 6})
    assert read_image(path).shape == (32, 16, 3) and read_photo_size(path) == ((32, 16), 6)


@pytest.mark.parametrize("mode", ["L", "P"])
def test_a_label_holds_the_stored_ids(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "x.png"
    label = Image.fromarray(np.array([[0, 7, 255]], np.uint8))
    if mode == "P":
        label.putpalette([(90 - k) % 256 for k in range(768)])  # colours must not matter
        assert label.mode == "P"
    label.save(path)
    assert read_label(path).tolist() == [[0, 7, 255]]
    assert read_label(path).dtype == np.uint8


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_colours_of_labels_are_refused(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "colours.png"
    Image.new(mode, (2, 2)).save(path)
    with pytest.raises(UserError, match=rf"colours.png holds colours or .*mode {mode}\)"):
        read_label(path)
