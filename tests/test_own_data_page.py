"""docs/own_data.md: its example files are right, and its commands work as they stand."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from detectron2.data import DatasetCatalog
from PIL import Image
from preparation.tables import coco_stuff_value_table

from zsk.data.labels import read_joint_label
from zsk.data.split_file import register_split_file
from zsk.data.splits import get_split, make_vocabulary
from zsk.data.vocabularies import get_vocabulary

# the classes that have other names in the example than in COCO-Stuff
RENAMED = {name: f"{name}-other" for name in ("sky", "building", "floor", "ceiling")}
RENAMED |= {"wood floor": "floor-wood", "door": "door-stuff", "wall": "wall-concrete"}


def test_the_example_reads_the_right_values(checkout: Path) -> None:
    split = yaml.safe_load((checkout / "docs" / "own_data" / "split.yaml").read_text())
    vocabulary = make_vocabulary(split["classes"], split["unseen"], split["prompt_names"])
    assert (len(vocabulary), vocabulary.seen.count(False)) == (30, 6)
    table = coco_stuff_value_table()
    for name in vocabulary.names:
        joint_id = get_split("coco_stuff").names.index(RENAMED.get(name, name))
        assert split["label_values"][name] == np.flatnonzero(table == joint_id)[0], name


def test_the_other_split_of_voc_reads_what_the_known_one_does(
    checkout: Path, real_data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "VOC2012"
    shutil.copytree(real_data / "VOC2012", folder, copy_function=os.symlink)
    shutil.copy(checkout / "docs" / "own_data" / "voc_10_10.yaml", folder)
    train, val = register_split_file(folder / "voc_10_10.yaml")
    vocabulary = get_vocabulary(train)
    assert vocabulary.names == get_split("voc").names
    assert vocabulary.seen.count(False) == 10
    for data_set, known in ((train, "train"), (val, "val")):
        entry = DatasetCatalog.get(data_set)[0]
        assert Path(entry["file_name"]).stem == (folder / f"{known}.txt").read_text().split()[0]
        stored = np.array(Image.open(entry["sem_seg_file_name"]))
        # a VOC label file holds the position plus 1, 0 for the background and 255 for no label
        expected = np.where((stored == 0) | (stored == 255), 255, stored - 1)
        assert np.array_equal(read_joint_label(entry), expected), data_set


@pytest.mark.slow
def test_the_page_followed_literally(checkout: Path, real_data: Path, tmp_path: Path) -> None:
    for name in ("configs", "demo", "docs", "tools", "zsk", "train_net.py"):
        (tmp_path / name).symlink_to(checkout / name)
    (tmp_path / "datasets").mkdir()
    for path in (checkout / "datasets").glob("photos_*.txt"):
        (tmp_path / "datasets" / path.name).symlink_to(path)
    page = (checkout / "docs" / "own_data.md").read_text()
    commands = re.findall(r"^```bash\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(commands) == 4
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "DETECTRON2_DATASETS": str(real_data)}
    words = ["bash", "-e", "-c", "\n".join(commands)]
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    output = tmp_path / "output" / "my_data"
    report = json.loads((output / "inference" / "photos30_val" / "metrics.json").read_text())
    assert report["images"] == 20
    assert report["metrics"]["pAcc"] > 10  # of 30 names: better than chance
    assert (output / "model_final.pth").is_file()
    assert (output / "sheet_photos30_val.png").is_file()
    assert (output / "demo" / "000000000144_overlay.png").is_file()
