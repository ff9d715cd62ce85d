"""datasets/prepare_*.py as a user runs them."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from detectron2.data import DatasetCatalog
from label_files import contents, snapshot, write_label_png, write_voc_originals
from PIL import Image
from scipy.io import savemat

from zsk.data.label_files import read_label
from zsk.data.register import register_zero_shot_split
from zsk.data.splits import get_split

# VOC's values: 1–15 are seen, 16–20 unseen; SBD adds c
VOC = {"a": [[0, 1]], "b": [[16, 2]], "d": [[3, 3]]}
SBD = {"b": [[9, 9]], "c": [[20, 255]], "d": [[9, 9]]}
LISTS = {"voc_train": "a b", "voc_val": "d", "sbd_train": "b c", "sbd_val": "d"}
# category ids of COCO-Stuff's unseen classes, by its published list of labels; files hold id - 1
COCO_UNSEEN_CATEGORIES = (21, 25, 33, 34, 41, 57, 87, 100, 106, 124, 145, 148, 149, 169, 172)


@pytest.fixture
def originals(tmp_path: Path) -> tuple[Path, Path]:
    return write_voc_originals(tmp_path, voc=VOC, sbd=SBD, lists=LISTS)


def test_voc_from_the_originals_resumes_and_counts(originals, run_program, run_main) -> None:
    root, sbd = originals
    done = run_program("datasets/prepare_voc.py", "--root", root, "--sbd", sbd, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert "VOC2012/SegmentationClassAug: 100%" in done.stderr  # the progress bar
    assert f"warning: {root / 'train.txt'}: 3 images, but the benchmark has 10,582" in done.stderr
    assert done.stdout.splitlines()[1].split() == ["train", "3", "2", "2", "1"]
    assert done.stdout.splitlines()[2].split() == ["val", "1", "2", "0", "0"]
    assert read_label(root / "zsk" / "train" / "b.png").tolist() == [[15, 1]]
    assert read_label(root / "zsk" / "train_seen" / "b.png").tolist() == [[255, 1]]
    assert read_label(root / "zsk" / "train" / "c.png").tolist() == [[19, 255]]
    first = snapshot(root)
    for arguments in (("--sbd", sbd), ()):
        assert run_main("prepare_voc", "--root", root, *arguments)[:2] == (0, done.stdout)
        assert snapshot(root) == first
    # a dry run counts what an interrupted run left to do
    (root / "zsk" / "train_seen" / "b.png").unlink()
    _, out, _ = run_main("prepare_voc", "--root", root, "--sbd", sbd, "--dry-run")
    assert f"    {root / 'SegmentationClassAug'}: 0 to write, 4 there already" in out
    assert f"    {root / 'zsk/train_seen'}: 1 to write, 2 there already" in out
    assert run_main("prepare_voc", "--root", root)[:2] == (0, done.stdout)
    assert contents(root) == {name: data for name, (_, data) in first.items()}


def test_coco_program_prepares_what_is_there(tmp_path: Path, run_main) -> None:
    # 0 person, 20 cow (category 21, unseen), 181 wood
    write_label_png(tmp_path / "stuffthingmaps" / "val2017" / "a.png", [[0, 20, 181, 255]])
    (tmp_path / "zsk").write_text("a file where the folder should be")
    code, _, err = run_main("prepare_coco_stuff", "--root", tmp_path)
    assert code == 2 and re.search("zsk/val2017 cannot be made: .*writable", err)
    (tmp_path / "zsk").unlink()
    code, _, err = run_main("prepare_coco_stuff", "--root", tmp_path)
    assert code == 0, err
    assert read_label(tmp_path / "zsk" / "val2017" / "a.png").tolist() == [[0, 19, 170, 255]]
    assert sorted(path.name for path in (tmp_path / "zsk").iterdir()) == ["val2017"]


def test_dry_run_and_strict_write_nothing(tmp_path: Path, originals, run_main) -> None:
    root, sbd = originals
    write_label_png(tmp_path / "stuffthingmaps" / "train2017" / "a.png", [[0]])
    before = snapshot(tmp_path)
    for program, arguments, told in (
        ("prepare_voc", ("--root", root, "--sbd", sbd), "train.txt: 3 images, .* 10,582"),
        ("prepare_coco_stuff", ("--root", tmp_path), "train2017: 1 images, .* 118,287"),
    ):
        code, out, err = run_main(program, *arguments, "--dry-run")
        assert code == 0 and out.endswith("dry run: nothing was written\n"), err
        code, _, err = run_main(program, *arguments, "--strict")
        assert code == 2 and err.count("\n") == 1 and re.search(told, err)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", ["voc", "coco_stuff", "ade20k", "pascal_context", "cityscapes"])
def test_a_missing_root_is_one_line(tmp_path: Path, run_main, name: str) -> None:
    code, out, err = run_main(f"prepare_{name}", "--root", tmp_path / "x")
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1
    assert str(tmp_path / "x") in err and "datasets/README.md" in err


def test_a_missing_or_broken_label_is_one_line(originals, run_main) -> None:
    root, sbd = originals
    (sbd / "dataset" / "cls" / "c.mat").write_bytes(b"no matrix at all")
    code, out, err = run_main("prepare_voc", "--root", root, "--sbd", sbd, "--workers", 3)
    assert (code, out) == (2, "") and "Traceback" not in err
    assert f"\nerror: label {sbd / 'dataset/cls/c.mat'} cannot be read" in err
    (root / "train.txt").write_text("a\nx\ny\n")
    (root / "val.txt").write_text("a\n")
    code, _, err = run_main("prepare_voc", "--root", root)
    assert code == 2
    assert "x.png does not exist" in err and "train.txt lists it (2 of 3 are missing)" in err
    assert not (root / "zsk").exists()


def test_a_stopped_program_leaves_no_half_file(tmp_path: Path, checkout: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 11, (400, 400), dtype=np.uint8)
    source = write_label_png(tmp_path / "noise.png", noise.tolist())
    folder = tmp_path / "stuffthingmaps" / "train2017"
    folder.mkdir(parents=True)
    for k in range(600):
        (folder / f"{k:03}.png").symlink_to(source)
    program = checkout / "datasets" / "prepare_coco_stuff.py"
    command = [sys.executable, program, "--root", tmp_path, "--workers", "2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=checkout, **pipes)
    while not (tmp_path / "zsk" / "train2017_seen" / "000.png").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert out == "" and "Traceback" not in err
    assert process.returncode == 130 and err.endswith("interrupted\n")
    done = contents(tmp_path / "zsk")
    assert 2 <= len(done) < 2 * 600
    assert {Path(name).suffix for name in done} == {".png"}  # no temporary file is left
    assert len({data for name, data in done.items() if name.startswith("train2017/")}) == 1


def test_ade20k_and_pascal_context(tmp_path: Path, run_main, run_program) -> None:
    folder = tmp_path / "annotations" / "validation"
    write_label_png(folder / "a.png", [[0, 1, 150]])
    write_label_png(folder / "b.png", [[0, 0]])
    code, out, err = run_main("prepare_ade20k", "--root", tmp_path)
    assert code == 0, err
    assert "validation: 2 images, but the benchmark has 2,000" in err
    prepared = tmp_path / "zsk" / "validation"
    assert out == f"{prepared}: 2 images, 2 scored pixels, 1 images without any\n"
    assert read_label(prepared / "a.png").tolist() == [[255, 0, 149]]
    # of Pascal Context the listed photos alone
    voc = tmp_path / "VOC2010"
    for stem in "ab":
        write_label_png(voc / "SegmentationClassContext" / f"{stem}.png", [[0, 1, 59]])
    val = voc / "ImageSets" / "SegmentationContext" / "val.txt"
    val.parent.mkdir(parents=True)
    val.write_text("b\n")
    done = run_program("datasets/prepare_pascal_context.py", DETECTRON2_DATASETS=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "val.txt: 1 images, but the benchmark has 5,104" in done.stderr
    prepared = voc / "zsk" / "val"
    assert [path.name for path in prepared.iterdir()] == ["b.png"]
    assert read_label(prepared / "b.png").tolist() == [[255, 0, 58]]


def test_the_larger_vocabularies_have_16_bits(tmp_path: Path, run_main) -> None:
    """ADE20K's 847 classes from colours, Pascal Context's 459 from MATLAB files."""
    ade, context = tmp_path / "ade", tmp_path / "context"
    scene = ade / "images" / "ADE" / "validation" / "urban" / "street"
    scene.mkdir(parents=True)
    # wall is 2978 = 11 * 256 + 162, person 1831 = 7 * 256 + 39; blue tells objects apart
    colours = [[[110, 162, 1], [70, 39, 9], [0, 0, 0], [0, 1, 4]]]
    Image.fromarray(np.array(colours, np.uint8)).save(scene / "ADE_val_1_seg.png")
    (scene / "ADE_val_1.jpg").touch()
    for _ in range(2):
        code, out, err = run_main("prepare_ade20k", "--classes", 847, "--root", ade)
        assert code == 0, err
    assert out.endswith("labels: 1 images, 2 scored pixels, 0 images without any\n")
    assert read_label(ade / "zsk/labels/ADE_val_1.png").tolist() == [[0, 11, 65535, 65535]]
    assert (ade / "zsk/photos/ADE_val_1.jpg").resolve() == scene / "ADE_val_1.jpg"
    lists = context / "ImageSets" / "SegmentationContext"
    for folder in (lists, context / "trainval"):
        folder.mkdir(parents=True)
    (lists / "val.txt").write_text("a\n")
    label = np.array([[0, 1, 459]], np.uint16)
    savemat(context / "trainval" / "a.mat", {"LabelMap": label})
    code, _, err = run_main("prepare_pascal_context", "--classes", 459, "--root", context)
    assert code == 0, err
    assert read_label(context / "zsk/val_459/a.png").tolist() == [[65535, 0, 458]]


def test_broken_labels_of_the_larger_vocabularies_are_one_line(tmp_path: Path, run_main) -> None:
    scene = tmp_path / "images" / "ADE" / "validation" / "urban" / "street"
    scene.mkdir(parents=True)
    (scene / "a.jpg").touch()
    arguments = "prepare_ade20k", "--classes", 847, "--root", tmp_path
    code, _, err = run_main(*arguments)
    assert code == 2 and "a.jpg has no label a_seg.png" in err and not (tmp_path / "zsk").exists()
    write_label_png(scene / "a_seg.png", [[1]])
    code, _, err = run_main(*arguments)
    assert code == 2 and "has no three channels" in err
    (tmp_path / "ImageSets" / "SegmentationContext").mkdir(parents=True)
    (tmp_path / "ImageSets" / "SegmentationContext" / "val.txt").write_text("a\n")
    (tmp_path / "trainval").mkdir()
    arguments = "prepare_pascal_context", "--classes", 459, "--root", tmp_path
    code, _, err = run_main(*arguments)
    assert code == 2 and "a.mat does not exist" in err
    assert list((tmp_path / "zsk" / "val_459").iterdir()) == []
    for matrix, told in (
        ({"LabelMap": np.ones((1, 2))}, "a.mat holds no map of whole numbers"),
        ({"LabelMap": np.array([[460]], np.uint16)}, "a.mat holds the value 460, which"),
        ({"Other": 1}, "a.mat cannot be read as a label of Pascal Context (KeyError: 'LabelMap')"),
    ):
        savemat(tmp_path / "trainval" / "a.mat", matrix)
        code, _, err = run_main(*arguments)
        assert code == 2 and told in err and "Traceback" not in err


@pytest.mark.parametrize(
    "ending, values, ids",
    [
        # parking is not scored; road, train
        ("labelIds", [[9, 7, 31]], [[255, 0, 16]]),
        ("labelTrainIds", [[255, 0, 16]], [[255, 0, 16]]),
    ],
)
def test_cityscapes_pairs_photos_and_labels_by_relative_links(
    tmp_path: Path, run_main, ending: str, values: list, ids: list
) -> None:
    for city, stem in (("ulm", "ulm_1"), ("bonn", "bonn_1")):
        photo = tmp_path / "a" / "leftImg8bit" / "val" / city / f"{stem}_leftImg8bit.png"
        write_label_png(photo, [[1, 2, 3]])
        labels = tmp_path / "a" / "gtFine" / "val" / city
        write_label_png(labels / f"{stem}_gtFine_{ending}.png", values)
        write_label_png(labels / f"{stem}_gtFine_instanceIds.png", [[77, 77, 77]])
    for _ in range(2):
        code, out, err = run_main("prepare_cityscapes", "--root", tmp_path / "a")
        assert code == 0, err
    assert "val: 2 images, but the benchmark has 500" in err
    (tmp_path / "a").rename(tmp_path / "b")  # the links stay right
    photos, prepared = (str(tmp_path / "b" / "zsk" / name) for name in ("val_photos", "val"))
    classes = get_split("cityscapes_19")
    register_zero_shot_split("city", photos, prepared, classes, training=False)
    records = DatasetCatalog.get("city")
    assert [record["image_id"] for record in records] == ["bonn_1", "ulm_1"]
    for record in records:
        assert read_label(record["file_name"]).tolist() == [[1, 2, 3]]
        assert read_label(record["sem_seg_file_name"]).tolist() == ids


def test_a_cityscapes_photo_without_label_and_a_file_in_a_links_place(
    tmp_path: Path, run_main
) -> None:
    for stem in ("ulm_1", "ulm_2"):
        photo = tmp_path / "leftImg8bit" / "val" / "ulm" / f"{stem}_leftImg8bit.png"
        write_label_png(photo, [[1]])
    write_label_png(tmp_path / "gtFine" / "val" / "ulm" / "ulm_1_gtFine_labelIds.png", [[7]])
    code, _, err = run_main("prepare_cityscapes", "--root", tmp_path)
    assert code == 2 and err.count("\n") == 1
    assert "ulm_2_leftImg8bit.png has no label" in err and not (tmp_path / "zsk").exists()
    photo.unlink()
    own = write_label_png(tmp_path / "zsk" / "val_photos" / "ulm_1.png", [[3]])
    code, _, err = run_main("prepare_cityscapes", "--root", tmp_path)
    assert code == 2 and f"cannot make the link {own}" in err
    assert read_label(own).tolist() == [[3]]


def test_coco_stuff_on_the_photos(real_data: Path, tmp_path: Path, run_program) -> None:
    root = tmp_path / "coco"  # of links: preparing writes beside them
    root.mkdir()
    for path in (real_data / "coco").iterdir():
        (root / path.name).symlink_to(path)
    done = run_program("datasets/prepare_coco_stuff.py", "--root", root, "--workers", 2)
    assert done.returncode == 0, done.stderr
    seen_pixels = unseen_pixels = without_seen = 0
    for source in sorted((real_data / "coco" / "stuffthingmaps" / "train2017").glob("*.png")):
        raw = read_label(source).astype(int)
        unseen = np.isin(raw + 1, COCO_UNSEEN_CATEGORIES)
        seen = (raw != 255) & ~unseen
        joint = read_label(root / "zsk" / "train2017" / source.name)
        seen_only = read_label(root / "zsk" / "train2017_seen" / source.name)
        assert ((joint < 171) == (seen | unseen)).all(), source
        assert ((seen_only < 171) == seen).all(), source
        assert (seen_only[seen] == joint[seen]).all(), source
        seen_pixels += int(seen.sum())
        unseen_pixels += int(unseen.sum())
        without_seen += not seen.any()
    row = ["train2017", "100", f"{seen_pixels:,}", f"{unseen_pixels:,}", str(without_seen)]
    assert done.stdout.splitlines()[1].split() == row
