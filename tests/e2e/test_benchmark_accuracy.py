"""The accuracy benchmark as a user runs it: two tiny rows through the real train_net.py."""

import json
from pathlib import Path

import pytest
import yaml
from PIL import Image

pytestmark = pytest.mark.slow  # three trainings; tests/tools has the parts

CONFIG = "configs/voc-11k-15/zsk_R101_bs8_40k.yaml"
# train_clip.py's place: the encoder is made already, or cannot be
MAKE_CLIP = """
import shutil, sys
if sys.argv[1] == "nothing":
    sys.exit("error: nothing to train on")
shutil.copy(*sys.argv[1:])
"""


@pytest.fixture(scope="module")
def definition(tmp_path_factory, checkout: Path, tiny_options, tiny_clip: Path) -> Path:
    """A training, its head-only evaluation and the same training in another table; one bad row."""
    folder = tmp_path_factory.mktemp("definition")
    program = folder / "make_clip.py"
    program.write_text(MAKE_CLIP)
    settings = dict(zip(tiny_options[::2], tiny_options[1::2]))
    settings.update({"MODEL.CLIP.NAME": "{clip}.pt", "TEST.EVAL_PERIOD": 2})
    config = str(checkout / CONFIG)
    failing = {"words": [str(program), "nothing", "{output}"]}
    row = {"system": "ZSK-Net", "config": config}
    content = {
        "seeds": [1],
        "iterations": 4,
        "settings": settings,
        "prepare": {"clip": [str(program), str(tiny_clip), "{output}.pt"]},
        "tables": {
            "systems": {"title": "Systems", "plot": "learning curves", "rows": [row]},
            "modes": {"rows": [row, {**row, "evaluate": {"MODEL.ENSEMBLE.MODE": "head"}}]},
            "broken": {"rows": [{**row, "settings": {"SOLVER.BASE_LR": 0.1}, "prepare": failing}]},
        },
    }
    path = folder / "tables.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def benchmark(run_program, voc_root, definition, tmp_path_factory):
    work = tmp_path_factory.mktemp("work")

    def run(*arguments: object):
        done = run_program(
            "tools/benchmark_accuracy.py",
            *("--definition", definition, "--work", work, "--workers", 2, *arguments),
            DETECTRON2_DATASETS=voc_root,
        )
        return done, work

    return run


def test_tables_share_a_training_a_failure_is_told_and_a_second_call_runs_nothing(
    benchmark,
) -> None:
    done, work = benchmark()
    assert done.returncode == 1
    assert "prepare ZSK-Net: words: failed with exit code 1" in done.stderr
    assert "benchmark.log" in done.stderr and "error: nothing to train on" in done.stderr
    assert "Traceback" not in done.stderr

    results = json.loads((work / "accuracy.json").read_text())
    assert [(r["table"], r["settings"]) for r in results] == [
        ("modes", {"MODEL.ENSEMBLE.MODE": "head"}),
        ("modes", {}),
        ("systems", {}),
    ]
    head, again, system = results
    assert again == {**system, "table": "modes"}
    assert len(list((work / "runs").glob("*/model_final.pth"))) == 1
    (trained,) = (path.parent for path in (work / "runs").glob("*/model_final.pth"))
    report = json.loads((trained / "inference" / "voc_zs_val" / "metrics.json").read_text())
    assert system["hiou"] == pytest.approx(report["metrics"]["hIoU"])
    assert system["miou_unseen"] == pytest.approx(report["metrics"]["mIoU-unseen"])
    assert 0 < system["proposal_recall_seen"] < 100
    assert head["params"] == system["params"] > 1000
    assert system["train_seconds"] > 0 and system["seconds_per_image"] > 0
    assert (system["seed"], system["iterations"]) == (1, 4)
    curves = json.loads((work / "learning_curves.json").read_text())
    assert [point[0] for point in curves[0]["points"]] == [2, 4]
    assert curves[0]["points"][-1][1] == pytest.approx(system["hiou"])
    assert "## Systems" in (work / "accuracy.md").read_text()
    assert Image.open(work / "systems.png").size[0] > 300

    logs = {path: path.stat().st_mtime_ns for path in work.rglob("benchmark.log")}
    assert len(logs) == 4  # two preparations, a training, an evaluation
    done, _ = benchmark("--tables", "systems", "modes")
    assert done.returncode == 0
    assert {path: path.stat().st_mtime_ns for path in work.rglob("benchmark.log")} == logs
    assert json.loads((work / "accuracy.json").read_text()) == results
