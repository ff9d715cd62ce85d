"""ZSK-Net: zero-shot semantic segmentation with dynamic kernels and CLIP.

Importing it fills Detectron2's registries (ZSKNet, DynamicKernelHead, ZSMaskFormerHead,
PerPixelNet, TextFCNHead, SPNetHead, ZS3Head, CaGNetHead, JoEmHead, build_timm_backbone). It never
registers a data set: `zsk.data.builtin` does, when asked.
"""

import os

# Threads that wait for each other leave the core to those that work: on a busy machine they would
# otherwise take several times as long. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from . import errors  # noqa: E402

__version__ = "0.1.0"

errors.require(
    "detectron2",
    "activate .venv (source .venv/bin/activate), or install it as docs/install.md says",
)

from . import compat  # noqa: E402

compat.prepare()  # before anything imports Detectron2

from . import baselines  # noqa: E402, F401  (registers)
from .backbones import timm_backbone  # noqa: E402, F401  (registers)
from .config import add_zsk_config  # noqa: E402
from .proposals import dynamic_kernel_head  # noqa: E402, F401  (registers)
from .segmenter import Segmenter  # noqa: E402
from .vocabulary import Vocabulary  # noqa: E402
from .zsk_net import ZSKNet  # noqa: E402

__all__ = ["Segmenter", "Vocabulary", "ZSKNet", "__version__", "add_zsk_config"]
