"""The speed benchmark and TEST.PROFILE as a user runs them."""

import json
import re

import pytest

from zsk.benchmark.speed_cases import Case
from zsk.benchmark.speed_process import WorkerProcess
from zsk.errors import UserError

MAIN_FIELDS = {
    "device", "measure", "variant", "settings", "median_seconds", "min_seconds", "max_seconds",
    "ratio_to_reference", "peak_mb", "gflops", "revision", "date",
}  # fmt: skip


def test_quick(run_program, tmp_path):
    done = run_program("tools/benchmark.py", "--quick", "--output", tmp_path, OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "speed.md")
    results = json.loads((tmp_path / "speed.json").read_text())
    assert all(MAIN_FIELDS <= set(result) for result in results)
    assert {result["measure"] for result in results} == {
        "inference", "batched evaluation", "proposal head", "inference without CLIP",
        "training step",
        "proposals", "names", "image side", "stages",
    }  # fmt: skip
    for result in results:
        seconds = [result[f"{part}_seconds"] for part in ("min", "median", "max")]
        assert 0 < seconds[0] and seconds == sorted(seconds)
    page = (tmp_path / "speed.md").read_text(encoding="utf-8")
    assert "the numbers mean nothing" in page and "| verdict" in page
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [
        ".json", ".log", ".md", ".png", ".png"
    ]  # fmt: skip


def test_files_that_are_not_there(run_program, tmp_path):
    done = run_program("tools/benchmark.py", "--trained", "none.yaml", "--output", tmp_path)
    assert done.returncode == 2
    assert "none.yaml does not exist" in done.stderr and "Traceback" not in done.stderr


def test_profile_prints_where_the_time_goes(run_program, voc_root, tiny_options, tmp_path):
    words = ("--config-file", "configs/voc-11k-15/zsk_R101_bs8_40k.yaml", *tiny_options)
    where = ("OUTPUT_DIR", tmp_path, "SOLVER.MAX_ITER", 1, "TEST.PROFILE", "True")
    done = run_program("train_net.py", *words, *where, DETECTRON2_DATASETS=voc_root)
    assert done.returncode == 0, done.stderr
    log = done.stdout + done.stderr
    assert "where the time went, 2 images" in log
    parts = re.findall(r"^\| ([\w-]+) +\| +[\d.]+ +\| +[\d.]+% \|", log, re.MULTILINE)
    assert parts == [
        "loader", "backbone", "proposals", "text", "CLIP", "post-processing", "evaluator", "all"
    ]  # fmt: skip


def test_a_real_process_says_what_is_wrong(tmp_path) -> None:
    process = WorkerProcess(tmp_path / "log", tmp_path)
    try:
        with pytest.raises(UserError, match="config file .*nowhere.yaml does not exist"):
            process.ask(f"build 7 {Case('a', 'inference', 'nowhere.yaml').to_json()}")
        with pytest.raises(UserError, match="KeyError: '7'"):
            process.ask("run 7")  # nothing was built: a defect, not a user's mistake
        with pytest.raises(UserError, match="KeyError: '8'"):
            process.ask("run 8")  # it goes on
        process.process.kill()
        with pytest.raises(UserError, match="ended with -9: it was killed.*; see .*log"):
            process.ask("run 7")
    finally:
        process.close()
    assert "Traceback" in (tmp_path / "log").read_text()


def test_a_group_alone_with_a_case_that_fails(run_program, small_world, tmp_path):
    """A model without weights of its own cannot be loaded; the other group is measured."""
    words = ("--quick", "--only", "heads", "trained", "--trained", "configs/synthetic/zsk.yaml")
    photos = small_world / "synthetic" / "val" / "photos"
    where = ("--photos", photos, "--output", tmp_path)
    done = run_program("tools/benchmark.py", *words, *where, OMP_NUM_THREADS="1")
    assert done.returncode == 2
    assert "4 of the cases failed" in done.stderr and "Traceback" not in done.stderr
    measures = {result["measure"] for result in json.loads((tmp_path / "speed.json").read_text())}
    assert measures == {"proposal head", "inference without CLIP"}
    assert "## Failed" in (tmp_path / "speed.md").read_text(encoding="utf-8")
    assert (tmp_path / "speed.partial.json").exists()  # the next run goes on with what lacks
