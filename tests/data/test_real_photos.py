"""The lists of the real photos on disk."""

from pathlib import Path

from zsk.data.listing import read_stems


def test_lists_cover_the_photos(checkout: Path, real_data: Path) -> None:
    train, val = (read_stems(checkout / "datasets" / f"photos_{p}.txt") for p in ("train", "val"))
    labels = real_data / "coco" / "stuffthingmaps" / "train2017"
    photos = sorted(path.stem for path in labels.glob("*.png"))
    assert val == photos[4::5]  # every fifth: nobody chose what to hold out
    assert train == [stem for stem in photos if stem not in val]
