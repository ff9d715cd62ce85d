"""Photos with labels, labels as the benchmarks publish them, TIFFs that Pillow does not write."""

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image

Values = list[list[int]]


def write_pairs(
    folder: Path, labels: Mapping[str, np.ndarray], photo_suffix: str = ".png"
) -> tuple[Path, Path]:
    """Noise in photos/ and `labels` (H,W), 8 or 16 bits, in labels/, by stem; gives the folders."""
    folders = folder / "photos", folder / "labels"
    for path in folders:
        path.mkdir(parents=True, exist_ok=True)
    for stem, label in labels.items():
        noise = np.random.default_rng(0).integers(0, 256, (*label.shape, 3), np.uint8)
        Image.fromarray(noise).save(folders[0] / f"{stem}{photo_suffix}")
        Image.fromarray(label).save(folders[1] / f"{stem}.png")
    return folders


def write_label_png(path: Path, values: Values) -> Path:
    """A grey label PNG, as in SegmentationClassAug and stuffthingmaps."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, np.uint8)).save(path)
    return path


def write_palette_png(path: Path, values: Values) -> Path:
    """A palette PNG, as in VOC's SegmentationClass; value k is shown in a colour of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.array(values, np.uint8)).convert("P")
    image.putpalette([component for k in range(256) for component in (255 - k, k, 128)])
    image.save(path)
    return path


def write_sbd_mat(path: Path, values: Values) -> Path:
    """A class file of SBD: a struct GTcls with the map in its field Segmentation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    label = np.array(values, np.uint8)
    present = np.unique(label[(label > 0) & (label < 255)])[:, None]
    boundaries = np.empty((20, 1), object)
    boundaries[:] = [[np.zeros(label.shape, np.uint8)]] * 20
    struct = {"Boundaries": boundaries, "Segmentation": label, "CategoriesPresent": present}
    scipy.io.savemat(path, {"GTcls": struct}, do_compression=True)
    return path


def write_voc_originals(
    folder: Path,
    *,
    voc: Mapping[str, Values],
    sbd: Mapping[str, Values],
    lists: Mapping[str, str],
) -> tuple[Path, Path]:
    """VOC2012 and benchmark_RELEASE below `folder`; gives both.

    `lists` has the stems, with blanks between, of voc_train, voc_val, sbd_train and sbd_val.
    """
    root, release = folder / "VOC2012", folder / "benchmark_RELEASE"
    for stem, values in voc.items():
        write_palette_png(root / "SegmentationClass" / f"{stem}.png", values)
    for stem, values in sbd.items():
        write_sbd_mat(release / "dataset" / "cls" / f"{stem}.mat", values)
    for name, stems in lists.items():
        owner, part = name.split("_")
        listing = root / "ImageSets" / "Segmentation" if owner == "voc" else release / "dataset"
        listing.mkdir(parents=True, exist_ok=True)
        (listing / f"{part}.txt").write_text("".join(f"{stem}\n" for stem in stems.split()))
    return root, release


def grey_tiff(size: tuple[int, int], bits: int, photometric: int, pixels: bytes) -> bytes:
    """Of (height, width) `size`; photometric 0: white is stored as 0, 1: as the largest value."""
    height, width = size
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1}
    tags |= {278: height, 279: len(pixels)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    start = struct.pack("<4sI", b"II*\0", 8 + len(pixels))
    return start + pixels + struct.pack("<H", len(tags)) + entries + bytes(4)


def snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    """Time of change and content of every file below `root`."""
    files = [path for path in root.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files
    }


def contents(root: Path) -> dict[str, bytes]:
    """Content of every file below `root`."""
    return {name: data for name, (_, data) in snapshot(root).items()}
