import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from zsk import check_env

TORCH_VERSION = torch.__version__.split("+")[0]  # pip knows it without "+cu130"


def test_a_missing_package_comes_with_the_command_that_installs_it() -> None:
    row = check_env.package_row("nothing", ["no-such-distribution", "nor-this-one"])

    assert row == check_env.Row("nothing", "missing", "pip install no-such-distribution")


def test_the_first_distribution_that_is_there_counts() -> None:
    row = check_env.package_row("torch", ["no-such-distribution", "torch"])

    assert row == check_env.Row("torch", TORCH_VERSION)


def test_clip_weights_are_found_in_the_cache_and_in_the_folder_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ZSK_CLIP_DIR", raising=False)
    assert check_env.clip_row().found == "missing"
    assert "clip.load('ViT-B/16')" in check_env.clip_row().remedy

    cached, own = tmp_path / ".cache" / "clip" / "RN50.pt", tmp_path / "own" / "ViT-B-16.pt"
    for file in (cached, own):
        file.parent.mkdir(parents=True)
        file.touch()
    assert check_env.clip_row() == check_env.Row("CLIP weights", str(cached))

    monkeypatch.setenv("ZSK_CLIP_DIR", str(own.parent))
    assert check_env.clip_row().found == f"{cached}\n{own}"


def test_without_the_clip_package_the_row_tells_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "clip", None)  # makes `import clip` fail
    monkeypatch.delitem(sys.modules, "zsk.classification.clip_encoder", raising=False)

    row = check_env.clip_row()

    assert row.found == "missing"
    assert "pip install openai-clip" in row.remedy


def test_backbone_weights_are_looked_for_in_the_download_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    assert check_env.backbone_row().found == "missing"

    file = tmp_path / "detectron2" / "DeepLab" / "R-103.pkl"
    file.parent.mkdir(parents=True)
    file.touch()

    assert check_env.backbone_row().found == str(file)


def test_a_machine_without_data_gets_a_full_report_and_nothing_is_downloaded(
    tmp_path: Path, run_program: Callable
) -> None:
    (tmp_path / "VOC2012" / "JPEGImages").mkdir(parents=True)
    (tmp_path / "VOC2012" / "zsk" / "val").mkdir(parents=True)

    result = run_program(
        "-m",
        "zsk.check_env",
        HOME=tmp_path,
        ZSK_CLIP_DIR="",
        DETECTRON2_DATASETS=tmp_path,
        FVCORE_CACHE=tmp_path / "cache",
        CUDA_VISIBLE_DEVICES="",
    )

    assert (result.returncode, result.stderr) == (0, "")
    header, _, *lines = result.stdout.splitlines()
    assert header.split("  ")[0] == "item"
    found = {line.split("  ")[0]: line for line in lines}
    assert TORCH_VERSION in found["torch"]
    assert "CPU" in found["device"]
    assert "missing" in found["CLIP weights"]
    assert "photos, prepared labels" in found["voc_zs_val"]
    assert "photos, no prepared labels" in found["voc_zs_train"]
    assert "missing" in found["coco_stuff_zs_train"] and "README" in found["coco_stuff_zs_train"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["VOC2012"]
