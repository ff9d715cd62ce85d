"""datasets/prepare_synthetic.py: pixels that never change, resuming, and the data sets of it."""

import hashlib
import sys
from pathlib import Path

import numpy as np
import prepare_synthetic
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from label_files import contents, snapshot
from synthetic_world.classes import OBJECTS
from synthetic_world.scene import PARTS, SIDE, Scene

from zsk.data.builtin import register_all
from zsk.data.images import read_image, read_label
from zsk.data.labels import read_joint_label
from zsk.data.register import get_vocabulary
from zsk.data.splits import get_split
from zsk.errors import UserError
from zsk.vocabulary import IGNORE_LABEL

# SHA-256 of the decoded pixels: benchmark results are comparable only while these hold
PHOTO = "3eaaa36e5fa617cc"
LABEL = "fdaba277525abef6"


def digest(pixels: np.ndarray) -> str:
    return hashlib.sha256(pixels.tobytes()).hexdigest()[:16]


def test_the_pixels_of_a_scene_never_change(small_world: Path) -> None:
    folder = small_world / "synthetic" / "train"
    assert digest(read_image(folder / "photos" / "00000.png")) == PHOTO
    assert digest(read_label(folder / "labels" / "00000.png")) == LABEL


def test_a_limit_and_running_again_write_what_is_missing_and_nothing_else(tmp_path: Path) -> None:
    assert prepare_synthetic.render_world(tmp_path, limit=2) == {"train": 2, "val": 2}
    assert len(contents(tmp_path)) == 8
    (tmp_path / "train" / "labels" / "00001.png").unlink()
    kept = {name: file for name, file in snapshot(tmp_path).items() if "train/photos" not in name}
    prepare_synthetic.render_world(tmp_path, limit=9, workers=2)
    after = snapshot(tmp_path)
    assert len(after) == 36 and kept.items() <= after.items()
    prepare_synthetic.render_world(tmp_path, limit=9)
    assert snapshot(tmp_path) == after
    label = read_label(tmp_path / "train" / "labels" / "00001.png")
    assert np.array_equal(label, Scene(1, 1).render().classes)


def test_there_are_3000_scenes_to_train_on_and_80_others_to_test() -> None:
    assert PARTS == {"train": (1, 3000), "val": (2, 80)}


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--limit", "0"], "--limit is 0: give 1 or more"),
        (["--workers", "0", "--limit", "1"], "number of worker processes is 0"),
        (["--root", "{}/file/root"], "cannot write .*file/root"),
    ],
)
def test_a_wrong_call_is_one_sentence(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    given = ["--root", str(tmp_path / "out"), *(word.format(tmp_path) for word in arguments)]
    monkeypatch.setattr(sys, "argv", ["prepare_synthetic.py", *given])
    with pytest.raises(UserError, match=words):
        prepare_synthetic.main()


@pytest.mark.parametrize("kind", ["stuff", "objects"])
def test_the_registered_data_sets(small_world: Path, kind: str, empty_catalogs: None) -> None:
    register_all(small_world)
    vocabulary = get_split(f"synthetic_{kind}")
    names = [f"synthetic_{kind}_{end}" for end in ("zs_train", "supervised_train", "zs_val")]
    assert get_vocabulary(names[0]) == get_vocabulary(names[2]) == vocabulary
    supervised = get_vocabulary(names[1])
    assert supervised.names == vocabulary.names and all(supervised.seen)
    assert [MetadataCatalog.get(name).training for name in names] == [True, True, False]
    assert DatasetCatalog.get(names[0]) == DatasetCatalog.get(names[1])
    for name, (seed, _) in zip((names[0], names[2]), PARTS.values()):
        record = DatasetCatalog.get(name)[3]
        assert record["image_id"] == "00003"
        image, classes = Scene(seed, 3).render()
        if kind == "objects":
            classes = np.where(classes < len(OBJECTS), classes, IGNORE_LABEL)
        assert np.array_equal(read_image(record["file_name"]), image)
        assert np.array_equal(read_joint_label(record), classes)
        assert image.shape == (SIDE, SIDE, 3) and (classes == IGNORE_LABEL).any() == (
            kind == "objects"
        )


def test_a_world_that_was_not_rendered_is_reported(tmp_path: Path, empty_catalogs: None) -> None:
    register_all(tmp_path)
    with pytest.raises(UserError, match="synthetic/val/photos does not exist.*prepare_synthetic"):
        DatasetCatalog.get("synthetic_stuff_zs_val")
