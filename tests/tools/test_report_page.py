"""The page: every number by hand, reported ones labelled, nothing from elsewhere."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from report_page.page import write_page
from report_page.photo_grid import GridRow, LegendEntry
from report_page.reported import BENCHMARKS, find_benchmark
from report_page.saved import read_evaluations
from saved_files import save_evaluation

from zsk.data.splits import get_split
from zsk.vocabulary import Vocabulary


class PageText(HTMLParser):
    """Rows of all tables as lists of cells, and all text of the body on one line."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.text, self.open = [], "", []
        self.feed(page)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")
        elif tag == "strong":
            self.rows[-1][-1] += "!"  # the best

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


@pytest.fixture
def make(tmp_path):
    """Write a page about these metrics.json; gives its source and its text."""

    def run(*paths, rows=()):
        source = write_page(read_evaluations(paths), rows, tmp_path / "page", "2026-01-31")
        parsed = PageText(source.read_text())
        assert not parsed.open
        return source.read_text(), parsed

    return run


def split_report(split, dataset, images):
    vocabulary = get_split(split)
    unseen = [name for name, seen in zip(vocabulary.names, vocabulary.seen) if not seen]
    return dict(
        dataset=dataset, images=images, classes=vocabulary.names, unseen=unseen, IoU={}, Acc={}
    )


def test_a_page_about_one_evaluation(make, tmp_path):
    path = save_evaluation(tmp_path / "pets")
    source, page = make(path)
    head = ["in percent", "hIoU", "mIoU-seen", "mIoU-unseen", "pAcc"]
    assert page.rows[:2] == [head, ["pets", "28.24", "48.08", "20.00", "60.00"]]
    assert ["cow", "unseen", "20.00", "20.00"] in page.rows
    assert ["cat", "seen", "46.15", "60.00"] in page.rows
    # 4 of cat's 10 pixels and of all 20; then 3 of cow's 5
    assert ["cat", "dog", "40.0 %", "20.0 %"] in page.rows
    assert ["cow (unseen)", "cat", "60.0 %", "15.0 %"] in page.rows
    assert ["config hash", "c0ffee"] in page.rows and ["versions", "torch 2"] in page.rows
    assert "1 evaluation, in percent. Page made on 2026-01-31" in page.text
    assert "2 images; 3 classes compete, 1 of them unseen." in page.text
    assert "reported" not in page.text and "!" not in page.text
    files = {path.name for path in (tmp_path / "page").iterdir()}
    assert files == {"report.html", "per_class_iou_1.png", "confusion_1.png"}
    assert make(path)[0] == source  # the same evaluation, the same page
    for word in ("<script", "<link", "http", "url(", "@import"):  # nothing from elsewhere
        assert word not in source
    assert re.findall(r'src="([^"]{22})', source) == ["data:image/png;base64,"] * 2


def test_the_best_of_two_is_bold(make, tmp_path):
    better = {"hIoU": 30.0, "mIoU-seen": 40.0, "mIoU-unseen": 24.0, "pAcc": 60.0}
    _, page = make(
        save_evaluation(tmp_path / "a" / "pets"),
        save_evaluation(tmp_path / "b" / "pets", metrics=better, IoU={"cat": 50.0, "cow": 20.0}),
    )
    assert page.rows[1] == ["a", "28.24", "!48.08", "20.00", "60.00"]
    assert page.rows[2] == ["b", "!30.00", "40.00", "!24.00", "60.00"]
    assert ["cat", "seen", "46.15", "!50.00"] in page.rows
    assert ["dog", "seen", "50.00", "-"] in page.rows
    assert ["cow", "unseen", "20.00", "20.00"] in page.rows
    assert (tmp_path / "page" / "confusion_2.png").exists()


def test_different_data_sets_stand_in_different_tables(make, tmp_path):
    _, page = make(
        save_evaluation(tmp_path / "a" / "pets"),
        save_evaluation(tmp_path / "a" / "birds", dataset="birds"),
        save_evaluation(tmp_path / "b" / "pets"),
    )
    names = [row[0] for row in page.rows if len(row) > 1 and row[1] == "28.24"]
    assert names == ["a/pets", "b/pets", "a/birds"]
    assert page.rows[3][0] == "class", "the table of pets ends before birds"
    assert "compare numbers within a section only" in page.text


