"""The page: numbers by hand, reported ones labelled, nothing from elsewhere; its photos."""

import re
from html import unescape

import numpy as np
import pytest
from PIL import Image
from report_page import confusion
from report_page.confusion import draw_confusion, shares_of_truth
from report_page.page import write_page
from report_page.photo_grid import GridRow, LegendEntry, make_row
from report_page.reported import BENCHMARKS, find_benchmark
from report_page.saved import read_evaluations
from saved_files import PETS, save_evaluation

from zsk.data.splits import get_split
from zsk.errors import UserError
from zsk.protocol import LEAK
from zsk.vocabulary import Vocabulary

BLUE = (0, 116, 185)  # class 0 in every picture


def plain_text(html):
    """On one line; "!" stands before what is bold, the best."""
    html = html.replace("<strong>", "!")
    return " ".join(unescape(re.sub(r"<[^>]*>", "", html)).split())


@pytest.fixture
def make(tmp_path):
    """Write a page about these metrics.json; gives its source, its tables' rows and its text."""

    def run(*paths, rows=()):
        folder = tmp_path / "page"
        folder.mkdir(exist_ok=True)
        page = write_page(read_evaluations(paths), rows, folder, "2026-01-31")
        source = page.read_text()
        cells = [
            [plain_text(cell) for cell in re.findall(r"<t[hd][ >].*?</t[hd]>", row, re.DOTALL)]
            for row in re.findall(r"<tr.*?</tr>", source, re.DOTALL)
        ]
        return source, cells, plain_text(source[source.index("<body>") :])

    return run


def test_a_matrix_of_many_classes_keeps_those_with_the_most_pixels(monkeypatch):
    monkeypatch.setattr(confusion, "_MOST_CLASSES", 2)
    conf = np.diag([6, 1, 0, 9, 0])
    conf[0, 1] = 2  # taken for a class that is left out
    present, shares = shares_of_truth(conf)
    assert present.tolist() == [0, 3]
    assert shares.tolist() == [[75.0, 0.0, 25.0], [0.0, 100.0, 0.0]]


@pytest.mark.slow
def test_a_page_of_5000_classes(make, tmp_path):
    names = [f"class {number}" for number in range(5000)]
    numbers = {name: number / 50 for number, name in enumerate(names)}
    conf = np.eye(5001, dtype=np.int64)
    path = save_evaluation(tmp_path, conf, classes=names, unseen=[], IoU=numbers, Acc=numbers)
    _, rows, _ = make(path)
    assert len([row for row in rows if row[0].startswith("class ")]) == 5000
    for picture in ("per_class_iou_1.png", "confusion_1.png"):
        with Image.open(tmp_path / "page" / picture) as image:
            assert max(image.size) < 6000


def test_a_leak_stands_in_no_table_with_other_evaluations(make, tmp_path):
    """It is the better one, but in bold nowhere; what was written before leaks is believed."""
    folders = {"a": {}, "b": {"protocol": LEAK, "metrics": {"hIoU": 99.0}}}
    folders["c"] = {"transductive": True}
    paths = [save_evaluation(tmp_path / name, **notes) for name, notes in folders.items()]
    _, rows, text = make(*paths)
    heads = [i for i, row in enumerate(rows) if row[0] == "in percent"]
    assert [rows[i + 1][0] for i in heads] == ["a", "b (leak)", "c (transductive)"]
    assert rows[heads[1] + 1][1] == "99.00"
    with pytest.raises(UserError, match="metrics.json is not what .* has to be one of inductive"):
        make(save_evaluation(tmp_path / "d", protocol="new"))


def test_across_data_sets_the_groups_have_other_names(make, tmp_path):
    path = save_evaluation(tmp_path / "a", cross_dataset=True, metrics={"pAcc": 60.0})
    _, rows, text = make(path)
    head = rows.index(["class", "group", "IoU", "Acc"])
    groups = {name: group for name, group, *_ in rows[head + 1 : head + 4]}
    assert groups == {"cat": "trained-names", "dog": "trained-names", "cow": "new-names"}
    assert "unseen" not in text and "hIoU are missing" not in text


def test_cells_stand_below_their_evaluation(make, tmp_path):
    cells = {"stride": 8, "metrics": {"hIoU@8": 30.0}, "differences": {"hIoU@8-hIoU": 1.76}}
    _, rows, _ = make(save_evaluation(tmp_path / "pets", cells=cells))
    assert rows[0] == ["in percent", "hIoU", "mIoU-seen", "mIoU-unseen", "pAcc"]
    assert rows[1][:2] == ["pets", "28.24"]
    assert rows[2:4] == [
        ["pets, cells of 8", "30.00", "-", "-", "-"],
        ["pets, difference", "+1.76", "-", "-", "-"],
    ]
    for broken in ({"stride": 8}, [], {**cells, "metrics": {"hIoU@8": 101}}):
        with pytest.raises(UserError, match="metrics.json .*'cells'"):
            make(save_evaluation(tmp_path / "pets", cells=broken))


