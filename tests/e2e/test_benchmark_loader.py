"""The loader's benchmark as a user runs it, on drawn photos."""

import re

VOC = "configs/voc-11k-15/zsk_R101_bs8_40k.yaml"


def test_it_prints_one_line_per_recipe(run_program, voc_root, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(voc_root))
    arguments = ("--config-file", VOC, "--images", "2", "--rounds", "1")
    done = run_program("tools/benchmark/loader.py", *arguments)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [re.split(r"\s{2,}", line)[0] for line in lines] == ["this project", "usual recipe"]
    assert all(float(re.search(r"([\d.]+) images/s", line)[1]) > 0 for line in lines)


def test_a_configuration_without_crops_is_refused(run_program, voc_root, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(voc_root))
    arguments = ("--config-file", VOC, "INPUT.CROP.ENABLED", "False")
    done = run_program("tools/benchmark/loader.py", *arguments)
    assert done.returncode == 2
    assert "INPUT.CROP.ENABLED is False" in done.stderr
