#!/usr/bin/env python
"""`zsk convert` in a checkout that is not installed.

python tools/convert_weights.py zsseg_voc.pth zs_maskformer.pth
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from zsk.cli.convert import main  # noqa: E402
from zsk.errors import run_cli  # noqa: E402

if __name__ == "__main__":
    run_cli(main)