def test_a_page_about_one_evaluation(make, tmp_path):
    path = save_evaluation(tmp_path / "pets")
    source, rows, text = make(path)
    head = ["in percent", "hIoU", "mIoU-seen", "mIoU-unseen", "pAcc"]
    assert rows[:2] == [head, ["pets", "28.24", "48.08", "20.00", "60.00"]]
    assert ["cow", "unseen", "20.00", "20.00"] in rows
    assert ["cat", "seen", "46.15", "60.00"] in rows
    # 4 of cat's 10 pixels and of all 20; then 3 of cow's 5
    assert ["cat", "dog", "40.0 %", "20.0 %"] in rows
    assert ["cow (unseen)", "cat", "60.0 %", "15.0 %"] in rows
    assert ["config hash", "c0ffee"] in rows and ["versions", "torch 2"] in rows
    assert "2 images; 3 classes compete, 1 of them unseen." in text
    assert "reported" not in text and "!" not in text
    files = {path.name for path in (tmp_path / "page").iterdir()}
    assert files == {"report.html", "per_class_iou_1.png", "confusion_1.png"}
    assert make(path)[0] == source  # the same evaluation, the same page
    for word in ("<script", "<link", "http", "url(", "@import"):  # nothing from elsewhere
        assert word not in source
    assert re.findall(r'src="([^"]{22})', source) == ["data:image/png;base64,"] * 2


def test_the_best_of_one_data_set_is_bold(make, tmp_path):
    better = {"hIoU": 30.0, "mIoU-seen": 40.0, "mIoU-unseen": 24.0, "pAcc": 60.0}
    _, rows, text = make(
        save_evaluation(tmp_path / "a" / "pets"),
        save_evaluation(tmp_path / "a" / "birds", dataset="birds"),
        save_evaluation(tmp_path / "b" / "pets", metrics=better, IoU={"cat": 50.0, "cow": 20.0}),
    )
    assert rows[1] == ["a/pets", "28.24", "!48.08", "20.00", "60.00"]
    assert rows[2] == ["b/pets", "!30.00", "40.00", "!24.00", "60.00"]
    assert rows[3][0] == "class", "the table of pets ends before birds"
    assert ["a/birds", "28.24", "48.08", "20.00", "60.00"] in rows
    assert "compare numbers within a section only" in text
    assert ["cat", "seen", "46.15", "!50.00"] in rows
    assert ["dog", "seen", "50.00", "-"] in rows
    assert ["cow", "unseen", "20.00", "20.00"] in rows
    assert (tmp_path / "page" / "confusion_3.png").exists()


def test_reported_numbers_stand_below_their_benchmark_and_say_so(make, tmp_path):
    def page(split, images):
        names, flags = get_split(split).names, get_split(split).seen
        unseen = [name for name, seen in zip(names, flags) if not seen]
        report = dict(dataset=f"{split}_zs_val", images=images, classes=names, unseen=unseen)
        return make(save_evaluation(tmp_path / split, None, **report, IoU={}, Acc={}))[1:]

    rows, text = page("voc", 1449)
    assert rows[2] == ["SPNet reported", "21.8*", "73.3*", "15.0*", "-"]
    assert rows[7] == ["ZSK-Net reported", "85.7", "91.3", "80.7", "-"]
    assert "none of them was measured with this code" in text
    assert "do not compare" not in text
    assert "There is no confusion.npy beside this metrics.json" in text
    rows, text = page("coco_stuff", 2)
    assert ["SIGN reported", "20.9*", "32.3*", "15.5*", "-"] in rows
    assert "over 5000 images, these over 2: they do not compare" in text


def test_a_data_set_of_other_classes_is_no_benchmark():
    voc = get_split("voc")
    assert find_benchmark("voc_zs_val", voc) is BENCHMARKS["voc_zs_val"]
    assert find_benchmark("coco_stuff_zs_val", voc) is None
    assert find_benchmark("photos_zs_val", get_split("coco_stuff")) is None
    assert find_benchmark("voc_zs_val", Vocabulary(voc.names, voc.names, (True,) * 20)) is None


def test_what_has_no_ground_truth_is_told(make, tmp_path):
    conf = np.diag([5, 0, 0, 0])
    numbers = {"IoU": {"cat": 100.0}, "Acc": {"cat": 100.0}}
    metrics = {"other": 1.0, "fwIoU": 2.0, "mIoU-seen": 3.0}
    _, rows, text = make(save_evaluation(tmp_path, conf, metrics=metrics, **numbers))
    assert rows[0] == ["in percent", "mIoU-seen", "fwIoU", "other"]
    assert "No unseen class has ground truth here, so its means and hIoU are missing." in text
    assert "2 of 3 classes have no ground truth here" in text and "dog, cow." in text
    assert "No labelled pixel was taken for another class." in text

    _, _, text = make(save_evaluation(tmp_path, 0 * conf, IoU={}, Acc={}, metrics={}))
    assert "No seen class has ground truth" in text and "No pixel has ground truth." in text


