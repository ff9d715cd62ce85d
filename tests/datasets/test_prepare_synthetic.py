"""datasets/prepare_synthetic.py: pixels that never change, resuming, and the data sets of it."""

import hashlib
from pathlib import Path

import numpy as np
import prepare_synthetic
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from label_files import contents, snapshot
from synthetic_world.classes import OBJECTS
from synthetic_world.scene import PARTS, render_scene

from zsk.data.builtin import register_all
from zsk.data.images import read_image
from zsk.data.label_files import read_label
from zsk.data.labels import read_joint_label
from zsk.data.splits import get_split
from zsk.data.vocabularies import get_vocabulary
from zsk.vocabulary import IGNORE_LABEL

# SHA-256 of the decoded pixels: benchmark results are comparable only while these hold
DIGESTS = {"photos": "3eaaa36e5fa617cc", "labels": "fdaba277525abef6"}


def test_the_pixels_of_a_scene_never_change(small_world: Path) -> None:
    for read, (folder, digest) in zip((read_image, read_label), DIGESTS.items()):
        pixels = read(small_world / "synthetic" / "train" / folder / "00000.png")
        assert hashlib.sha256(pixels.tobytes()).hexdigest()[:16] == digest


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


def test_no_scene_at_all_is_one_sentence(run_main, tmp_path: Path) -> None:
    code, _, err = run_main("prepare_synthetic", "--root", tmp_path, "--limit", 0)
    assert code == 2 and "--limit is 0: give 1 or more" in err


@pytest.mark.parametrize("kind", ["stuff", "objects"])
def test_the_registered_data_sets(small_world: Path, kind: str) -> None:
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
        image, classes = render_scene(seed, 3)
        if kind == "objects":
            classes = np.where(classes < len(OBJECTS), classes, IGNORE_LABEL)
        assert np.array_equal(read_image(record["file_name"]), image)
        assert np.array_equal(read_joint_label(record), classes)
        assert (classes == IGNORE_LABEL).any() == (kind == "objects")
