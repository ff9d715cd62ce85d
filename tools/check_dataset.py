#!/usr/bin/env python
"""`zsk check` in a checkout that is not installed.

python tools/check_dataset.py voc_zs_train voc_zs_val
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from zsk.cli.check import main  # noqa: E402
from zsk.errors import run_cli  # noqa: E402

if __name__ == "__main__":
    run_cli(main)
