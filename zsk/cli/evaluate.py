"""`zsk evaluate`: score a model on the labelled photos of DATASETS.TEST."""

from __future__ import annotations

from zsk.cli.train import parser_of, start

_EXAMPLES = """examples:
  zsk evaluate --config-file configs/embedded/zsk_lite2.yaml
  zsk evaluate --config-file configs/voc-11k-15/zsk_R101_bs8_40k.yaml --weights model_final.pth"""


def main() -> None:
    parser = parser_of("Score a model on the data sets of DATASETS.TEST.", _EXAMPLES)
    parser.set_defaults(eval_only=True, resume=False)  # of `zsk train`
    start(parser.parse_args())
