"""`tools/benchmark/photo_folds.py`: folds of the 100 photos, and pasted photos."""

from pathlib import Path

import numpy as np
import pytest
from benchmark.photo_folds import SHARES, Segment, cut_segments, paste

from zsk.vocabulary import IGNORE_LABEL


class Draws:
    """Stands for a random generator: what it draws, in turn."""

    def __init__(self, *draws: float) -> None:
        self.draws = iter(draws)

    def __getattr__(self, _: str):
        return lambda *_: next(self.draws)


def test_a_segment_is_a_connected_region_of_a_seen_class_neither_small_nor_large() -> None:
    labels = np.full((20, 20), IGNORE_LABEL, dtype=np.uint8)
    labels[0:2, 0:3] = 7  # 6 of 400 pixels: 1.5 %
    labels[10:12, 10:12] = 7  # 4: 1 %
    labels[15, 15:18] = 7  # 3: too small
    labels[:, 19] = 9
    labels[5:9, 0:19] = 9  # with the column: 96, 24 %
    labels[13:20, 0:15] = 3  # 105: too large
    photo = np.arange(400, dtype=np.uint16).reshape(20, 20, 1).repeat(3, 2).astype(np.uint8)
    found = list(cut_segments(photo, labels))
    assert [(s.label, int(s.inside.sum())) for s in found] == [(7, 6), (7, 4), (9, 96)]
    assert SHARES == (0.01, 0.25)
    assert np.array_equal(found[1].pixels, photo[10:12, 10:12])


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_segment_is_pasted_with_its_label_and_cut_at_the_border(mirrored: bool) -> None:
    inside = np.array([[True, True, False], [True, True, True], [False, False, True]])
    pixels = np.arange(27, dtype=np.uint8).reshape(3, 3, 3) + 100
    photo, labels = np.zeros((4, 5, 3), np.uint8), np.full((4, 5), 8, np.uint8)
    # scale 1; mirrored or not; its center on row 0 and column 2: its first row lies outside
    paste(photo, labels, Segment(pixels, inside, 3), Draws(1.0, 0.4 if mirrored else 0.6, 0, 2))
    expected = np.full((4, 5), 8)
    rows = [[1, 1, 1], [1, 0, 0]] if mirrored else [[1, 1, 1], [0, 0, 1]]
    expected[0:2, 1:4][np.array(rows, dtype=bool)] = 3
    assert np.array_equal(labels, expected)
    assert not photo[labels == 8].any()
    first = pixels[1, ::-1] if mirrored else pixels[1]
    assert np.array_equal(photo[0, 1:4], first)


def test_a_fold_trains_on_80_photos_and_tests_on_the_other_20(
    run_program, real_data: Path, tmp_path: Path
) -> None:
    coco, folds = tmp_path / "coco", tmp_path / "folds"
    (coco / "stuffthingmaps").mkdir(parents=True)
    (coco / "train2017").symlink_to(real_data / "coco" / "train2017")
    labels = real_data / "coco" / "stuffthingmaps" / "train2017"
    (coco / "stuffthingmaps" / "train2017").symlink_to(labels)
    assert run_program("datasets/prepare_coco_stuff.py", "--root", coco).returncode == 0
    make = ("tools/benchmark/photo_folds.py", "--pasted", 3, "--output", folds)
    done = run_program(*make, DETECTRON2_DATASETS=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "5 folds, each with 3 pasted photos"
    tested = []
    for fold in range(1, 6):
        train = (folds / f"fold_{fold}_train.txt").read_text().split()
        test = (folds / f"fold_{fold}_val.txt").read_text().split()
        assert len(set(train)) == 80 and not set(train) & set(test)
        tested += test
        pasted = (folds / f"pasted_{fold}_train.txt").read_text().split()
        assert pasted == [*train, "pasted_0", "pasted_1", "pasted_2"]
    assert len(set(tested)) == 100
    check = run_program("tools/check_dataset.py", "--split-file", folds / "pasted_2.yaml")
    assert check.returncode == 0 and "no problems in pasted_2_train" in check.stdout
    # again: links are made anew, files of others are left alone
    assert run_program(*make, DETECTRON2_DATASETS=tmp_path).returncode == 0
    mine = folds / "photos_5" / "photos" / f"{train[0]}.jpg"
    mine.unlink()
    mine.write_text("mine")
    done = run_program(*make, DETECTRON2_DATASETS=tmp_path)
    assert done.returncode == 2 and "is in the way" in done.stderr and mine.read_text() == "mine"


def test_mistakes_are_one_sentence(run_program, tmp_path: Path) -> None:
    for arguments, message in (
        (("--pasted", -1), "--pasted -1: give 0 or more"),
        ((), "run datasets/prepare_coco_stuff.py first"),
    ):
        done = run_program(
            *("tools/benchmark/photo_folds.py", *arguments, "--output", tmp_path / "folds"),
            DETECTRON2_DATASETS=tmp_path,
        )
        assert done.returncode == 2 and message in done.stderr
        assert "Traceback" not in done.stderr
