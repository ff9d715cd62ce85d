"""The evaluators that a configuration asks for."""

import os
from typing import Any

from detectron2.config import CfgNode
from detectron2.evaluation import DatasetEvaluators

from zsk.data.dataset_mapper import seen_names_only
from zsk.data.register import get_vocabulary
from zsk.errors import UserError
from zsk.evaluation.prediction_dump import PredictionDump
from zsk.evaluation.proposal_recall import ProposalRecall
from zsk.evaluation.zero_shot_evaluator import ZeroShotEvaluator
from zsk.load import config_hash

SEEN_ONLY_FOLDER = "seen_only"


def build_evaluators(cfg: CfgNode, dataset_name: str) -> DatasetEvaluators:
    """Metrics, and what TEST.PROPOSAL_RECALL and TEST.DUMP add.

    They write to OUTPUT_DIR/inference/<dataset_name>; under TEST.VOCABULARY seen to the folder
    "seen_only" therein, so that neither kind of numbers replaces the other.

    Raises:
        UserError: the data set is not registered, or a key has a value that does not suit.
    """
    seen_only = seen_names_only(cfg)
    folder = os.path.join(cfg.OUTPUT_DIR, "inference", dataset_name)
    if seen_only:
        folder = os.path.join(folder, SEEN_ONLY_FOLDER)
    run_info = {"config_hash": config_hash(cfg), "seed": cfg.SEED}
    trained_on = cfg.DATASETS.TRAIN
    evaluators: list[Any] = [
        ZeroShotEvaluator(
            dataset_name, folder, trained_on=trained_on, run_info=run_info, seen_only=seen_only
        )
    ]
    if cfg.TEST.PROPOSAL_RECALL:
        if seen_only or cfg.TEST.AUG.ENABLED or cfg.TEST.TILES:
            raise UserError(
                "TEST.PROPOSAL_RECALL is about one look and the joint vocabulary: switch it off, "
                "or TEST.AUG.ENABLED off, TEST.TILES to 0 and TEST.VOCABULARY to joint"
            )
        evaluators.append(ProposalRecall(dataset_name, trained_on, folder))
    if cfg.TEST.DUMP:
        vocabulary = get_vocabulary(dataset_name, trained_on=trained_on)
        evaluators.append(PredictionDump(folder, cfg.TEST.DUMP, vocabulary, seen_only=seen_only))
    return DatasetEvaluators(evaluators)
