"""compat beside made-up packages, in processes of their own, and beside the installed ones."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zsk import compat

ROOT = Path(__file__).resolve().parents[1]
OLD_PILLOW = "class Resampling:\n    BILINEAR = 2\nLINEAR = 'its own'\n"
NEW_PILLOW = "class Resampling:\n    BILINEAR = 2\n"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `script` after `compat` was imported, with only made-up PIL and detectron2 in reach."""

    def run_beside(
        script: str, *, pillow: str = NEW_PILLOW, detectron2: dict[str, str] | None
    ) -> subprocess.CompletedProcess[str]:
        packages = {"PIL": {"__init__.py": "", "Image.py": pillow}, "detectron2": detectron2}
        for package, files in packages.items():
            for name, text in (files or {}).items():
                (tmp_path / package).mkdir(exist_ok=True)
                (tmp_path / package / name).write_text(text)
        (tmp_path / "compat.py").write_text(Path(compat.__file__).read_text())
        # -I -S: neither the installed packages nor the environment's settings
        prologue = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport compat\n"
        return subprocess.run(
            [sys.executable, "-I", "-S", "-c", prologue + script],
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run_beside


def test_without_detectron2_nothing_happens(run: Run) -> None:
    script = "compat.prepare()\nassert 'detectron2._C' not in sys.modules\nprint('done')"

    assert run(script, detectron2=None).stdout == "done\n"


def test_an_uncompiled_detectron2_gets_a_stand_in_that_explains_itself(run: Run) -> None:
    result = run(
        """
compat.prepare()
from detectron2 import _C
import detectron2._C as same
assert same is _C
assert not compat.compiled_ops_available()
assert not hasattr(_C, "nms_rotated")
compat.prepare()
assert sys.modules["detectron2._C"] is _C
try:
    _C.nms_rotated(1)
except AttributeError as error:
    print(error)
""",
        detectron2={"__init__.py": ""},
    )

    assert result.stderr == ""
    assert result.stdout.startswith("detectron2._C.nms_rotated is not available because Detectron2")
    assert "No module named 'detectron2._C'" in result.stdout
    assert len(result.stdout.splitlines()) == 1


def test_compiled_operators_stay(run: Run) -> None:
    script = """
compat.prepare()
from detectron2 import _C
print(_C.nms_rotated, compat.compiled_ops_available())
"""
    result = run(script, detectron2={"__init__.py": "", "_C.py": "nms_rotated = 'compiled'"})

    assert result.stdout == "compiled True\n"


def test_broken_compiled_operators_are_replaced_and_the_reason_is_kept(run: Run) -> None:
    script = """
compat.prepare()
from detectron2 import _C
try:
    _C.nms_rotated
except AttributeError as error:
    print(error, compat.compiled_ops_available())
"""
    broken = {"__init__.py": "", "_C.py": "raise ImportError('undefined symbol: c10')"}
    result = run(script, detectron2=broken)

    assert "undefined symbol: c10" in result.stdout
    assert result.stdout.endswith("False\n")


def test_a_detectron2_that_lacks_a_package_of_its_own_says_so(run: Run) -> None:
    result = run("compat.prepare()", detectron2={"__init__.py": "import fvcore"})

    assert result.returncode != 0
    assert "No module named 'fvcore'" in result.stderr


@pytest.mark.parametrize(("pillow", "linear"), [(OLD_PILLOW, "its own"), (NEW_PILLOW, "2")])
def test_pillow_gets_linear_only_where_it_is_missing(run: Run, pillow: str, linear: str) -> None:
    script = "compat.prepare()\nfrom PIL import Image\nprint(Image.LINEAR)"

    assert run(script, pillow=pillow, detectron2=None).stdout == f"{linear}\n"


def test_the_installed_detectron2_imports_and_reports_its_environment() -> None:
    from detectron2.data import transforms
    from detectron2.projects.deeplab import build_resnet_deeplab_backbone
    from detectron2.utils.collect_env import collect_env_info

    assert callable(build_resnet_deeplab_backbone)
    assert transforms.ExtentTransform((0, 0, 2, 2), (2, 2)).interp == Image.Resampling.BILINEAR
    assert "detectron2" in collect_env_info()  # as each training does at its start


def test_a_newer_detectron2_groups_the_processes_itself(monkeypatch) -> None:
    from detectron2.utils import comm

    asked: list[int] = []
    monkeypatch.setattr(comm, "create_local_process_group", asked.append, raising=False)
    compat.create_local_process_group(4)
    assert asked == [4]


def test_cpu_models_are_wrapped_without_a_gpu_number(monkeypatch) -> None:
    from detectron2.engine import defaults

    given: list[dict] = []
    monkeypatch.setattr(
        defaults, "create_ddp_model", lambda model, **options: given.append(options)
    )
    compat.allow_distributed_cpu_models()
    compat.allow_distributed_cpu_models()
    defaults.create_ddp_model(None, broadcast_buffers=False)
    assert given == [{"broadcast_buffers": False, "device_ids": None}]


def test_numpy_gets_no_aliases() -> None:
    assert not {"int", "float", "object"} & set(vars(np))


def test_importing_prints_no_warnings_that_users_cannot_act_on() -> None:
    result = subprocess.run(
        [sys.executable, "-c", "import zsk, clip, detectron2.engine, detectron2.model_zoo"],
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert (result.returncode, result.stderr) == (0, "")


def test_torchs_compiler_is_loaded_by_who_uses_it_only() -> None:
    script = """
import sys
import zsk, torch
from torchvision.ops import roi_align
assert not [m for m in sys.modules if m.startswith(("torch._dynamo", "triton", "sympy"))]
box = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0]])
assert roi_align(torch.ones(1, 1, 4, 4), box, 1).item() == 1
asked = sys.modules["torchvision.ops.roi_align"].is_compile_supported
import torch._dynamo.utils
assert asked("cpu") == torch._dynamo.utils.is_compile_supported("cpu")
assert torch._dynamo.utils.__file__
assert torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)).item() == 2
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr


def test_the_compilers_stand_in_gives_way_to_what_it_stands_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "torch._dynamo.utils"
    stand_in = compat._DeferredCompilerUtils(name)
    monkeypatch.setitem(sys.modules, name, stand_in)
    assert not hasattr(stand_in, "__path__") and sys.modules[name] is stand_in
    real = stand_in.counters
    assert sys.modules[name] is not stand_in and sys.modules[name].counters is real
