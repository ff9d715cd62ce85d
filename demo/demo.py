"""`zsk segment` in a checkout that is not installed; its results go to output/demo.

python demo/demo.py --input photo.jpg --class-names "cat, sofa, wall"
python demo/demo.py --sample-photos
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from zsk.cli.segment import main  # noqa: E402
from zsk.errors import run_cli  # noqa: E402

if __name__ == "__main__":
    run_cli(lambda: main(["--output", "output/demo", *sys.argv[1:]]))
