"""compat beside made-up packages, in processes of their own, and beside the installed ones."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from zsk import compat

NEW_PILLOW = "class Resampling:\n    BILINEAR = 2\n"
OLD_PILLOW = NEW_PILLOW + "LINEAR = 'its own'\n"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `script` after `compat.prepare()`, with only made-up PIL and detectron2 in reach."""

    def run_beside(script: str, *, pillow: str = NEW_PILLOW, detectron2: dict[str, str]):
        packages = {"PIL": {"__init__.py": "", "Image.py": pillow}, "detectron2": detectron2}
        for package, files in packages.items():
            for name, text in files.items():
                (tmp_path / package).mkdir(exist_ok=True)
                (tmp_path / package / name).write_text(text)
        (tmp_path / "compat.py").write_text(Path(compat.__file__).read_text())
        # -I -S: neither the installed packages nor the environment's settings
        start = f"import sys; sys.path.insert(0, {str(tmp_path)!r})"
        script = f"{start}\nimport compat; compat.prepare()\n{script}"
        command = [sys.executable, "-I", "-S", "-c", script]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    return run_beside


@pytest.mark.parametrize(
    "files, reason",
    [
        ({}, "No module named 'detectron2._C'"),
        ({"_C.py": "raise ImportError('undefined symbol: c10')"}, "undefined symbol: c10"),
    ],
)
def test_missing_or_broken_operators_get_a_stand_in_that_explains_itself(run, files, reason):
    script = """
from detectron2 import _C
compat.prepare()
assert sys.modules["detectron2._C"] is _C
assert not hasattr(_C, "nms_rotated")
try:
    _C.nms_rotated(1)
except AttributeError as error:
    print(error)
"""
    result = run(script, detectron2={"__init__.py": "", **files})
    assert result.stderr == "" and len(result.stdout.splitlines()) == 1
    assert result.stdout.startswith("detectron2._C.nms_rotated is not available because Detectron2")
    assert reason in result.stdout


def test_compiled_operators_stay(run: Run) -> None:
    script = "from detectron2 import _C; print(_C.nms_rotated)"
    compiled = {"__init__.py": "", "_C.py": "nms_rotated = 'compiled'"}
    assert run(script, detectron2=compiled).stdout == "compiled\n"


def test_a_detectron2_that_lacks_a_package_of_its_own_says_so(run: Run) -> None:
    result = run("", detectron2={"__init__.py": "import fvcore"})
    assert result.returncode != 0 and "No module named 'fvcore'" in result.stderr


@pytest.mark.parametrize(("pillow", "linear"), [(OLD_PILLOW, "its own"), (NEW_PILLOW, "2")])
def test_pillow_gets_linear_only_where_it_is_missing(run: Run, pillow: str, linear: str) -> None:
    script = "from PIL import Image; print(Image.LINEAR)"
    assert run(script, pillow=pillow, detectron2={"__init__.py": ""}).stdout == f"{linear}\n"


def test_importing_prints_no_warnings_that_users_cannot_act_on(run_program) -> None:
    done = run_program("-c", "import zsk, clip, detectron2.engine, detectron2.model_zoo")
    assert (done.returncode, done.stderr) == (0, "")
