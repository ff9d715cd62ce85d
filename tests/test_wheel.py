"""The package as pip installs it: what the wheel holds, and that it works without a checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from PIL import Image

import zsk

REPORT = """
import zsk
from zsk.resources import find_resource
print(zsk.__file__)
print(find_resource("datasets/photos_val.txt"))
print(segmenter.cfg.MODEL.WEIGHTS)
print(segmentation.labels.shape, sorted(segmentation.shares()))
"""


def run(*command: object, cwd: Path) -> str:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by way of a source archive, from a copy: building leaves files in its folder."""
    copy, built = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("built")
    ignore = shutil.ignore_patterns("__pycache__")
    for folder in ("zsk", "configs", "tests", "tools"):
        shutil.copytree(checkout / folder, copy / folder, ignore=ignore)
    (copy / "datasets").mkdir()
    for file in (*checkout.glob("*"), *checkout.glob("datasets/*")):
        if file.is_file():
            shutil.copy(file, copy / file.relative_to(checkout))
    build_sdist = f"from setuptools.build_meta import build_sdist; build_sdist({str(built)!r})"
    run(sys.executable, "-c", build_sdist, cwd=copy)
    pip_wheel = [sys.executable, "-m", "pip", "wheel", "--no-index", "--no-build-isolation"]
    run(*pip_wheel, "--no-deps", "-w", built, *built.glob("*.tar.gz"), cwd=built)
    return next(built.glob("*.whl"))


def test_the_wheel_holds_the_package_and_its_data_alone(wheel: Path, checkout: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    data = [*checkout.glob("configs/**/*.*"), *checkout.glob("datasets/photos_*.txt")]
    expected = {f"zsk/{file.relative_to(checkout)}" for file in data}
    expected |= {str(file.relative_to(checkout)) for file in checkout.glob("zsk/**/*.py")}
    expected |= {str(file.relative_to(checkout)) for file in checkout.glob("zsk/data/*/*.yaml")}
    expected |= {"zsk/classification/imagenet_names.npy"}
    expected |= {f"zsk/web/page.{ending}" for ending in ("html", "css", "js")}
    assert names == expected
    assert wheel.name.startswith(f"zsk_net-{zsk.__version__}-")


@pytest.mark.slow
def test_an_installed_wheel_segments_a_photo_from_another_folder(wheel, checkout, tmp_path) -> None:
    venv, elsewhere = tmp_path / "venv", tmp_path / "elsewhere"
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=tmp_path)
    packages = next(venv.glob("lib/*/site-packages"))
    # torch and the others come from the environment of the tests, zsk from the wheel
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip_install = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps"]
    run(*pip_install, "--no-compile", "--target", packages, wheel, cwd=tmp_path)
    elsewhere.mkdir()
    Image.effect_noise((96, 64), 80).convert("RGB").save(elsewhere / "photo.jpg")
    snippet = (checkout / "README.md").read_text().split("```python\n")[1].split("```")[0]
    lines = run(venv / "bin" / "python", "-c", snippet + REPORT, cwd=elsewhere).splitlines()
    assert lines[0] == str(packages / "zsk" / "__init__.py")
    assert lines[1] == str(packages / "zsk" / "datasets" / "photos_val.txt")
    assert lines[2] == str(packages / "zsk" / "configs" / "embedded" / "zsk_lite2.pth")
    assert lines[3] == "(64, 96) ['cat', 'sofa', 'wall']"
    command = (venv / "bin" / "python", packages / "bin" / "zsk")
    run(*command, "segment", "photo.jpg", "--words", "cat, sofa", cwd=elsewhere)
    assert (elsewhere / "output" / "segment" / "photo_overlay.png").is_file()
    listed = run(*command, "convert", "--help", cwd=elsewhere)
    assert listed.startswith("usage: zsk convert ")


def test_a_clone_named_zsk_does_not_hide_the_package(checkout: Path, tmp_path: Path) -> None:
    clone, built, packages = (tmp_path / name for name in ("zsk", "built", "packages"))
    for folder in (clone / "zsk", built):
        folder.mkdir(parents=True)
    (clone / "zsk" / "__init__.py").write_text('__version__ = "1.0"')
    for name in ("pyproject.toml", "setup.cfg", "setup.py", "LICENSE"):
        shutil.copy(checkout / name, clone / name)
    build = f"from setuptools.build_meta import build_editable; build_editable({str(built)!r})"
    run(sys.executable, "-c", build, cwd=clone)
    with zipfile.ZipFile(next(built.glob("*.whl"))) as archive:
        archive.extractall(packages)
    load = f"import site; site.addsitedir({str(packages)!r}); import zsk; print(zsk.__file__)"
    found = run(sys.executable, "-S", "-c", load, cwd=tmp_path)
    assert found.strip() == str(clone / "zsk" / "__init__.py")
