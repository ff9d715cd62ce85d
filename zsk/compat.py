"""Lets Detectron2 0.6 import beside today's Pillow and without its compiled operators.

Keeps torchvision from loading torch's compiler, too. The one home of compatibility code. Each
remedy looks for what is missing and leaves everything else alone, so that a newer Detectron2, an
older Pillow or a compiled build pass through untouched.
"""

from __future__ import annotations

import functools
import importlib
import sys
import warnings
from importlib.machinery import ModuleSpec
from types import ModuleType

from PIL import Image

_COMPILED_OPS = "detectron2._C"
_COMPILER_UTILS = "torch._dynamo.utils"

# (message, category, module) of warnings about how Detectron2 0.6 and clip were written, which
# nobody who uses them here can act on.
_OTHERS_DEPRECATIONS: tuple[tuple[str, type[Warning], str], ...] = (
    (r".torch\.jit\.script. is deprecated", FutureWarning, r"torch\.jit\._script"),
    (r".torch\.cuda\.amp\.", FutureWarning, r"detectron2\.engine\.train_loop"),
    (r"pkg_resources is deprecated", UserWarning, r"clip\.clip|detectron2\.model_zoo\.model_zoo"),
)


class _MissingCompiledOps(ModuleType):
    """Stands where `detectron2._C` would: importable, but any operator asked of it fails."""

    def __init__(self, reason: str) -> None:
        super().__init__(_COMPILED_OPS, "Stand-in for Detectron2's compiled operators.")
        self.__spec__ = ModuleSpec(_COMPILED_OPS, loader=None)
        self._reason = reason

    # Detectron2's environment report, printed at the start of every training, asks these three.
    def get_compiler_version(self) -> str:
        return "none: Detectron2 was installed without compiled operators"

    def get_cuda_version(self) -> str:
        return "not available"

    def has_cuda(self) -> bool:
        return False

    def __getattr__(self, name: str) -> object:
        # An AttributeError keeps hasattr() and the import system's own probing truthful.
        raise AttributeError(
            f"{_COMPILED_OPS}.{name} is not available because Detectron2 was installed without its "
            f"compiled operators ({self._reason}); no part of ZSK-Net needs them, so to use this "
            "one, build Detectron2 from its official repository."
        )


class _DeferredCompilerUtils(ModuleType):
    """Stands where `torch._dynamo.utils` would, and loads it when something of it is used."""

    def is_compile_supported(self, device_type: object) -> object:
        # What torchvision's roi_align asks, on a GPU and in deterministic mode only.
        return importlib.import_module(_COMPILER_UTILS).is_compile_supported(device_type)

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):  # the import system's own probing
            raise AttributeError(name)
        if sys.modules.get(_COMPILER_UTILS) is self:
            del sys.modules[_COMPILER_UTILS]
        return getattr(importlib.import_module(_COMPILER_UTILS), name)


def prepare() -> None:
    """Make `detectron2` importable; safe to call any number of times.

    Has to run before the first import of `detectron2.data` or `detectron2.layers`: `import zsk`
    does that. Without Detectron2 it does nothing, so that the environment report can say so.
    """
    _quieten_deprecations()
    _restore_pillow_linear()
    _stand_in_for_compiled_ops()
    _import_torchvision_without_compiler()


def compiled_ops_available() -> bool:
    """Whether Detectron2's own compiled operators are there, not the stand-in (after `prepare`)."""
    module = sys.modules.get(_COMPILED_OPS)
    return module is not None and not isinstance(module, _MissingCompiledOps)


def create_local_process_group(processes_per_machine: int) -> None:
    """Tell Detectron2 which processes share a machine; 0.6 does so only in its own launch.

    Every process has to call this, after the process group of all was set up. Machines hold equal
    numbers of processes with consecutive ranks, as torchrun gives them.
    """
    comm = importlib.import_module("detectron2.utils.comm")
    if hasattr(comm, "create_local_process_group"):
        comm.create_local_process_group(processes_per_machine)
        return
    distributed = importlib.import_module("torch.distributed")
    machine = distributed.get_rank() // processes_per_machine
    for first in range(0, distributed.get_world_size(), processes_per_machine):
        group = distributed.new_group(list(range(first, first + processes_per_machine)))
        if first == machine * processes_per_machine:
            setattr(comm, "_LOCAL_PROCESS_GROUP", group)


def forget_process_groups() -> None:
    """Have Detectron2 let go of the groups that it remembers, which ends their threads.

    They would run until the interpreter, half taken apart, drops the groups.
    """
    comm = importlib.import_module("detectron2.utils.comm")
    comm._get_global_gloo_group.cache_clear()
    setattr(comm, "_LOCAL_PROCESS_GROUP", None)


def allow_distributed_cpu_models() -> None:
    """Detectron2's trainer tells torch on which GPU a model is, which a model on the CPU forbids.

    Safe to call any number of times.
    """
    defaults = importlib.import_module("detectron2.engine.defaults")
    setattr(
        defaults,
        "create_ddp_model",
        functools.partial(defaults.create_ddp_model, device_ids=None),
    )


def _quieten_deprecations() -> None:
    for message, category, module in _OTHERS_DEPRECATIONS:
        # Appended, so that whoever asks for warnings (python -W, pytest) still gets them.
        warnings.filterwarnings("ignore", message, category, module, append=True)


def _restore_pillow_linear() -> None:
    """Detectron2 0.6 names `PIL.Image.LINEAR` in a default argument; Pillow 10 dropped it."""
    if not hasattr(Image, "LINEAR"):
        setattr(Image, "LINEAR", Image.Resampling.BILINEAR)


def _stand_in_for_compiled_ops() -> None:
    """Detectron2 0.6 imports `detectron2._C` unasked: put a stand-in where that fails."""
    try:
        detectron2 = importlib.import_module("detectron2")
    except ModuleNotFoundError as error:
        if error.name != "detectron2":
            raise
        return
    try:
        importlib.import_module(_COMPILED_OPS)
    except ImportError as error:
        stand_in = _MissingCompiledOps(str(error))
        sys.modules[_COMPILED_OPS] = stand_in
        setattr(detectron2, "_C", stand_in)


def _import_torchvision_without_compiler() -> None:
    """torchvision 0.29 imports torch's compiler, with triton and sympy, for one rare question.

    That is 150 MB and a second or more of every start that trains nothing (an optimizer loads it,
    too). Whoever uses the compiler loads it then: the stand-in lasts for this import only.
    """
    if "torch" not in sys.modules or _COMPILER_UTILS in sys.modules:
        return
    stand_in = _DeferredCompilerUtils(_COMPILER_UTILS)
    sys.modules[_COMPILER_UTILS] = stand_in
    try:
        importlib.import_module("torchvision")
    except ImportError:
        pass  # who needs it will say so
    finally:
        if sys.modules.get(_COMPILER_UTILS) is stand_in:
            del sys.modules[_COMPILER_UTILS]
