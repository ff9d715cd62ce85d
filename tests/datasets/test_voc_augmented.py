"""VOC's augmented set from the originals: SBD's files, the lists, and which label is taken."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from label_files import snapshot, write_sbd_mat, write_voc_originals
from preparation.voc_augmented import build_augmented_set, find_augmented_set, read_sbd_label

from zsk.data.label_files import read_label
from zsk.errors import UserError

# b is labelled by both, c and d are validated on, e and f come with SBD alone
VOC = {"a": [[0, 1]], "b": [[2, 255]], "c": [[3, 3]], "d": [[4, 20]]}
SBD = {"b": [[9, 9]], "c": [[9, 9]], "d": [[9, 9]], "e": [[5, 0]], "f": [[255, 20]]}
LISTS = {"voc_train": "a b", "voc_val": "d c", "sbd_train": "e b c", "sbd_val": "d f"}


@pytest.fixture
def originals(tmp_path: Path) -> tuple[Path, Path]:
    return write_voc_originals(tmp_path, voc=VOC, sbd=SBD, lists=LISTS)


def build(root: Path, sbd: Path) -> None:
    build_augmented_set(find_augmented_set(root, sbd), workers=1)


def test_bad_sbd_files_are_one_sentence_with_their_name(tmp_path: Path) -> None:
    good = write_sbd_mat(tmp_path / "good.mat", [[0, 1] * 50] * 100).read_bytes()
    (tmp_path / "text.mat").write_text("<html>not found</html>" * 20)
    (tmp_path / "cut.mat").write_bytes(good[: len(good) // 2])
    (tmp_path / "flipped.mat").write_bytes(good[:200] + bytes(60) + good[260:])
    scipy.io.savemat(tmp_path / "fields.mat", {"GTcls": {"Boundaries": 1}})
    for stem in ("text", "cut", "flipped", "fields"):
        with pytest.raises(UserError, match=f"label .*{stem}.mat cannot be read.*replace"):
            read_sbd_label(tmp_path / f"{stem}.mat")
    scipy.io.savemat(tmp_path / "a.mat", {"GTcls": {"Segmentation": np.zeros((2, 2))}})
    with pytest.raises(UserError, match="a.mat holds no 8-bit map of classes"):
        read_sbd_label(tmp_path / "a.mat")


def test_lists_and_labels_by_hand(originals: tuple[Path, Path]) -> None:
    root, sbd = originals
    for folder in (sbd.parent, sbd, sbd / "dataset"):
        assert find_augmented_set(root, folder).sources["e"] == sbd / "dataset/cls/e.mat"
    # SBD lists b, too; VOC's own label of b is taken all the same
    (root / "ImageSets" / "Segmentation" / "train.txt").write_text("a\n")
    build(root, sbd)
    assert (root / "train.txt").read_text() == "a\nb\ne\nf\n"
    assert (root / "val.txt").read_text() == "c\nd\n"
    built = {path.stem: read_label(path) for path in (root / "SegmentationClassAug").iterdir()}
    expected = {**VOC, "e": SBD["e"], "f": SBD["f"]}
    assert {stem: label.tolist() for stem, label in built.items()} == expected


def test_an_interrupted_build_is_continued_and_its_lists_come_last(originals) -> None:
    root, sbd = originals
    good = (sbd / "dataset/cls/f.mat").read_bytes()
    (sbd / "dataset/cls/f.mat").write_bytes(good[:150])
    with pytest.raises(UserError, match="f.mat cannot be read"):
        build(root, sbd)
    assert not (root / "train.txt").exists() and not (root / "val.txt").exists()
    half = snapshot(root / "SegmentationClassAug")
    assert sorted(half) == ["a.png", "b.png", "c.png", "d.png", "e.png"]
    (sbd / "dataset/cls/f.mat").write_bytes(good)
    build(root, sbd)
    whole = snapshot(root / "SegmentationClassAug")
    assert {name: whole[name] for name in half} == half
    assert "f.png" in whole and (root / "train.txt").exists()


@pytest.mark.parametrize(
    "missing, message",
    [
        ("benchmark_RELEASE/dataset/cls/e.mat", "e.mat does not exist, but 'e' is listed"),
        # SBD's label of c is there, but nothing is validated on it
        ("VOC2012/SegmentationClass/c.png", "c.png does not exist, but 'c' is listed"),
        ("VOC2012/ImageSets/Segmentation/val.txt", "val.txt cannot be read"),
    ],
)
def test_what_is_missing_is_named(originals, missing: str, message: str) -> None:
    root, sbd = originals
    (root.parent / missing).unlink()
    with pytest.raises(UserError, match=message):
        find_augmented_set(root, sbd)


def test_other_folders_values_and_lists_are_refused(originals: tuple[Path, Path]) -> None:
    root, sbd = originals
    with pytest.raises(UserError, match="VOC2012 holds no dataset/cls: give the folder"):
        find_augmented_set(root, root)
    write_sbd_mat(sbd / "dataset/cls/e.mat", [[0, 21]])
    with pytest.raises(UserError, match="e.mat holds the value 21"):
        build(root, sbd)
    (root / "train.txt").write_text("f\ne\nb\na\n")  # the same images in another order will do
    find_augmented_set(root, sbd)
    (root / "train.txt").write_text("a\nb\n")
    with pytest.raises(UserError, match=r"train.txt is there with 2 images.* \(4\): remove it"):
        find_augmented_set(root, sbd)
