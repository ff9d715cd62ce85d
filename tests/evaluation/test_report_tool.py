"""tools/report.py as a user runs it: the page from two files with photos, and its errors."""

import numpy as np
import pytest
from PIL import Image
from saved_files import save_evaluation


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two evaluations with predictions, one photo "one" and its ground truth."""
    root = tmp_path_factory.mktemp("report")
    labels = np.array([[0, 1], [2, 255]], dtype=np.uint8)
    for name in ("a/inference/pets", "b/inference/pets"):
        save_evaluation(root / name)
        Image.fromarray(labels).save(root / name / "one.png")
    for folder in ("photos", "labels"):
        (root / folder).mkdir()
    Image.fromarray(np.zeros((2, 2, 3), dtype=np.uint8)).save(root / "photos" / "one.jpg")
    Image.fromarray(labels).save(root / "labels" / "one.png")
    return root


def test_two_files_with_photos_become_a_page(run_program, files):
    folders = [files / name / "inference" / "pets" for name in "ab"]
    done = run_program(
        "tools/report.py",
        *(folder / "metrics.json" for folder in folders),
        *("-o", files / "out" / "page", "--images", "one", "--predictions", *folders),
        *("--photos", files / "photos", "--labels", files / "labels"),
    )
    assert done.returncode == 0, done.stderr
    page = files / "out" / "page" / "report.html"
    assert done.stdout.strip() == str(page)
    source = page.read_text()
    assert source.count("28.24") == 2 and source.count("data:image/") == 4 + 4
    assert {path.name for path in page.parent.iterdir()} == {
        "report.html",
        *(f"{kind}_{n}.png" for kind in ("per_class_iou", "confusion") for n in (1, 2)),
        "grid_one.png",
    }


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["{}/nothing.json"], "nothing.json cannot be read (No such file or directory): give"),
        (["{}/a/inference/pets/metrics.json", "--photos", "x"], "--photos has no use without"),
        (
            ["{}/a/inference/pets/metrics.json", "--images", "one"],
            "one folder in --predictions for each of the 1 metrics.json, in their order, but 0",
        ),
        (
            ["{}/a/inference/pets/metrics.json", "--images", "one", "--predictions", "x"],
            "'pets' is not registered",
        ),
        (["{}/a/inference/pets/metrics.json", "-o", "{}/photos/one.jpg"], "cannot be written"),
    ],
)
def test_a_mistake_is_one_sentence(run_program, files, tmp_path, arguments, message):
    arguments = [argument.format(files) for argument in arguments]
    done = run_program("tools/report.py", "-o", tmp_path / "out", *arguments)
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
