"""Label PNGs from colour masks and from COCO's JSON, by the commands of docs/own_data.md."""

import json
import re
import shlex
from pathlib import Path

import convert_labels
import numpy as np
import pytest
import yaml
from colour_labels import voc_colour
from PIL import Image
from pycocotools import mask as coco_mask

from zsk.data.label_files import read_label
from zsk.errors import UserError

CVAT = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat 1:128,0,0::\ndog:0,128,0::\n"
MASK = np.array([[[0, 0, 0], [128, 0, 0], [0, 128, 0]]], np.uint8)
BORDER = [224, 224, 192]

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def commands(checkout: Path) -> list[list[str]]:
    """The arguments of the three commands on the page."""
    page = (checkout / "docs" / "own_data.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return [shlex.split(line)[2:] for line in block.splitlines()]


def printed(capsys) -> dict:
    return yaml.safe_load(capsys.readouterr().out.split("no class:\n")[1])


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_a_table_of_colours(folder: Path, commands, capsys) -> None:
    save(folder / "SegmentationClass" / "x" / "a.png", MASK)
    (folder / "labelmap.txt").write_bytes(b"\xef\xbb\xbf" + CVAT.encode())
    convert_labels.main(commands[0])
    assert read_label(folder / "labels" / "x" / "a.png").tolist() == [[0, 1, 2]]
    names = ["background", "cat 1", "dog"]
    values = {"background": 0, "cat 1": 1, "dog": 2}
    assert printed(capsys) == {"classes": names, "label_values": values}
    with pytest.raises(UserError, match="a.png exists already: give an empty --output"):
        convert_labels.main(commands[0])
    (folder / "labelmap.txt").write_text("name,r,g,b\ndog,0,128,0\nsky, 0, 0, 0\ncat,128,0,0")
    convert_labels.main([*commands[0][:-1], "other"])
    assert read_label(folder / "other" / "x" / "a.png").tolist() == [[1, 2, 0]]


def test_colours_of_voc_with_a_palette_and_a_border(folder: Path, commands) -> None:
    (folder / "class_names.txt").write_text("__ignore__\n_background_\ncat\ndog\n")
    ids = np.array([[0, 1, 2, 255]], np.uint8)
    image = Image.fromarray(ids).convert("P")
    palette = np.zeros((256, 3), np.uint8)
    palette[[1, 2, 255]] = [128, 0, 0], [0, 128, 0], BORDER
    image.putpalette(palette.tobytes())
    (folder / "SegmentationClassPNG").mkdir()
    image.save(folder / "SegmentationClassPNG" / "a.png")
    convert_labels.main(commands[1])
    assert read_label(folder / "labels" / "a.png").tolist() == [[0, 1, 2, 255]]
    # the development kit's table
    expected = {3: (128, 128, 0), 8: (64, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128)}
    assert {k: voc_colour(k) for k in expected} == expected


def test_unknown_colours_are_counted_and_refused(folder: Path, commands) -> None:
    (folder / "labelmap.txt").write_text(CVAT)
    strange = np.array([[[9, 8, 7], [0, 0, 0], [9, 8, 7], [1, 1, 1]]], np.uint8)
    save(folder / "SegmentationClass" / "a.png", strange)
    told = r"a.png has 2 colours without a class: 9,8,7 \(2 pixels\), 1,1,1 \(1 pixels\)"
    with pytest.raises(UserError, match=told):
        convert_labels.main(commands[0])
    assert not list((folder / "labels").glob("*"))
    (folder / "labelmap.txt").write_text("background:0,0,0::\ncat:65,0,0::\n")
    save(folder / "SegmentationClass" / "a.png", np.array([[[0, 0, 0], BORDER]], np.uint8))
    with pytest.raises(UserError, match="1 colours without a class: 224,224,192"):
        convert_labels.main(commands[0])  # the border belongs to the palette of VOC
    for table, message in (
        ("cat,128,0\ndog,0,0,0\n", "'cat,128,0' is no line name:r,g,b"),
        (CVAT + "hen:0,128,0::\n", "'hen:0,128,0::' repeats a name or colour"),
        (CVAT + "hen 3\n", "'hen 3' is no line name:r,g,b"),
        (CVAT + "hen:256,0,0\n", "is no 8-bit colour"),
    ):
        (folder / "labelmap.txt").write_text(table)
        with pytest.raises(UserError, match=message):
            convert_labels.main(commands[0])


def coco(*annotations: dict) -> str:
    images = [{"id": 7, "file_name": "x/a.jpg", "height": 2, "width": 4}]
    categories = [{"id": 90, "name": "dog"}, {"id": 3, "name": "cat"}]
    marked = [{"id": k, "image_id": 7, **a} for k, a in enumerate(annotations)]
    return json.dumps({"images": images, "categories": categories, "annotations": marked})


def test_cocos_polygons_and_run_lengths(folder: Path, commands, capsys) -> None:
    small = np.zeros((2, 4), np.uint8)
    small[0, 1] = 1
    packed = coco_mask.encode(np.asfortranarray(small))
    packed["counts"] = packed["counts"].decode()
    plain = {"size": [2, 4], "counts": [6, 2]}  # the last column
    square = [[0, 0, 2, 0, 2, 2, 0, 2]]  # the left half
    annotations = (
        {"category_id": 90, "segmentation": packed},  # lies on the larger square
        {"category_id": 3, "segmentation": square},
        {"category_id": 3, "segmentation": plain, "iscrowd": 1},
    )
    (folder / "instances.json").write_text(coco(*annotations))
    convert_labels.main(commands[2])
    assert read_label(folder / "labels" / "x" / "a.png").tolist() == [[0, 1, 2, 0], [0, 0, 2, 0]]
    assert printed(capsys)["classes"] == ["cat", "dog", "background"]
    convert_labels.main(["--coco", "instances.json", "--output", "without"])
    label = read_label(folder / "without" / "x" / "a.png")
    assert label.tolist() == [[0, 1, 255, 0], [0, 0, 255, 0]]


def test_a_comma_in_a_name(folder: Path, commands, capsys) -> None:
    """As in the names of ADE20K; the printed lines are quoted, so the split file takes them."""
    (folder / "instances.json").write_text(coco().replace("dog", "bed, single"))
    convert_labels.main(commands[2])
    assert printed(capsys)["classes"] == ["cat", "bed, single", "background"]


def test_masks_of_every_lossless_suffix(folder: Path, commands, capsys) -> None:
    for name in ("a.PNG", "b.bmp", "x/c.tiff", "x/d.jpg", "notes"):
        path = folder / "SegmentationClass" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(MASK).save(path, format=None if "." in name else "PNG")
    (folder / "labelmap.txt").write_text(CVAT)
    convert_labels.main(commands[0])
    for stem in ("a", "b", "x/c"):
        assert read_label(folder / "labels" / f"{stem}.png").tolist() == [[0, 1, 2]]
    assert "3 labels: labels (left out: 1 .jpg, 1 no ending files)" in capsys.readouterr().out
    for path in (folder / "SegmentationClass").glob("?.*"):
        path.unlink()
    (folder / "SegmentationClass" / "x" / "c.tiff").unlink()
    with pytest.raises(UserError, match="masks SegmentationClass holds no file ending in .png, "):
        convert_labels.main([*commands[0][:-1], "other"])
    with pytest.raises(UserError, match="none.txt cannot be read .No such file or directory.$"):
        convert_labels.main([*commands[0][:3], "none.txt", *commands[0][4:]])


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", r"cannot be read as COCO's JSON \(JSONDecodeError: Expecting property name"),
        ("{}", "lists no categories or no images"),
        ("[1]", r"JSON \(AssertionError: annotation file format .*list.* not supported"),
        ('{"images": [{}]}', r"JSON \(KeyError: 'id'\)"),
        (coco({"category_id": 5, "segmentation": [[0, 0, 2, 0, 2, 2]]}), "category_id 5, which is"),
        (coco({"category_id": 3, "segmentation": 8}), "annotation 0 of image x/a.jpg has neither"),
        (coco({"category_id": 3, "segmentation": []}), "x/a.jpg has no segmentation: a box"),
        (
            coco({"category_id": 3, "segmentation": {"size": [1, 4], "counts": [4]}}),
            "annotation 0 of image x/a.jpg has a mask of 4×1 pixels",
        ),
        (coco().replace('"height": 2, ', ""), "image x/a.jpg needs a file_name, a height and a"),
        (coco().replace("x/a.jpg", "../a.jpg"), "../a.jpg would be written outside of --output"),
        (coco().replace("dog", "cat"), "instances.json: the class name 'cat' occurs twice"),
        (coco().replace("90", "3"), "gives one id to several categories"),
        (
            coco({"category_id": 3}).replace('"image_id": 7', '"image_id": "7"'),
            "has 1 annotations of",
        ),
    ],
)
def test_json_that_is_not_cocos(folder: Path, commands, text: str, message: str) -> None:
    (folder / "instances.json").write_text(text)
    with pytest.raises(UserError, match=message):
        convert_labels.main(commands[2])
    assert not list(folder.rglob("*.png"))


@pytest.mark.parametrize(
    "words", ["--output o", "--masks m --output o", "--coco c --masks m --colours t --output o"]
)
def test_a_wrong_call_is_exit_code_2(words: str, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        convert_labels.main(words.split())
    assert stop.value.code == 2 and "give --masks and --colours" in capsys.readouterr().err
