#!/usr/bin/env python
"""Cut a training checkpoint down to what inference needs.

python tools/export_checkpoint.py --config-file F --weights model_final.pth --output small.pth

Optimizer, schedule and random state go; so do the weights of a frozen backbone, which its own
source has (MODEL.TIMM.WEIGHTS). The settings of the training stay. An --output that ends in
.safetensors has that format. What remains is loaded once more before the program says that it is
done.
"""

import argparse
import os
import sys
from pathlib import Path

# a checkout works as it is, without being installed
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import zsk  # noqa: F401, E402  isort: skip  (first: makes Detectron2 importable)
from detectron2.modeling import build_model  # noqa: E402

from zsk.engine.checkpoint import frozen_backbone_keys, load_weights  # noqa: E402
from zsk.errors import run_cli  # noqa: E402
from zsk.files import user_path  # noqa: E402
from zsk.load import load_config  # noqa: E402
from zsk.safe_load import save_file  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description="Cut a checkpoint down to what inference needs.")
    parser.add_argument("--config-file", required=True)
    parser.add_argument(
        "--weights",
        required=True,
        type=os.path.expanduser,
        help="a checkpoint of train_net.py, or a name",
    )
    parser.add_argument("--output", required=True, type=user_path, help="the file to write")
    args = parser.parse_args()
    model = build_model(load_config(args.config_file))
    notes = {"trainer": {"settings": load_weights(model, args.weights)}}
    frozen = frozen_backbone_keys(model)
    state = {key: value.cpu() for key, value in model.state_dict().items() if key not in frozen}
    save_file(args.output, {"model": state, **notes})
    load_weights(model, str(args.output))
    size = os.path.getsize(args.output) / 1e6
    print(f"{len(state)} tensors, {len(frozen)} of the frozen backbone left out, {size:.1f} MB")


if __name__ == "__main__":
    run_cli(main)
