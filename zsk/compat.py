"""Lets Detectron2 0.6 import beside today's Pillow and without its compiled operators.

The only home of compatibility code. Each remedy applies only where something is missing: a newer
Detectron2, an older Pillow and a compiled build stay as they are.
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

# (message, category, module) of warnings about the code of Detectron2 0.6 and clip, on which a
# user of this project cannot act.
_OTHERS_DEPRECATIONS: tuple[tuple[str, type[Warning], str], ...] = (
    (r".torch\.jit\.script. is deprecated", FutureWarning, r"torch\.jit\._script"),
    (r".torch\.cuda\.amp\.", FutureWarning, r"detectron2\.engine\.train_loop"),
    (r"pkg_resources is deprecated", UserWarning, r"clip\.clip|detectron2\.model_zoo\.model_zoo"),
)


class _MissingCompiledOps(ModuleType):
    """Takes the place of `detectron2._C`: it can be imported, but each of its operators fails."""

    def __init__(self, reason: str) -> None:
        super().__init__(_COMPILED_OPS)
        self.__spec__ = ModuleSpec(_COMPILED_OPS, loader=None)
        self._reason = reason
        # Detectron2's environment report, printed at the start of every training, calls these.
        self.get_compiler_version = lambda: "none: Detectron2 has no compiled operators"
        self.get_cuda_version = lambda: "not available"
        self.has_cuda = lambda: False

    def __getattr__(self, name: str) -> object:
        # An AttributeError keeps the answers of hasattr() and of the import system right.
        raise AttributeError(
            f"{_COMPILED_OPS}.{name} is not available because Detectron2 was installed without its "
            f"compiled operators ({self._reason}); no part of ZSK-Net needs them, so to use this "
            "one, build Detectron2 from its official repository."
        )


def prepare() -> None:
    """Make `detectron2` importable; safe to call any number of times.

    Has to run before the first import of `detectron2.data` or `detectron2.layers`: `import zsk`
    does that.
    """
    for message, category, module in _OTHERS_DEPRECATIONS:
        # Appended, so that a request for warnings (python -W, pytest) comes first.
        warnings.filterwarnings("ignore", message, category, module, append=True)
    if not hasattr(Image, "LINEAR"):  # a default argument of Detectron2 0.6; gone in Pillow 10
        setattr(Image, "LINEAR", Image.Resampling.BILINEAR)
    detectron2 = importlib.import_module("detectron2")
    try:
        importlib.import_module(_COMPILED_OPS)  # Detectron2 0.6 imports it in any case
    except ImportError as error:
        stand_in = _MissingCompiledOps(str(error))
        sys.modules[_COMPILED_OPS] = stand_in
        setattr(detectron2, "_C", stand_in)


def create_local_process_group(processes_per_machine: int) -> None:
    """Tell Detectron2 which processes share a machine; 0.6 does so only in its own launch.

    Every process has to call this, after the process group of all was set up. Machines hold equal
    numbers of processes with consecutive ranks, as torchrun gives them.
    """
    comm = importlib.import_module("detectron2.utils.comm")
    if hasattr(comm, "create_local_process_group"):
        comm.create_local_process_group(processes_per_machine)
        return
    group, _ = importlib.import_module("torch.distributed").new_subgroups(processes_per_machine)
    setattr(comm, "_LOCAL_PROCESS_GROUP", group)


def forget_process_groups() -> None:
    """Make Detectron2 drop the process groups that it remembers, which ends their threads.

    Otherwise the threads run until the interpreter drops the groups in the middle of its own end.
    """
    comm = importlib.import_module("detectron2.utils.comm")
    comm._get_global_gloo_group.cache_clear()
    setattr(comm, "_LOCAL_PROCESS_GROUP", None)


def allow_distributed_cpu_models() -> None:
    """Let Detectron2's trainer wrap a model on the CPU: it gives torch the number of a GPU.

    Safe to call any number of times.
    """
    defaults = importlib.import_module("detectron2.engine.defaults")
    wrap = functools.partial(defaults.create_ddp_model, device_ids=None)
    setattr(defaults, "create_ddp_model", wrap)
