"""The speed benchmark and TEST.PROFILE as a user runs them."""

import json
import re

import pytest

from zsk.benchmark.speed_cases import Case
from zsk.benchmark.speed_runs import WorkerProcess
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
        "inference", "proposal head", "inference without CLIP", "training step",
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
            process.ask(f"build {Case('a', 'inference', 'nowhere.yaml').to_json()}")
        with pytest.raises(UserError, match="ended with 1; see .*log"):
            process.ask("run")  # nothing was built: a defect, not a user's mistake
        with pytest.raises(UserError, match="ended with 1"):
            process.ask("run")
    finally:
        process.process.stdin = None
        process.process.kill()
    assert "build comes first" in (tmp_path / "log").read_text()