def test_names_are_text_not_markup(make, tmp_path):
    name = "<script>alert(1)</script>"
    classes = {"classes": ["cat", "dog", name], "unseen": [name]}
    numbers = {"IoU": {"cat": 50.0, name: 5.0}, "Acc": {}, "metrics": {"<u>": 1.0}}
    others = {"provenance": {"<u>": "<u>"}, **classes, **numbers}
    paths = [save_evaluation(tmp_path / f / "<b>", dataset=f"<i>{f}", **others) for f in "ab"]
    legend = (LegendEntry(2, "#abcdef", (37.5, 75.0, 1.0)),)
    row = GridRow("<b>.photo", (Image.new("RGB", (4, 2)),) * 4, legend)
    source, rows, text = make(*paths, rows=[row])
    assert not re.search(r"<(script|b|i|u)>", source)
    assert [name, "unseen", "5.00", "-"] in rows
    assert [f"{name} (unseen)", "cat", "60.0 %", "15.0 %"] in rows
    assert f"{name} (unseen) 37.5 | 75.0 | 1.0 %" in text
    assert "background:#abcdef" in source and source.count("data:image/jpeg;base64,") == 4
    assert Image.open(tmp_path / "page" / "grid_1_<b>.photo.png").size == (4 * 4 + 3 * 8, 2)


def test_shares_add_up_and_absent_classes_share_a_column():
    conf = np.array([[3, 1, 0, 0], [0, 0, 0, 0], [0, 2, 2, 0], [9, 0, 0, 0]])
    present, shares = shares_of_truth(conf)
    assert present.tolist() == [0, 2]
    assert shares.tolist() == [[75.0, 0.0, 25.0], [0.0, 50.0, 50.0]]


@pytest.mark.parametrize("count", [1, 60])
def test_a_confusion_matrix_of_any_vocabulary(tmp_path, count):
    names = tuple(f"${k}" for k in range(count))  # no formula
    vocabulary = Vocabulary(names, names, tuple(k % 4 > 0 for k in range(count)))
    draw_confusion(np.eye(count + 1), vocabulary, tmp_path / "x.png", "a $ test")
    pixels = np.asarray(Image.open(tmp_path / "x.png").convert("RGB")).astype(int)
    # the diagonal has the colour of 100 %
    assert (np.abs(pixels - (8, 48, 107)).max(axis=2) < 4).any()


@pytest.fixture
def folders(tmp_path):
    """Photo, ground truth and prediction of the image "one": 4×2 pixels, half not labelled."""
    save = {
        "photos/one.JPG": np.full((2, 4, 3), 200),
        "labels/one.png": [[0, 0, 255, 255], [0, 2, 255, 255]],
        "predictions/one.png": [[0, 0, 0, 0], [1, 2, 0, 0]],
        "small/one.png": [[0, 0]],
        "foreign/one.png": [[0, 0, 0, 7]] * 2,
    }
    for name, pixels in save.items():
        (tmp_path / name).parent.mkdir()
        Image.fromarray(np.array(pixels, dtype=np.uint8)).save(tmp_path / name, quality=95)
    return tmp_path


def row(folder, *predictions):
    files = {"file_name": folder / "photos/one.JPG", "sem_seg_file_name": folder / "labels/one.png"}
    return make_row({**files, "image_id": "one"}, [folder / name for name in predictions], PETS)


def test_panels_and_legend(folders):
    one = row(folders, "predictions", "labels")
    photo, truth, prediction, _ = one.panels
    assert one.strip().size == (4 * 640 + 3 * 8, 320)
    # ignored pixels stay grey
    assert photo.getpixel((600, 300)) == truth.getpixel((600, 300)) == (200, 200, 200)
    expected = [0.6 * channel + 0.4 * 200 for channel in BLUE]
    assert truth.getpixel((10, 10)) == prediction.getpixel((600, 300))
    assert truth.getpixel((10, 10)) == pytest.approx(expected, abs=1)
    assert one.legend[0].colour == "#0074b9"
    assert [(entry.label, *entry.shares) for entry in one.legend] == [
        (0, 37.5, 75.0, 37.5),
        (2, 12.5, 12.5, 12.5),
        (1, 0.0, 12.5, 0.0),
    ]


@pytest.mark.parametrize(
    "folder, message",
    [
        ("small", r"small/one\.png is 2×1"),
        ("foreign", r"foreign/one\.png holds the id 7"),
        ("nowhere", r"nowhere/one\.png does not exist"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(folders, folder, message):
    with pytest.raises(UserError, match=message):
        row(folders, folder)