def test_reported_numbers_stand_below_their_benchmark_and_say_so(make, tmp_path):
    report = split_report("voc", "voc_zs_val", 1449)
    _, page = make(save_evaluation(tmp_path / "voc_zs_val", None, **report))
    assert page.rows[2] == ["SPNet reported", "21.8*", "73.3*", "15.0*", "-"]
    assert page.rows[7] == ["ZSK-Net reported", "85.7", "91.3", "80.7", "-"]
    assert "none of them was measured with this code" in page.text
    assert "do not compare" not in page.text
    assert "There is no confusion.npy beside this metrics.json" in page.text

    report = split_report("coco_stuff", "coco_stuff_zs_val", 2)
    _, page = make(save_evaluation(tmp_path, None, **report))
    assert ["SIGN reported", "20.9*", "32.3*", "15.5*", "-"] in page.rows
    assert "* SIGN: printed in another column order" in page.text
    assert "over 5000 images, these over 2: they do not compare" in page.text


def test_a_data_set_of_other_classes_is_no_benchmark():
    voc = get_split("voc")
    assert find_benchmark("voc_zs_val", voc) is BENCHMARKS["voc_zs_val"]
    assert find_benchmark("coco_stuff_zs_val", voc) is None
    assert find_benchmark("photos_zs_val", get_split("coco_stuff")) is None
    assert find_benchmark("voc_zs_val", Vocabulary(voc.names, voc.names, (True,) * 20)) is None


def test_reported_rows_satisfy_the_formula_of_hiou_or_say_that_they_do_not():
    noted = []
    for benchmark in BENCHMARKS.values():
        for row in benchmark.results:
            formula = 2 * row.seen * row.unseen / (row.seen + row.unseen)
            if "by the formula" in row.note:
                noted.append(row.method)
                assert row.note.endswith(f" {formula:.1f}.")
            else:
                assert row.hiou == pytest.approx(formula, abs=0.15), row  # one decimal each
    assert noted == ["SPNet", "CaGNet"]


def test_groups_and_classes_without_ground_truth_are_told(make, tmp_path):
    conf = np.zeros((4, 4), dtype=np.int64)
    conf[0, 0] = 5
    numbers = {"IoU": {"cat": 100.0}, "Acc": {"cat": 100.0}}
    metrics = {"other": 1.0, "fwIoU": 2.0, "mIoU-seen": 3.0}
    _, page = make(save_evaluation(tmp_path, conf, metrics=metrics, **numbers))
    assert page.rows[0] == ["in percent", "mIoU-seen", "fwIoU", "other"]
    assert "No unseen class has ground truth here, so its means and hIoU are missing." in page.text
    assert "2 of 3 classes have no ground truth here and take part in no mean: dog, cow." in (
        page.text
    )
    assert "No labelled pixel was taken for another class." in page.text

    _, page = make(save_evaluation(tmp_path, 0 * conf, IoU={}, Acc={}, metrics={}))
    assert "No seen class has ground truth" in page.text
    assert "No pixel has ground truth." in page.text


def test_names_are_text_not_markup(make, tmp_path):
    name = "<script>alert(1)</script>"
    paths = [
        save_evaluation(
            tmp_path / folder / "<b>",
            dataset=f"<i>{folder}",
            classes=["cat", "dog", name],
            unseen=[name],
            IoU={"cat": 50.0, name: 5.0},
            Acc={},
            metrics={"<u>": 1.0},
            provenance={"<u>": "<u>"},
        )
        for folder in "ab"
    ]
    row = GridRow("<b>.photo", (Image.new("RGB", (4, 2)),) * 4, (LegendEntry(2, "#abcdef", (1,)),))
    source, page = make(*paths, rows=[row])
    assert not re.search(r"<(script|b|i|u)>", source)
    assert [name, "unseen", "5.00", "-"] in page.rows
    assert [f"{name} (unseen)", "cat", "60.0 %", "15.0 %"] in page.rows
    assert f"{name} (unseen) 1.0 %" in page.text


def test_photos_stand_beside_their_legend(make, tmp_path):
    row = GridRow(
        "one", (Image.new("RGB", (4, 2)),) * 3, (LegendEntry(2, "#abcdef", (37.5, 75.0)),)
    )
    source, page = make(save_evaluation(tmp_path / "pets"), rows=[row])
    assert source.count("data:image/jpeg;base64,") == 3
    assert "cow (unseen) 37.5 | 75.0 %" in page.text and "background:#abcdef" in source
    assert "percent of the image: ground truth | prediction." in page.text
    assert Image.open(tmp_path / "page" / "grid_one.png").size == (3 * 4 + 2 * 8, 2)
