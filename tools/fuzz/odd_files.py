"""Damaged and odd photos, and odd lists of class names, drawn with a seed."""

from __future__ import annotations

import io
import os
import random
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "TGA", "PPM", "ICO")
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I;16", "I", "F")
SIZES = ((1, 1), (1, 300), (300, 1), (7, 5), (64, 48), (131, 67))
SUFFIXES = (".jpg", ".JPEG", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".avif")
COMPRESSIONS = (None, "tiff_lzw", "jpeg", "tiff_deflate", "packbits", "group4", "tiff_ccitt")
STEMS = (
    *("{n}", "{n} two  spaces", "{n}\nline break", "{n}\x1b[31mred\x1b[0m", "{n};[x]*?%s{{}}$HOME"),
    *("😀{n}", "שלום{n}", "e\u0301{n}", "-{n}", "'{n}\"", "{n}_labels", "{n}." + "x" * 200),
    *("{n}-" + "ü" * 118, "{n}-" + "y" * 243, ".{n}", "{n}\udcff\udc80"),
)


def sound_photo(rng: random.Random) -> Image.Image:
    """64×48 pixels of noise in colour."""
    return Image.frombytes("RGB", (64, 48), rng.randbytes(64 * 48 * 3))


def _encoded(rng: random.Random) -> bytes:
    """A photo in a format, mode, size and with options that Pillow can write together."""
    while True:
        size = rng.choice(SIZES)
        picture = Image.frombytes("RGB", size, rng.randbytes(size[0] * size[1] * 3))
        format_, buffer = rng.choice(FORMATS), io.BytesIO()
        options: dict[str, object] = {}
        if rng.random() < 0.2:
            options |= {"save_all": True, "append_images": [sound_photo(rng)]}
        if rng.random() < 0.3:
            orientation = b"\x12\x01\x03\0\x01\0\0\0" + struct.pack("<HH", rng.randrange(10), 0)
            whole = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + orientation + b"\0\0\0\0"
            options["exif"] = rng.choice([whole, whole[: rng.randrange(9, 30)], rng.randbytes(40)])
        if format_ == "TIFF":
            options["compression"] = rng.choice(COMPRESSIONS)
        if format_ == "PNG" and rng.random() < 0.3:
            options["pnginfo"] = PngInfo()
            options["pnginfo"].add_text("Raw profile type exif", "\nexif\n 9\nno hex")
        try:
            picture.convert("I" if rng.random() < 0.1 else rng.choice(MODES)).save(
                buffer, format_, **options
            )
            return buffer.getvalue()
        except Exception:  # not every format has every mode
            continue


def _damaged(rng: random.Random) -> bytes:
    content = bytearray(_encoded(rng))
    kind, place = rng.randrange(5), rng.randrange(len(content))
    if kind == 0:
        del content[place:]
    elif kind == 1:
        content[place : place + 64] = bytes(64)
    elif kind == 2:
        content[place:place] = rng.randbytes(rng.randrange(1, 200))
    else:  # in the header, or anywhere
        for _ in range(rng.randrange(1, 20)):
            content[rng.randrange(min(len(content), 80 if kind == 3 else 10**9))] ^= rng.choice(
                (1, 16, 128, 255)
            )
    return bytes(content)


def _huge_png(rng: random.Random) -> bytes:
    """A header of more pixels than any memory holds."""
    side = rng.choice((15_000, 40_000, 2**31 - 1))
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk


def _socket(path: Path) -> None:
    descriptor = os.open(path.parent, os.O_RDONLY)  # addresses hold only 107 bytes
    try:
        socket.socket(socket.AF_UNIX).bind(f"/proc/self/fd/{descriptor}/{path.name}")
    finally:
        os.close(descriptor)


# what stands at a photo's place
_SPECIALS: tuple[Callable[[Path], object], ...] = (
    Path.touch,
    lambda path: path.write_text("no photo"),
    lambda path: path.symlink_to(path.name),
    lambda path: path.symlink_to("nowhere"),
    lambda path: path.symlink_to("/dev/zero"),
    lambda path: path.symlink_to("."),
    os.mkfifo,
    _socket,
    Path.mkdir,
)


def make_odd_file(folder: Path, number: int, rng: random.Random) -> Path:
    """One damaged or odd photo with a name that may be odd, too; its number is in the name."""
    stem = rng.choice(STEMS) if rng.random() < 0.4 else "{n}"
    path = folder / (stem.format(n=number) + rng.choice(SUFFIXES))
    make = rng.choices((_damaged, _encoded, _huge_png, None), (60, 30, 2, 8))[0]
    if make is None:
        special = rng.choice(_SPECIALS)
        special(folder / f"{number}.jpg" if special is _socket else path)
        return folder / f"{number}.jpg" if special is _socket else path
    path.write_bytes(make(rng))
    return path


_PLAIN = ("cat", "sofa", "dining_table", "Cats", "a b c", "1", "e\u0301")
_ATOMS = (
    *("", " ", "\n", ";", "@", "😀", "שלום", "\t"),
    *("\udcff", "\x1b[31mred", "<b>", "{}", "%s", "'", '"', "\\", "null", "\u200b", "\ufeff"),
    *("x" * 61, "y" * 10_000, "-x", "--", "names.txt", "@names.txt", "@missing.txt"),
    *("@folder", "folder", "@empty.txt", "@bytes.bin", "bytes.bin", "/dev/null", "@/dev/null"),
)


def odd_names(rng: random.Random) -> str:
    """A list of class names as someone may type, paste or generate it."""
    atoms = [rng.choice(rng.choice((_PLAIN, _ATOMS))) for _ in range(rng.randrange(5))]
    if rng.random() < 0.02:
        atoms = [f"name {k}" for k in range(3_000)]
    return rng.choice((",", ", ", ";", "\n", ",\n", ",,")).join(atoms)


def make_name_files(folder: Path) -> None:
    """The files and folders that `odd_names` mentions, relative to the working directory."""
    (folder / "names.txt").write_text("cat\nsofa\n", encoding="utf-8-sig")
    (folder / "empty.txt").touch()
    (folder / "bytes.bin").write_bytes(bytes(range(256)))
    (folder / "folder").mkdir(exist_ok=True)
