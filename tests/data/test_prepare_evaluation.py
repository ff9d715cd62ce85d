"""Preparing evaluation-only data sets: label files of a few pixels through the three programs."""

import os
from pathlib import Path

import numpy as np
import pytest
from detectron2.data import DatasetCatalog
from PIL import Image

from zsk.data.evaluation_sets import EVALUATION_SETS
from zsk.data.images import read_label
from zsk.data.prepare_evaluation import link_into
from zsk.data.register import register_evaluation_set
from zsk.errors import UserError


def write(path: Path, values: list[list[int]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, np.uint8)).save(path)


def test_ade_program(tmp_path: Path, run_main) -> None:
    folder = tmp_path / "annotations" / "validation"
    write(folder / "a.png", [[0, 1, 150]])
    write(folder / "b.png", [[0, 0]])
    code, out, err = run_main("prepare_ade20k", "--root", tmp_path)
    assert code == 0, err
    prepared = tmp_path / "zsk" / "validation"
    line = "2 images, 2 scored pixels, 1 images without any"
    assert out == f"{prepared}: {line}\n"
    assert read_label(prepared / "a.png").tolist() == [[255, 0, 149]]
    assert [path.name for path in (tmp_path / "zsk").iterdir()] == ["validation"]


def test_pascal_context_program_takes_the_listed_photos(tmp_path: Path, run_program) -> None:
    for stem in "ab":
        write(tmp_path / "VOC2010" / "SegmentationClassContext" / f"{stem}.png", [[0, 1, 59]])
    val = tmp_path / "VOC2010" / "ImageSets" / "SegmentationContext" / "val.txt"
    val.parent.mkdir(parents=True)
    val.write_text("b\n")
    done = run_program("datasets/prepare_pascal_context.py", DETECTRON2_DATASETS=tmp_path)
    assert done.returncode == 0, done.stderr
    prepared = tmp_path / "VOC2010" / "zsk" / "val"
    assert [path.name for path in prepared.iterdir()] == ["b.png"]
    assert read_label(prepared / "b.png").tolist() == [[255, 0, 58]]


@pytest.mark.parametrize(
    "ending, values, ids",
    [
        # parking is not scored; road, train
        ("labelIds", [[9, 7, 31]], [[255, 0, 16]]),
        ("labelTrainIds", [[255, 0, 16]], [[255, 0, 16]]),
    ],
)
def test_cityscapes_program_pairs_photos_and_labels(
    tmp_path: Path, run_main, empty_catalogs, ending: str, values: list, ids: list
) -> None:
    for city, stem in (("ulm", "ulm_1"), ("bonn", "bonn_1")):
        photo = tmp_path / "leftImg8bit" / "val" / city / f"{stem}_leftImg8bit.png"
        write(photo, [[1, 2, 3]])
        write(tmp_path / "gtFine" / "val" / city / f"{stem}_gtFine_{ending}.png", values)
        write(tmp_path / "gtFine" / "val" / city / f"{stem}_gtFine_instanceIds.png", [[77, 77, 77]])
    for _ in range(2):
        code, out, err = run_main("prepare_cityscapes", "--root", tmp_path)
        assert code == 0, err
    photos, labels = tmp_path / "zsk" / "val_photos", tmp_path / "zsk" / "val"
    register_evaluation_set("city", photos, labels, EVALUATION_SETS["cityscapes_19"])
    records = DatasetCatalog.get("city")
    assert [record["image_id"] for record in records] == ["bonn_1", "ulm_1"]
    for record in records:
        assert read_label(record["file_name"]).tolist() == [[1, 2, 3]]
        assert read_label(record["sem_seg_file_name"]).tolist() == ids


def test_a_cityscapes_photo_without_label_is_named(tmp_path: Path, run_main) -> None:
    write(tmp_path / "leftImg8bit" / "val" / "ulm" / "ulm_1_leftImg8bit.png", [[1]])
    write(tmp_path / "leftImg8bit" / "val" / "ulm" / "ulm_2_leftImg8bit.png", [[1]])
    write(tmp_path / "gtFine" / "val" / "ulm" / "ulm_1_gtFine_labelIds.png", [[7]])
    code, out, err = run_main("prepare_cityscapes", "--root", tmp_path)
    assert code == 2
    assert "ulm_2_leftImg8bit.png has no label" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "zsk").exists()


@pytest.mark.parametrize("name", ["ade20k", "pascal_context", "cityscapes"])
def test_programs_say_what_is_missing(tmp_path: Path, run_main, name: str) -> None:
    code, out, err = run_main(f"prepare_{name}", "--root", tmp_path / "x")
    assert code == 2
    assert out == ""
    assert err.startswith("error: ") and err.count("\n") == 1
    assert str(tmp_path / "x") in err and "datasets/README.md" in err


def test_links_are_relative_and_renewed(tmp_path: Path) -> None:
    for name in ("old.png", "new.png"):
        write(tmp_path / "files" / name, [[len(name)]])
    folder = tmp_path / "links"
    link_into({"a": tmp_path / "files" / "old.png"}, folder)
    links = link_into({"a": tmp_path / "files" / "new.png"}, folder)
    assert links == [folder / "a.png"]
    assert os.readlink(links[0]) == os.path.join("..", "files", "new.png")
    assert link_into({}, folder) == []


def test_a_file_in_the_place_of_a_link_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "links" / "a.png", [[3]])
    with pytest.raises(UserError, match="cannot make the link .*a.png"):
        link_into({"a": tmp_path / "b.png"}, tmp_path / "links")
    assert read_label(tmp_path / "links" / "a.png").tolist() == [[3]]
