#!/usr/bin/env python
"""Train and evaluate ZSK-Net.

python train_net.py --config-file configs/voc-11k-15/zsk_R101_bs8_40k.yaml --num-gpus 1
torchrun --nproc_per_node 2 train_net.py --config-file configs/voc-11k-15/zsk_R101_bs8_40k.yaml
"""

import logging
import os
from argparse import Namespace
from typing import Any

import zsk  # noqa: F401  isort: skip  (first: it makes Detectron2 importable)
import torch
from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer, default_argument_parser, default_setup
from detectron2.evaluation import DatasetEvaluators, verify_results
from detectron2.projects.deeplab import build_lr_scheduler
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng
from detectron2.utils.logger import setup_logger
from torch import nn
from torch.utils.data import DataLoader

from zsk.data.check import check_at_start
from zsk.data.loader import build_test_loader, build_train_loader
from zsk.engine.checkpoint import initial_weights, load_weights
from zsk.engine.distributed import join_processes, run_in_processes
from zsk.engine.network_settings import check_network_settings, network_settings
from zsk.engine.output import check_output_folder, report_mistakes_once
from zsk.engine.random_state import random_state, set_random_state
from zsk.engine.solver import build_optimizer
from zsk.errors import UserError, run_cli
from zsk.evaluation.build import build_evaluators
from zsk.load import load_config
from zsk.test_time_augmentation import with_test_time_augmentation

logger = logging.getLogger("zsk.train_net")


class Trainer(DefaultTrainer):
    """Detectron2's trainer with our optimizer, loaders and evaluator, and an exact `--resume`."""

    def __init__(self, cfg: CfgNode, start_iter: int = 0):
        self.first_iter = start_iter  # read by build_train_loader, which the base class calls
        super().__init__(cfg)
        batch, lr = self.cfg.SOLVER.IMS_PER_BATCH, self.cfg.SOLVER.BASE_LR
        logger.info(f"effective batch {batch} images, base learning rate {lr}, {cfg.MODEL.DEVICE}")
        trained = [p.numel() for p in self._trainer.model.parameters() if p.requires_grad]
        logger.info(f"{sum(trained):,} trained parameters")

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        return build_optimizer(cfg, model)

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: torch.optim.Optimizer) -> Any:
        return build_lr_scheduler(cfg, optimizer)

    def build_train_loader(self, cfg: CfgNode) -> DataLoader:
        return build_train_loader(cfg, start_iter=self.first_iter)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> DataLoader:
        return build_test_loader(cfg, dataset_name)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluators:
        return build_evaluators(cfg, dataset_name)

    @classmethod
    def test(cls, cfg: CfgNode, model: nn.Module, evaluators: Any = None) -> Any:
        model = with_test_time_augmentation(cfg, model)
        if evaluators is None:
            evaluators = [cls.build_evaluator(cfg, name) for name in cfg.DATASETS.TEST]
        return super().test(cfg, model, evaluators)

    def resume_or_load(self, resume: bool = True) -> None:
        if resume and self.checkpointer.has_checkpoint():
            super().resume_or_load(resume=True)
        else:
            initial_weights(self._trainer.model, self.cfg.MODEL.WEIGHTS)

    def run_step(self) -> None:
        # Detectron2 frees the gradients after the forward pass, which takes more memory
        self._trainer.optimizer.zero_grad()
        try:
            super().run_step()
        except FloatingPointError as error:
            raise UserError(f"training diverged at iteration {self.iter}: {error}") from error

    def state_dict(self) -> dict[str, Any]:
        state = {**super().state_dict(), "random_state": random_state()}
        state["settings"] = network_settings(self.cfg)
        # Detectron2 0.6 leaves out the optimizer, with Adam's moments and the learning rate
        state.setdefault("_trainer", self._trainer.state_dict())
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._trainer.load_state_dict(state_dict["_trainer"])
        set_random_state(state_dict["random_state"])
        if not comm.is_main_process():  # the saved state is the main process's: other draws here
            seed_all_rng(int(torch.randint(2**31, ())) + comm.get_rank())


def next_iteration(output_dir: str) -> int:
    """The iteration a resumed run starts with: one after the last checkpoint's, 0 without one."""
    pointer = os.path.join(output_dir, "last_checkpoint")
    if not os.path.isfile(pointer):
        return 0
    with open(pointer) as file:
        path = os.path.join(output_dir, file.read().strip())
    return torch.load(path, map_location="cpu", weights_only=True, mmap=True)["iteration"] + 1


def main(args: Namespace) -> None:
    cfg = load_config(args.config_file, args.opts)
    check_output_folder(cfg.OUTPUT_DIR)
    report_mistakes_once()
    cfg.freeze()
    join_processes(cfg.MODEL.DEVICE)
    default_setup(cfg, args)
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="zsk")
    if cfg.MODEL.DEVICE == "cpu":
        logger.warning("no GPU is used: training and evaluation run on the CPU, which is slow")
    check_at_start((() if args.eval_only else cfg.DATASETS.TRAIN) + cfg.DATASETS.TEST)
    if args.eval_only:
        model = Trainer.build_model(cfg)
        load_weights(model, cfg.MODEL.WEIGHTS)
        check_network_settings(cfg)
        results = Trainer.test(cfg, model)
        if cfg.TEST.EXPECTED_RESULTS and comm.is_main_process():
            verify_results(cfg, results)
        return
    trainer = Trainer(cfg, next_iteration(cfg.OUTPUT_DIR) if args.resume else 0)
    trainer.resume_or_load(resume=args.resume)
    trainer.train()


def run() -> None:
    run_in_processes(main, default_argument_parser().parse_args())


if __name__ == "__main__":
    run_cli(run)
