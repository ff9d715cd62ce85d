#!/usr/bin/env python
"""`zsk train` and, with --eval-only, `zsk evaluate`, in a checkout that is not installed.

python train_net.py --config-file configs/voc-11k-15/zsk_R101_bs8_40k.yaml --num-gpus 1
torchrun --nproc_per_node 2 train_net.py --config-file configs/voc-11k-15/zsk_R101_bs8_40k.yaml
"""

from zsk.cli.train import main
from zsk.errors import run_cli

if __name__ == "__main__":
    run_cli(main)
