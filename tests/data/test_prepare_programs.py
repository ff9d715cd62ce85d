"""datasets/prepare_voc.py and prepare_coco_stuff.py as a user runs them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from label_files import contents, snapshot, write_label_png, write_voc_originals

from zsk.data.images import read_label

# VOC's values: 1–15 are seen, 16–20 unseen; SBD adds c
VOC = {"a": [[0, 1]], "b": [[16, 2]], "d": [[3, 3]]}
SBD = {"b": [[9, 9]], "c": [[20, 255]], "d": [[9, 9]]}
LISTS = {"voc_train": "a b", "voc_val": "d", "sbd_train": "b c", "sbd_val": "d"}
# category ids of COCO-Stuff's unseen classes, by its published list of labels; files hold id - 1
COCO_UNSEEN_CATEGORIES = (21, 25, 33, 34, 41, 57, 87, 100, 106, 124, 145, 148, 149, 169, 172)


def test_voc_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_main) -> None:
    root = tmp_path / "VOC2012"
    for stem, values in (("a", [[0, 1]]), ("b", [[20, 20]]), ("c", [[16, 2]])):
        write_label_png(root / "SegmentationClassAug" / f"{stem}.png", values)
    (root / "train.txt").write_text("a\nb\n")
    (root / "val.txt").write_text("c\n")
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    for _ in range(2):
        code, out, err = run_main("prepare_voc")
        assert code == 0, err
        assert out.splitlines()[1].split() == ["train", "2", "1", "2", "1"]
        assert out.splitlines()[2].split() == ["val", "1", "1", "1", "0"]
    written = {str(p.relative_to(root / "zsk")) for p in (root / "zsk").rglob("*.png")}
    assert written == {
        "train/a.png",
        "train/b.png",
        "train_seen/a.png",
        "train_seen/b.png",
        "val/c.png",
    }
    assert read_label(root / "zsk" / "val" / "c.png").tolist() == [[15, 1]]


def test_coco_program_prepares_what_is_there(tmp_path: Path, run_main) -> None:
    # 0 person, 20 cow (category 21, unseen), 181 wood
    write_label_png(tmp_path / "stuffthingmaps" / "val2017" / "a.png", [[0, 20, 181, 255]])
    code, _, err = run_main("prepare_coco_stuff", "--root", tmp_path)
    assert code == 0, err
    assert read_label(tmp_path / "zsk" / "val2017" / "a.png").tolist() == [[0, 19, 170, 255]]
    assert sorted(path.name for path in (tmp_path / "zsk").iterdir()) == ["val2017"]


@pytest.mark.parametrize("program", ["prepare_voc", "prepare_coco_stuff"])
def test_programs_say_what_is_missing(tmp_path: Path, run_main, program: str) -> None:
    code, out, err = run_main(program, "--root", tmp_path / "x")
    assert code == 2
    assert out == ""
    assert err.startswith("error: ") and err.count("\n") == 1
    assert "datasets/README.md" in err


def voc_originals(folder: Path) -> tuple[Path, Path]:
    return write_voc_originals(folder, voc=VOC, sbd=SBD, lists=LISTS)


def link_all(source: Path, target: Path) -> Path:
    """A folder of links to what `source` holds: preparing writes beside them."""
    target.mkdir(parents=True)
    for path in source.iterdir():
        (target / path.name).symlink_to(path)
    return target


def test_voc_from_the_originals(tmp_path: Path, run_program, run_main) -> None:
    root, sbd = voc_originals(tmp_path)
    done = run_program("datasets/prepare_voc.py", "--root", root, "--sbd", sbd, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert "VOC2012/SegmentationClassAug: 100%" in done.stderr  # the progress bar
    assert f"warning: {root / 'train.txt'}: 3 images, but the benchmark has 10,582" in done.stderr
    assert f"warning: {root / 'val.txt'}: 1 images, but the benchmark has 1,449" in done.stderr
    assert done.stdout.splitlines()[1].split() == ["train", "3", "2", "2", "1"]
    assert done.stdout.splitlines()[2].split() == ["val", "1", "2", "0", "0"]
    assert read_label(root / "zsk" / "train" / "b.png").tolist() == [[15, 1]]
    assert read_label(root / "zsk" / "train_seen" / "b.png").tolist() == [[255, 1]]
    assert read_label(root / "zsk" / "train" / "c.png").tolist() == [[19, 255]]
    first = snapshot(root)
    # again, with SBD and, now that everything is there, without
    for arguments in (("--sbd", sbd), ()):
        assert run_main("prepare_voc", "--root", root, *arguments)[:2] == (0, done.stdout)
        assert snapshot(root) == first


def test_a_broken_original_is_one_line(tmp_path: Path, run_main) -> None:
    stems = [f"{number:02}" for number in range(12)]
    root, sbd = write_voc_originals(
        tmp_path,
        voc={"val": [[1]]},
        sbd={stem: [[1]] for stem in stems},
        lists={"voc_train": "00", "voc_val": "val", "sbd_train": " ".join(stems), "sbd_val": "01"},
    )
    write_label_png(root / "SegmentationClass" / "00.png", [[1]])
    (sbd / "dataset" / "cls" / "07.mat").write_bytes(b"no matrix at all")
    code, out, err = run_main("prepare_voc", "--root", root, "--sbd", sbd, "--workers", 3)
    assert code == 2
    assert out == ""
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    assert last.startswith(f"error: label {sbd / 'dataset/cls/07.mat'} cannot be read")


def test_dry_runs_write_nothing(tmp_path: Path, run_main) -> None:
    root, sbd = voc_originals(tmp_path)
    write_label_png(tmp_path / "stuffthingmaps" / "train2017" / "a.png", [[0]])
    before = snapshot(tmp_path)
    code, out, err = run_main("prepare_voc", "--root", root, "--sbd", sbd, "--dry-run")
    assert code == 0, err
    assert out.splitlines() == [
        f"SegmentationClassAug: reads 3 labels of {root / 'SegmentationClass'}",
        f"SegmentationClassAug: reads 1 labels of {sbd / 'dataset/cls'}",
        f"    {root / 'SegmentationClassAug'}: 4 to write, 0 there already",
        f"    {root / 'train.txt'}: 3 images, to write",
        f"    {root / 'val.txt'}: 1 images, to write",
        f"train: reads 3 labels of {root / 'SegmentationClassAug'}",
        f"    {root / 'zsk/train'}: 3 to write, 0 there already",
        f"    {root / 'zsk/train_seen'}: 3 to write, 0 there already",
        f"val: reads 1 labels of {root / 'SegmentationClassAug'}",
        f"    {root / 'zsk/val'}: 1 to write, 0 there already",
        "dry run: nothing was written",
    ]
    code, out, err = run_main("prepare_coco_stuff", "--root", tmp_path, "--dry-run")
    assert code == 0, err
    assert out.splitlines() == [
        f"train2017: reads 1 labels of {tmp_path / 'stuffthingmaps/train2017'}",
        f"    {tmp_path / 'zsk/train2017'}: 1 to write, 0 there already",
        f"    {tmp_path / 'zsk/train2017_seen'}: 1 to write, 0 there already",
        "dry run: nothing was written",
    ]
    assert snapshot(tmp_path) == before
    assert not (root / "zsk").exists() and not (tmp_path / "zsk").exists()


def test_a_dry_run_counts_what_an_earlier_run_left_to_do(tmp_path: Path, run_main) -> None:
    root, sbd = voc_originals(tmp_path)
    assert run_main("prepare_voc", "--root", root, "--sbd", sbd)[0] == 0
    (root / "zsk" / "train_seen" / "b.png").unlink()
    _, out, _ = run_main("prepare_voc", "--root", root, "--sbd", sbd, "--dry-run")
    assert f"    {root / 'SegmentationClassAug'}: 0 to write, 4 there already" in out
    assert f"    {root / 'train.txt'}: 3 images, there already" in out
    assert f"    {root / 'zsk/train_seen'}: 1 to write, 2 there already" in out


def test_strict_refuses_a_subset_before_writing(tmp_path: Path, run_main) -> None:
    root, sbd = voc_originals(tmp_path)
    write_label_png(tmp_path / "stuffthingmaps" / "val2017" / "a.png", [[0]])
    before = snapshot(tmp_path)
    code, _, err = run_main("prepare_voc", "--root", root, "--sbd", sbd, "--strict")
    assert code == 2 and err.count("\n") == 1
    assert "train.txt: 3 images, but the benchmark has 10,582" in err
    code, _, err = run_main("prepare_coco_stuff", "--root", tmp_path, "--strict")
    assert code == 2 and err.count("\n") == 1
    assert "val2017: 1 images, but the benchmark has 5,000" in err
    assert snapshot(tmp_path) == before


def test_a_listed_label_that_is_missing_stops_before_writing(tmp_path: Path, run_main) -> None:
    root = tmp_path / "VOC2012"
    write_label_png(root / "SegmentationClassAug" / "a.png", [[0, 1]])
    (root / "train.txt").write_text("a\nb\nc\n")
    (root / "val.txt").write_text("a\n")
    code, _, err = run_main("prepare_voc", "--root", root)
    assert code == 2
    assert "b.png does not exist" in err and "train.txt lists it (2 of 3 are missing)" in err
    assert not (root / "zsk").exists()


def test_ctrl_c_leaves_whole_files_and_the_next_run_continues(
    tmp_path: Path, checkout: Path, run_main
) -> None:
    """As in a terminal: the signal goes to the program and to its workers alike."""
    noise = np.random.default_rng(0).integers(0, 11, (400, 400), dtype=np.uint8)
    source = write_label_png(tmp_path / "noise.png", noise.tolist())
    for root, number in ((tmp_path / "many", 600), (tmp_path / "reference", 1)):
        folder = root / "stuffthingmaps" / "train2017"
        folder.mkdir(parents=True)
        for k in range(number):
            (folder / f"{k:03}.png").symlink_to(source)
    program = str(checkout / "datasets" / "prepare_coco_stuff.py")
    arguments = [program, "--root", str(tmp_path / "many"), "--workers", "2"]
    # a shell that starts the tests in the background has switched Ctrl-C off for its children
    start = (
        "import runpy, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        f"sys.argv = {arguments!r}; runpy.run_path({program!r}, run_name='__main__')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", start],
        cwd=checkout,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    seen_folder = tmp_path / "many" / "zsk" / "train2017_seen"
    while not (seen_folder / "000.png").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == "" and err.endswith("interrupted\n") and "Traceback" not in err
    done = contents(tmp_path / "many" / "zsk")
    assert 2 <= len(done) < 2 * 600
    assert {Path(name).suffix for name in done} == {".png"}  # no temporary file is left
    assert run_main("prepare_coco_stuff", "--root", tmp_path / "reference")[0] == 0
    whole = contents(tmp_path / "reference" / "zsk")
    for name, data in done.items():
        assert data == whole[f"{Path(name).parent}/000.png"], name
    for path in (tmp_path / "many" / "stuffthingmaps" / "train2017").glob("[1-5]*.png"):
        path.unlink()  # a hundred are enough for the rest of the test
    code, out, err = run_main("prepare_coco_stuff", "--root", tmp_path / "many")
    assert code == 0, err
    assert out.splitlines()[1].split()[:2] == ["train2017", "100"]
    assert {f"train2017/{k:03}.png" for k in range(100)} <= contents(tmp_path / "many/zsk").keys()


def test_coco_stuff_on_the_photos(real_data: Path, tmp_path: Path, run_program) -> None:
    root = link_all(real_data / "coco", tmp_path / "coco")
    done = run_program("datasets/prepare_coco_stuff.py", "--root", root, "--workers", 2)
    assert done.returncode == 0, done.stderr
    sources = sorted((real_data / "coco" / "stuffthingmaps" / "train2017").glob("*.png"))
    seen_pixels = unseen_pixels = without_seen = 0
    for source in sources:
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


def test_voc_on_the_photos(real_data: Path, tmp_path: Path, run_program) -> None:
    root = link_all(real_data / "VOC2012", tmp_path / "VOC2012")
    done = run_program("datasets/prepare_voc.py", "--root", root, "--workers", 2)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[1:3]]
    assert [row[:2] for row in rows] == [["train", "52"], ["val", "18"]]
    for part, number in (("train", 52), ("train_seen", 52), ("val", 18)):
        prepared = sorted((root / "zsk" / part).iterdir())
        assert len(prepared) == number
        for path in prepared:
            raw = read_label(root / "SegmentationClassAug" / path.name)
            last = 15 if part == "train_seen" else 20  # 16–20 are unseen
            kept = (raw >= 1) & (raw <= last)
            expected = np.where(kept, raw.astype(int) - 1, 255)
            assert (read_label(path) == expected).all(), path
