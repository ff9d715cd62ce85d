"""VOC's augmented set from the originals: SBD's files, the lists, and which label is taken."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from label_files import contents, snapshot, write_sbd_mat, write_voc_originals
from PIL import Image

from zsk.data.images import read_label
from zsk.data.voc_augmented import build_augmented_set, find_augmented_set, read_sbd_label
from zsk.errors import UserError

# b is labelled by both, c and d are validated on, e and f come with SBD alone
VOC = {"a": [[0, 1]], "b": [[2, 255]], "c": [[3, 3]], "d": [[4, 20]]}
SBD = {"b": [[9, 9]], "c": [[9, 9]], "d": [[9, 9]], "e": [[5, 0]], "f": [[255, 20]]}
LISTS = {"voc_train": "a b", "voc_val": "d c", "sbd_train": "e b c", "sbd_val": "d f"}


@pytest.fixture
def originals(tmp_path: Path) -> tuple[Path, Path]:
    return write_voc_originals(tmp_path, voc=VOC, sbd=SBD, lists=LISTS)


def build(root: Path, sbd: Path, workers: int = 1) -> None:
    build_augmented_set(find_augmented_set(root, sbd), workers=workers)


def test_sbd_file(tmp_path: Path) -> None:
    values = [[0, 1, 20], [255, 0, 7]]
    label = read_sbd_label(write_sbd_mat(tmp_path / "2008_000002.mat", values))
    assert label.dtype == np.uint8
    assert label.tolist() == values


def test_bad_sbd_files_are_one_sentence_with_their_name(tmp_path: Path) -> None:
    good = write_sbd_mat(tmp_path / "good.mat", [[0, 1] * 50] * 100).read_bytes()
    (tmp_path / "empty.mat").write_bytes(b"")
    (tmp_path / "text.mat").write_text("<html>not found</html>" * 20)
    (tmp_path / "cut.mat").write_bytes(good[: len(good) // 2])
    (tmp_path / "flipped.mat").write_bytes(good[:200] + bytes(60) + good[260:])
    scipy.io.savemat(tmp_path / "other.mat", {"x": 1})
    scipy.io.savemat(tmp_path / "fields.mat", {"GTcls": {"Boundaries": 1}})
    scipy.io.savemat(tmp_path / "plain.mat", {"GTcls": np.zeros((2, 2), np.uint8)})
    for stem in ("empty", "text", "cut", "flipped", "other", "fields", "plain"):
        with pytest.raises(UserError, match=f"label .*{stem}.mat cannot be read.*replace"):
            read_sbd_label(tmp_path / f"{stem}.mat")
    with pytest.raises(UserError, match="gone.mat does not exist"):
        read_sbd_label(tmp_path / "gone.mat")


@pytest.mark.parametrize("label", [np.zeros((2, 2)), np.zeros((2, 2, 3), np.uint8), "text"])
def test_something_else_than_a_map(tmp_path: Path, label: object) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"GTcls": {"Segmentation": label}})
    with pytest.raises(UserError, match="a.mat holds no 8-bit map of classes"):
        read_sbd_label(tmp_path / "a.mat")


def test_lists_and_labels_by_hand(originals: tuple[Path, Path]) -> None:
    root, sbd = originals
    build(root, sbd)
    assert (root / "train.txt").read_text() == "a\nb\ne\nf\n"
    assert (root / "val.txt").read_text() == "c\nd\n"
    built = {path.stem: read_label(path) for path in (root / "SegmentationClassAug").iterdir()}
    # every image of either list; VOC's own label of b, c and d
    expected = {**VOC, "e": SBD["e"], "f": SBD["f"]}
    assert {stem: label.tolist() for stem, label in built.items()} == expected
    with Image.open(root / "SegmentationClassAug" / "a.png") as image:
        assert image.mode == "L"


def test_voc_wins_also_for_an_image_that_only_sbd_lists(originals: tuple[Path, Path]) -> None:
    root, sbd = originals
    (root / "ImageSets" / "Segmentation" / "train.txt").write_text("a\n")
    build(root, sbd)
    assert (root / "train.txt").read_text() == "a\nb\ne\nf\n"
    assert read_label(root / "SegmentationClassAug" / "b.png").tolist() == VOC["b"]


def test_several_workers_write_what_one_writes(tmp_path: Path) -> None:
    stems = [f"{number:02}" for number in range(20)]
    labels = {stem: [[int(stem), 255, 0]] for stem in stems}
    built = []
    for workers in (1, 3):
        root, sbd = write_voc_originals(
            tmp_path / str(workers),
            voc={stem: labels[stem] for stem in stems[:5]},
            sbd={stem: labels[stem] for stem in stems[5:]},
            lists={
                "voc_train": " ".join(stems[:4]),
                "voc_val": stems[4],
                "sbd_train": " ".join(stems[5:]),
                "sbd_val": stems[0],
            },
        )
        build(root, sbd, workers)
        built.append({**contents(root / "SegmentationClassAug"), **contents(root / "ImageSets")})
    assert built[0] == built[1]
    assert len(list((root / "SegmentationClassAug").iterdir())) == 20


@pytest.mark.parametrize("level", ["", "benchmark_RELEASE", "benchmark_RELEASE/dataset"])
def test_sbd_is_found_from_each_of_its_folders(originals: tuple[Path, Path], level: str) -> None:
    root, sbd = originals
    assert find_augmented_set(root, sbd.parent / level).sources["e"] == sbd / "dataset/cls/e.mat"


def test_again_changes_nothing(originals: tuple[Path, Path]) -> None:
    build(*originals)
    before = snapshot(originals[0])
    build(*originals)
    assert snapshot(originals[0]) == before


def test_an_interrupted_build_is_continued_and_its_lists_come_last(
    originals: tuple[Path, Path],
) -> None:
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


def test_a_value_that_voc_does_not_have_names_the_original(originals: tuple[Path, Path]) -> None:
    write_sbd_mat(originals[1] / "dataset/cls/e.mat", [[0, 21]])
    with pytest.raises(UserError, match="e.mat holds the value 21"):
        build(*originals)


@pytest.mark.parametrize(
    "missing, message",
    [
        ("benchmark_RELEASE/dataset/cls/e.mat", "e.mat does not exist, but 'e' is listed"),
        # SBD's label of c is there, but nothing is validated on it
        ("VOC2012/SegmentationClass/c.png", "c.png does not exist, but 'c' is listed"),
        ("VOC2012/ImageSets/Segmentation/val.txt", "val.txt cannot be read"),
        ("benchmark_RELEASE/dataset/train.txt", "train.txt cannot be read"),
    ],
)
def test_what_is_missing_is_named_before_anything_is_written(
    originals: tuple[Path, Path], missing: str, message: str
) -> None:
    root, sbd = originals
    (root.parent / missing).unlink()
    with pytest.raises(UserError, match=message):
        find_augmented_set(root, sbd)


def test_a_folder_that_is_not_sbd(originals: tuple[Path, Path]) -> None:
    root, _ = originals
    with pytest.raises(UserError, match="VOC2012 holds no dataset/cls: give the folder"):
        find_augmented_set(root, root)


def test_lists_that_are_there_are_used_or_refused(originals: tuple[Path, Path]) -> None:
    root, sbd = originals
    (root / "train.txt").write_text("f\ne\nb\na\n")  # the same images in another order
    build(root, sbd)
    assert (root / "train.txt").read_text() == "f\ne\nb\na\n"
    (root / "train.txt").write_text("a\nb\n")
    with pytest.raises(UserError, match=r"train.txt is there with 2 images.* \(4\): remove it"):
        find_augmented_set(root, sbd)
