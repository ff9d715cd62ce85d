"""`python -m zsk.check_env`: versions, weights, data sets, and how to get what is missing."""

import sys
from pathlib import Path

import pytest
import torch

from zsk.check_env import Row, backbone_row, clip_row, main, package_row

TORCH_VERSION = torch.__version__.split("+")[0]  # pip knows it without "+cu130"


def test_a_package_has_its_version_or_the_command_that_installs_it() -> None:
    assert package_row("torch", ["no-such-one", "torch"]) == Row("torch", TORCH_VERSION)
    row = package_row("nothing", ["no-such-one", "nor-this-one"])
    assert row == Row("nothing", "missing", "pip install no-such-one")


def test_weights_are_found_in_the_caches_and_in_the_folder_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    monkeypatch.delenv("ZSK_CLIP_DIR", raising=False)
    assert clip_row().found == "missing" and "clip.load('ViT-B/16')" in clip_row().remedy
    assert backbone_row().found == "missing"
    cached, own = tmp_path / ".cache" / "clip" / "RN50.pt", tmp_path / "own" / "ViT-B-16.pt"
    backbone = tmp_path / "detectron2" / "DeepLab" / "R-103.pkl"
    for file in (cached, own, backbone):
        file.parent.mkdir(parents=True)
        file.touch()
    assert clip_row() == Row("CLIP weights", str(cached))
    monkeypatch.setenv("ZSK_CLIP_DIR", str(own.parent))
    assert clip_row().found == f"{cached}\n{own}" and backbone_row().found == str(backbone)


def test_without_the_clip_package_the_row_tells_how_to_install_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "clip", None)  # makes `import clip` fail
    monkeypatch.delitem(sys.modules, "zsk.classification.clip_encoder", raising=False)
    assert clip_row().found == "missing" and "pip install openai-clip" in clip_row().remedy


def test_a_machine_without_data_gets_a_full_report_and_nothing_is_downloaded(
    tmp_path, monkeypatch, capsys
):
    for folder in ("JPEGImages", "zsk/val"):
        (tmp_path / "VOC2012" / folder).mkdir(parents=True)
    places = {"HOME": tmp_path, "DETECTRON2_DATASETS": tmp_path, "FVCORE_CACHE": tmp_path / "cache"}
    for name, value in places.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("ZSK_CLIP_DIR", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    main([])
    out, err = capsys.readouterr()
    assert err == ""
    header, _, *lines = out.splitlines()
    assert header.split("  ")[0] == "item"
    found = {line.split("  ")[0]: line for line in lines}
    assert TORCH_VERSION in found["torch"]
    assert "CPU" in found["device"]
    assert "missing" in found["CLIP weights"]
    assert "photos, prepared labels" in found["voc_zs_val"]
    assert "photos, no prepared labels" in found["voc_zs_train"]
    assert "missing" in found["coco_stuff_zs_train"] and "README" in found["coco_stuff_zs_train"]
    assert "not rendered" in found["synthetic_stuff_zs_train"]
    assert "python datasets/prepare_synthetic.py" in found["synthetic_stuff_zs_train"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["VOC2012"]
