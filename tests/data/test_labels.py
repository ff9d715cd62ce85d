"""Label files: stored values of every bit depth, orientation, and values that are hardly ids."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from label_files import grey_tiff
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from zsk.data.check import check_at_start, doubt
from zsk.data.images import read_oriented_image
from zsk.data.label_files import read_label, read_label_size
from zsk.data.labels import check_ids, joint_id_table, read_joint_label
from zsk.data.register import register_zero_shot_split
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary

PIXELS = np.arange(6, dtype=np.uint8).reshape(2, 3)


def write_grey_png(path: Path, rows: list[list[int]], depth: int) -> None:
    """A grey PNG with 1, 2 or 4 bits per pixel, which Pillow does not write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    packed = b""
    for row in rows:
        bits = "".join(f"{value:0{depth}b}" for value in row)
        bits += "0" * (-len(bits) % 8)
        packed += b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), depth, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(packed)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def write_pair(
    folder: Path, label: np.ndarray, orientation: int = 1, suffix: str = ".jpg", **extra: object
) -> dict:
    """A record; its photo has the pixels' size and an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (3, 2)).save(folder / f"a{suffix}", exif=exif)
    Image.fromarray(label).save(folder / "a.png")
    files = {"file_name": str(folder / f"a{suffix}")}
    return {**files, "sem_seg_file_name": str(folder / "a.png"), **extra}


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_grey_values_of_few_bits_are_not_stretched(tmp_path: Path, depth: int) -> None:
    rows = [[value % 2**depth for value in (0, 1, 2, 3, 7, 15)]] * 2
    write_grey_png(tmp_path / "x.png", rows, depth)
    assert read_label(tmp_path / "x.png").tolist() == rows
    palette = Image.fromarray(np.array(rows, np.uint8)).convert("P")
    palette.save(tmp_path / "p.png", bits=depth)
    assert read_label(tmp_path / "p.png").tolist() == rows


@pytest.mark.parametrize("depth", [2, 4])
def test_nor_are_those_of_a_tiff(tmp_path: Path, depth: int) -> None:
    """2 rows of a byte each, which hold 8 / depth values."""
    pixels = bytes([0b00011011, 0b11100100])
    (tmp_path / "x.tif").write_bytes(grey_tiff((2, 8 // depth), depth, 1, pixels))
    rows = {2: [[0, 1, 2, 3], [3, 2, 1, 0]], 4: [[1, 11], [14, 4]]}
    assert read_label(tmp_path / "x.tif").tolist() == rows[depth]


def test_labels_of_16_bits(tmp_path: Path) -> None:
    label = np.array([[0, 255, 256, 65535]], np.uint16)
    record = write_pair(tmp_path, label, label_orientation="displayed")
    read = read_joint_label(record)
    assert read.dtype == np.uint16 and read.tolist() == label.tolist()
    check_ids(read, record, 300)
    with pytest.raises(UserError, match="holds the id 256, .* 0–254, with 255 .* label_values"):
        check_ids(read[:, :3], record, 255)
    # 300 classes in reversed order, read from their values; 65535 and others are no class
    values = {"label_values": tuple(range(299, -1, -1))}
    assert read_joint_label({**record, **values}).tolist() == [[299, 44, 43, 65535]]
    with pytest.raises(UserError, match="holds 255 in 8 bits, but with 300 classes"):
        check_ids(np.array([[0, 255]], np.uint8), record, 300)


def test_as_many_classes_as_16_bits_tell_apart(tmp_path: Path) -> None:
    """65,535 classes have the ids 0–65534, and 65535 is no label."""
    record = write_pair(tmp_path, np.array([[0, 65534, 65535]], np.uint16))
    check_ids(read_joint_label(record), record, 65535)
    reversed_values = {"label_values": tuple(range(65534, -1, -1))}
    assert read_joint_label({**record, **reversed_values}).tolist() == [[65534, 0, 65535]]


def test_any_value_may_be_a_class(tmp_path: Path) -> None:
    label = np.array([[0, 255, 254]], np.uint8)
    record = write_pair(tmp_path, label, label_values=(255,), label_orientation="displayed")
    assert read_joint_label(record).tolist() == [[255, 0, 255]]
    assert joint_id_table((255, 0))[[0, 1, 255]].tolist() == [1, 255, 0]


def test_files_that_cannot_hold_ids_faithfully(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(PIXELS).save(path, format="JPEG")
    with pytest.raises(UserError, match="x.png is a JPEG, whose compression can change ids"):
        read_label(path)
    exif = Image.Exif()
    exif[0x0112] = 3
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="6"/></x:xmpmeta>'
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp.decode())
    several = [Image.fromarray(PIXELS), Image.fromarray(PIXELS + 1)]
    for name, options, message in (
        ("x.png", {"exif": exif}, "has an EXIF orientation, which programs read differently"),
        ("x.png", {"pnginfo": text}, "has an EXIF orientation"),
        ("x.tif", {"tiffinfo": {0x0112: 6}}, "has an EXIF orientation"),
        ("x.webp", {"exif": exif}, "holds colours"),
        ("x.tif", {"tiffinfo": {262: 0}}, "stores white as 0, which programs read differently"),
        ("x.tif", {"compression": "jpeg"}, "is a TIFF, whose compression can change ids"),
        ("x.jp2", {}, "is a JPEG2000, whose compression can change ids"),
        ("x.tif", {"save_all": True, "append_images": several[1:]}, "has 2 pages or frames"),
        ("x.png", {"save_all": True, "append_images": several[1:]}, "has 2 pages or frames"),
    ):
        several[0].save(tmp_path / name, **options)
        for read in (read_label, read_label_size):
            with pytest.raises(UserError, match=f"label .*{name} {message}"):
                read(tmp_path / name)
    Image.fromarray(PIXELS).save(tmp_path / "x.tif")
    assert read_label(tmp_path / "x.tif").tolist() == PIXELS.tolist()


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_labels_of_stored_pixels_are_turned_as_their_photo(tmp_path, orientation, suffix) -> None:
    record = write_pair(tmp_path, PIXELS, orientation, suffix, label_orientation="stored")
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PIXELS).save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as image:
        expected = np.array(ImageOps.exif_transpose(image))
    assert np.array_equal(read_joint_label(record), expected)
    photo, found = read_oriented_image(record["file_name"])
    assert photo.shape[:2] == expected.shape and found == orientation
    record["label_orientation"] = "displayed"
    assert np.array_equal(read_joint_label(record), PIXELS)


@pytest.mark.parametrize(
    "orientation, shape, message",
    [
        (3, (2, 3), "EXIF orientation 3, and the size .* set label_orientation to displayed"),
        (6, (2, 3), "is 3×2 pixels but .* is 2×3: .* set label_orientation to stored"),
        (6, (3, 2), None),  # drawn on the displayed photo
    ],
)
def test_a_photo_with_an_orientation_needs_a_word(
    tmp_path: Path, orientation: int, shape: tuple, message: str | None
) -> None:
    write_pair(tmp_path, np.zeros(shape, np.uint8), orientation)
    classes = Vocabulary(("cat", "dog"), ("cat", "dog"), (True, False))
    given: Any = {"image_root": tmp_path, "label_root": tmp_path, "image_suffixes": [".jpg"]}
    given |= {"vocabulary": classes, "training": True}
    register_zero_shot_split("pets", **given)
    if message is None:
        check_at_start(["pets"])
        return
    with pytest.raises(UserError, match=message):
        check_at_start(["pets"])
    rule = "stored" if shape == (2, 3) else "displayed"
    register_zero_shot_split("told", **given, label_orientation=rule)
    check_at_start(["told"])


@pytest.mark.parametrize(
    "values, seen, pattern",
    [
        ({0, 255}, [True], "only the values 0 and 255, and 255 means no label"),
        ({0, 255}, [True] * 5, "only the values 0 and 255"),
        ({7, 255}, [True] * 20, "only the values 7 and 255"),
        ({0, 65535}, [True] * 300, "only the values 0 and 65535"),
        ({1, 2, 255}, [True] * 3, "no label file holds the value 0, the first class"),
        ({1}, [True] * 2, "no label file holds the value 0"),
        ({1, 2}, [False, True, True], None),  # the first class is unseen and left out
        ({2, 3}, [False, True, True, True], "no label file holds the value 1, the first seen"),
        # an unseen class is shown, so the first one has to be
        ({2, 3}, [False, True, False, True], "no label file holds the value 0, the first class"),
        ({1, 2, 255}, [True] * 20, "no label file holds the value 0"),  # but few classes occur
        ({3, 255, 7}, [False] * 3 + [True] * 17, None),
        ({0, 1, 255}, [True] * 2, None),
        ({0}, [True], None),
        ({255}, [True], None),
        (set(), [True], None),
    ],
)
def test_values_that_are_hardly_ids(values: set, seen: list, pattern: str | None) -> None:
    found = doubt(values, seen, training=True)
    if pattern is None:
        assert found is None
    else:
        assert pattern in found.told and "label_values" in found.told
        assert found.sure == (values != {1, 2, 255} or len(seen) < 20)


def test_labels_for_evaluation_show_unseen_classes() -> None:
    seen = [False, True, True]
    assert doubt({1, 2}, seen, training=True) is None
    assert "the value 0" in doubt({1, 2}, seen, training=False).told
