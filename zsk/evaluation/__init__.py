"""Evaluation: label maps to metrics, proposals to recall, and the report about both."""

from zsk.evaluation.proposal_recall import ProposalRecall
from zsk.evaluation.zero_shot_evaluator import ZeroShotEvaluator

__all__ = ["ProposalRecall", "ZeroShotEvaluator"]
