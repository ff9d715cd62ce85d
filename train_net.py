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
from detectron2.engine import default_setup
from detectron2.evaluation import DatasetEvaluators, verify_results
from detectron2.projects.deeplab import build_lr_scheduler
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger
from torch import nn
from torch.utils.data import DataLoader

from zsk.classification.text_classifier import warn_of_leaks
from zsk.data.check import check_at_start
from zsk.data.loader import build_test_loader, build_train_loader
from zsk.data.vocabularies import get_vocabulary
from zsk.engine.checkpoint import load_weights
from zsk.engine.distributed import argument_parser, join_processes, run_in_processes
from zsk.engine.hooks import telling_hooks
from zsk.engine.initial_weights import initial_weights
from zsk.engine.network_settings import check_network_settings
from zsk.engine.output import check_output_folder, locked_output_folder, report_mistakes_once
from zsk.engine.resume import Checkpoint, checkpoint_to_resume
from zsk.engine.settings import (
    check_equal_settings,
    config_of_training_kept,
    drawn_seed,
    refuse_to_replace,
)
from zsk.engine.solver import build_optimizer
from zsk.engine.trainer import ResumableTrainer
from zsk.errors import UserError, run_cli
from zsk.evaluation.build import build_evaluators, check_best_metric
from zsk.files import remove_unfinished, replacing
from zsk.key_checks import check_training_size
from zsk.known_weights import by_name
from zsk.load import load_config
from zsk.test_time_augmentation import with_test_time_augmentation
from zsk.true_scale import feature_strides

logger = logging.getLogger("zsk.train_net")


class Trainer(ResumableTrainer):
    """Detectron2's trainer with our optimizer, loaders and evaluator."""

    def __init__(self, cfg: CfgNode, start_iter: int = 0):
        self.first_iter = start_iter  # read by build_train_loader, which the base class calls
        super().__init__(cfg)
        model = getattr(self.model, "module", self.model)  # of several processes
        check_training_size(cfg, max(feature_strides(model.backbone).values()))
        batch, lr = self.cfg.SOLVER.IMS_PER_BATCH, self.cfg.SOLVER.BASE_LR
        logger.info(f"effective batch {batch} images, base learning rate {lr}, {cfg.MODEL.DEVICE}")
        self.register_hooks(telling_hooks(self._trainer.data_loader))
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
        for name in cfg.DATASETS.TEST:
            warn_of_leaks(model, get_vocabulary(name, trained_on=cfg.DATASETS.TRAIN))
        model = with_test_time_augmentation(cfg, model)
        if evaluators is None:
            evaluators = [cls.build_evaluator(cfg, name) for name in cfg.DATASETS.TEST]
        return super().test(cfg, model, evaluators)

    def run_step(self) -> None:
        # Detectron2 frees the gradients after the forward pass, which takes more memory
        self._trainer.optimizer.zero_grad()
        try:
            super().run_step()
        except FloatingPointError as error:
            raise UserError(f"training diverged at iteration {self.iter}: {error}") from error


def main(args: Namespace) -> None:
    cfg = load_config(args.config_file, args.opts)
    check_output_folder(cfg.OUTPUT_DIR)
    report_mistakes_once()
    join_processes(cfg.MODEL.DEVICE, args.process_timeout)
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="zsk")
    if args.eval_only:
        set_up(cfg, args)
        evaluate(cfg)
        return
    with locked_output_folder(cfg.OUTPUT_DIR):
        check_best_metric(cfg)
        if not args.resume:
            refuse_to_replace(cfg.OUTPUT_DIR)
        checkpoint = checkpoint_to_resume(cfg.OUTPUT_DIR)
        if cfg.SEED < 0:
            cfg.SEED = drawn_seed(checkpoint)
        set_up(cfg, args)
        train(cfg, checkpoint)


def set_up(cfg: CfgNode, args: Namespace) -> None:
    """Detectron2's logs, seeds, and the check of the data sets."""
    check_equal_settings(cfg)
    cfg.freeze()
    with config_of_training_kept(cfg.OUTPUT_DIR):
        default_setup(cfg, args)
    if cfg.MODEL.DEVICE == "cpu":
        logger.warning("no GPU is used: training and evaluation run on the CPU, which is slow")
    if not args.eval_only:
        check_at_start(cfg.DATASETS.TRAIN, skip_unreadable=cfg.DATALOADER.SKIP_UNREADABLE > 0)
    check_at_start(cfg.DATASETS.TEST)


def evaluate(cfg: CfgNode) -> None:
    """Evaluate the checkpoint MODEL.WEIGHTS."""
    model = Trainer.build_model(cfg)
    check_network_settings(cfg, load_weights(model, cfg.MODEL.WEIGHTS), model)
    results = Trainer.test(cfg, model)
    if cfg.TEST.EXPECTED_RESULTS and comm.is_main_process():
        verify_results(cfg, results)


def train(cfg: CfgNode, checkpoint: Checkpoint | None) -> None:
    """Train, or go on with a training from its checkpoint."""
    if comm.is_main_process():
        remove_unfinished(cfg.OUTPUT_DIR)
    trainer = Trainer(cfg, checkpoint.iteration + 1 if checkpoint else 0)
    if checkpoint is None:
        initial_weights(trainer.model, cfg.MODEL.WEIGHTS, cfg.MODEL.WEIGHTS_MIN_SHARE)
    else:
        trainer.resume(checkpoint)
        if cfg.MODEL.WEIGHTS:
            logger.info(
                f"MODEL.WEIGHTS {cfg.MODEL.WEIGHTS} is not read: the training goes on from its own "
                "checkpoint"
            )
    if comm.is_main_process():  # not before a resume that does not fit is refused
        with replacing(os.path.join(cfg.OUTPUT_DIR, "config.yaml")) as unfinished:
            unfinished.write_text(cfg.dump())
    trainer.train()


def run() -> None:
    parser = argument_parser()
    parser.add_argument(
        "--weights",
        metavar="NAME",
        help="instead of MODEL.WEIGHTS: a file, hf://user/repository/file, or a name "
        "(docs/weights.md), which brings its configuration where no --config-file is given",
    )
    args = parser.parse_args()
    args.config_file, weights = by_name(args.config_file, args.weights)
    if weights is not None:
        args.opts += ["MODEL.WEIGHTS", str(weights)]
    run_in_processes(main, args)


if __name__ == "__main__":
    run_cli(run)
