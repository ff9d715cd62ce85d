"""The evaluators that a configuration asks for."""

import os
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.evaluation import DatasetEvaluators

from zsk.data.vocabularies import classes_of_words, get_vocabulary
from zsk.errors import UserError
from zsk.evaluation.cells import cell_key
from zsk.evaluation.metrics import SEEN_ONLY
from zsk.evaluation.prediction_dump import PredictionDump
from zsk.evaluation.proposal_recall import ProposalRecall
from zsk.evaluation.report import HEADLINE_SEEN_ONLY, headline
from zsk.evaluation.zero_shot_evaluator import ZeroShotEvaluator
from zsk.load import config_hash
from zsk.protocol import INDUCTIVE


def build_evaluators(
    cfg: CfgNode, dataset_name: str, protocol: str = INDUCTIVE, seed: int | None = None
) -> DatasetEvaluators:
    """Metrics, and what TEST.PROPOSAL_RECALL and TEST.DUMP add.

    They write to OUTPUT_DIR/inference/<dataset_name>; under TEST.VOCABULARY seen to the folder
    "seen_only" therein, so that neither kind of numbers replaces the other.

    Args:
        protocol: see `ZeroShotEvaluator`.
        seed: that of the weights' training; None: not known.

    Raises:
        UserError: the data set is not registered, or keys do not go together.
    """
    seen_only = cfg.TEST.VOCABULARY == "seen"
    folder = os.path.join(cfg.OUTPUT_DIR, "inference", dataset_name)
    if seen_only:
        folder = os.path.join(folder, "seen_only")
    trained_on = cfg.DATASETS.TRAIN
    device = cfg.MODEL.DEVICE
    on_gpu = device.startswith("cuda") and torch.cuda.is_available()
    run_info = {
        **{"config_hash": config_hash(cfg), "trained_on": list(trained_on)},
        **({} if seed is None else {"seed": seed}),
        "device": torch.cuda.get_device_name(device) if on_gpu else device,
    }
    evaluators: list[Any] = [
        ZeroShotEvaluator(
            dataset_name,
            folder,
            trained_on=trained_on,
            run_info=run_info,
            seen_only=seen_only,
            protocol=protocol,
            cell_stride=cfg.TEST.CELL_STRIDE,
        )
    ]
    if cfg.TEST.PROPOSAL_RECALL:
        if seen_only or cfg.TEST.AUG.ENABLED or cfg.TEST.TILES:
            raise UserError(
                "TEST.PROPOSAL_RECALL is about one look and the joint vocabulary: switch it off, "
                "or TEST.AUG.ENABLED off, TEST.TILES to 0 and TEST.VOCABULARY to joint"
            )
        evaluators.append(ProposalRecall(dataset_name, folder, trained_on=trained_on))
    if cfg.TEST.DUMP:
        vocabulary = get_vocabulary(dataset_name, trained_on=trained_on)
        ids = np.flatnonzero(vocabulary.seen) if seen_only else classes_of_words(dataset_name)
        evaluators.append(PredictionDump(folder, cfg.TEST.DUMP, vocabulary, joint_ids=ids))
    return DatasetEvaluators(evaluators)


def check_best_metric(cfg: CfgNode) -> None:
    """Check TEST.BEST_METRIC before hours of training.

    Raises:
        UserError: no evaluation gives that number, or there is one evaluation only, at the end.
    """
    metric = cfg.TEST.BEST_METRIC
    if not metric:
        return
    if cfg.TEST.EVAL_PERIOD < 1:
        raise UserError(
            f"TEST.BEST_METRIC {metric} needs evaluations during training: give TEST.EVAL_PERIOD, "
            "their distance in iterations"
        )
    names = [n for dataset in cfg.DATASETS.TEST for n in _metric_names(cfg, dataset)]
    if metric not in names:
        means = [name for name in names if not name.startswith(("IoU-", "Acc-"))]
        raise UserError(
            f"TEST.BEST_METRIC is {metric!r}, which no evaluation of DATASETS.TEST gives: choose "
            f"{', '.join(dict.fromkeys(means))}, or IoU-<class> or Acc-<class>"
        )


def _metric_names(cfg: CfgNode, dataset_name: str) -> list[str]:
    seen_only = cfg.TEST.VOCABULARY == "seen"
    evaluator = ZeroShotEvaluator(dataset_name, trained_on=cfg.DATASETS.TRAIN, seen_only=seen_only)
    groups, all_seen = evaluator.groups, all(evaluator.vocabulary.seen)
    names = [*(HEADLINE_SEEN_ONLY if seen_only else headline(groups))]
    if all_seen and not seen_only:
        names = [name.removesuffix(SEEN_ONLY) for name in HEADLINE_SEEN_ONLY]
    if cfg.TEST.CELL_STRIDE:
        names += [cell_key(name, cfg.TEST.CELL_STRIDE) for name in names]
    if cfg.TEST.PROPOSAL_RECALL:
        names += ["bestIoU", *(f"bestIoU-{group}" for group in groups[: 1 if all_seen else 2])]
    return names + [
        f"{key}-{name}" for key in ("IoU", "Acc") for name in evaluator.vocabulary.names
    ]
