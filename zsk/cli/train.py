"""`zsk train`: train a model from a configuration; `zsk evaluate` is the same without training."""

from __future__ import annotations

import logging
import os
from argparse import REMAINDER, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.engine import default_setup
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from zsk.data.check import check_at_start, shared_photos
from zsk.engine.distributed import add_process_options, join_processes, run_in_processes
from zsk.engine.initial_weights import initial_weights
from zsk.engine.output import locked_output_folder, report_mistakes_once
from zsk.engine.resume import Checkpoint, checkpoint_to_resume
from zsk.engine.settings import (
    check_equal_settings,
    config_of_training_kept,
    drawn_seed,
    refuse_to_replace,
)
from zsk.engine.start_checks import warn_of_unlabelled
from zsk.engine.trained_model import load_trained
from zsk.engine.trainer import Trainer
from zsk.errors import UserError
from zsk.evaluation.build import check_best_metric
from zsk.files import replacing, writable_folder
from zsk.known_weights import by_name
from zsk.load import check_device, config_path, load_config
from zsk.protocol import noted_protocol, protocol_of

logger = logging.getLogger(__name__)

_EXAMPLES = """examples:
  zsk train --config-file configs/embedded/overfit_4_photos.yaml
  zsk train --config-file configs/voc-11k-15/zsk_R101_bs8_40k.yaml --num-gpus 8
  torchrun --nproc_per_node 8 -m zsk train --config-file configs/voc-11k-15/zsk_R101_bs8_40k.yaml"""


def main() -> None:
    start(argument_parser().parse_args())


def argument_parser() -> ArgumentParser:
    """The options of `zsk train`."""
    parser = parser_of("Train a model, and evaluate it.", _EXAMPLES)
    add = parser.add_mutually_exclusive_group().add_argument  # an evaluation is of MODEL.WEIGHTS
    add("--resume", action="store_true", help="go on from the last checkpoint in OUTPUT_DIR")
    add("--eval-only", action="store_true", help="evaluate MODEL.WEIGHTS, train nothing")
    return parser


def parser_of(description: str, examples: str) -> ArgumentParser:
    """What `zsk train` and `zsk evaluate` have in common."""
    parser = ArgumentParser(
        description=description, epilog=examples, formatter_class=RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    config_help = "the configuration, such as configs/voc-11k-15/zsk_R101_bs8_40k.yaml"
    add("--config-file", default="", metavar="FILE", help=config_help)
    add(
        "--weights",
        metavar="NAME",
        help="instead of MODEL.WEIGHTS: a file, hf://user/repository/file, or a name "
        "(docs/weights.md), which brings its configuration where no --config-file is given",
    )
    add_process_options(parser)
    add("opts", nargs=REMAINDER, metavar="KEY VALUE", help="configuration keys to change, last")
    return parser


def start(args: Namespace) -> None:
    """Train or evaluate, in one process or several."""
    args.config_file, weights = by_name(args.config_file, args.weights)
    if args.config_file:  # Detectron2 opens it, too
        args.config_file = config_path(str(args.config_file))
    if weights is not None:
        args.opts += ["MODEL.WEIGHTS", str(weights)]
    run_in_processes(run, args)


def run(args: Namespace) -> None:
    """What each process does."""
    cfg = load_config(args.config_file, args.opts)
    writable_folder(Path(cfg.OUTPUT_DIR), f"OUTPUT_DIR {cfg.OUTPUT_DIR}")
    report_mistakes_once()
    join_processes(cfg.MODEL.DEVICE, args.process_timeout)
    check_device(cfg.MODEL.DEVICE)  # after each process has taken its GPU
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
    if not cfg.DATASETS.TEST:
        logger.warning("DATASETS.TEST is empty: nothing is evaluated")
    if cfg.MODEL.DEVICE == "cpu":
        logger.warning("no GPU is used: training and evaluation run on the CPU, which is slow")
    check_at_start(cfg.DATASETS.TEST)
    if not args.eval_only:
        skip_unreadable = cfg.DATALOADER.SKIP_UNREADABLE > 0
        warn_of_unlabelled(cfg, check_at_start(cfg.DATASETS.TRAIN, skip_unreadable=skip_unreadable))
        for remark in shared_photos(cfg.DATASETS.TRAIN, cfg.DATASETS.TEST):
            logger.warning(remark)


def evaluate(cfg: CfgNode) -> None:
    """Evaluate the checkpoint MODEL.WEIGHTS. Raises a UserError where no data set is named."""
    if not cfg.DATASETS.TEST:
        raise UserError("DATASETS.TEST is empty: name a registered data set to evaluate on")
    model, trained = load_trained(cfg)
    logger.info(f"Model:\n{model}")
    protocol = noted_protocol(trained) if trained else protocol_of(cfg)
    Trainer.test(cfg, model, protocol, trained.get("SEED"))


def train(cfg: CfgNode, checkpoint: Checkpoint | None) -> None:
    """Train, or go on with a training from its checkpoint."""
    trainer = Trainer(cfg, checkpoint.iteration + 1 if checkpoint else 0)
    if checkpoint is None:
        trainer.note_of_start(
            initial_weights(trainer.model, cfg.MODEL.WEIGHTS, cfg.MODEL.WEIGHTS_MIN_SHARE)
        )
    else:
        trainer.resume(checkpoint)
        if cfg.MODEL.WEIGHTS and not cfg.SELF_TRAINING.ENABLED:  # else the teacher reads it
            logger.info(
                f"MODEL.WEIGHTS {cfg.MODEL.WEIGHTS} is not read: the training goes on from its own "
                "checkpoint"
            )
    if comm.is_main_process():  # not before a resume that does not fit is refused
        with replacing(os.path.join(cfg.OUTPUT_DIR, "config.yaml")) as unfinished:
            unfinished.write_text(cfg.dump())
    trainer.train()
