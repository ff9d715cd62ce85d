#!/usr/bin/env python
"""Learn the prompts' context on the segments of seen classes, with CLIP frozen.

python tools/train_prompts.py --config-file configs/voc-11k-15/zsk_R101_bs8_40k.yaml \\
    --output output/voc/prompts.pth
python train_net.py --config-file configs/voc-11k-15/zsk_R101_bs8_40k.yaml --eval-only \\
    MODEL.WEIGHTS model_final.pth \\
    MODEL.CLIP.PROMPT learned MODEL.CLIP.PROMPT_WEIGHTS output/voc/prompts.pth

Reads DATASETS.TRAIN (labels of seen classes alone), encodes each ground-truth segment once and
trains the vectors before and after the name. The same file serves training and evaluation. Learned
prompts may suit seen classes better than unseen ones (Zhou et al., CVPR 2022): compare the hIoU of
both. The accuracies printed here are of the training segments.
"""

import argparse
import sys
from pathlib import Path

# a checkout works as it is, without being installed
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import zsk  # noqa: F401, E402  isort: skip  (first: makes Detectron2 importable)
from tqdm import tqdm  # noqa: E402
from training.arguments import check_training_arguments, tell_replaced  # noqa: E402
from training.prompts import (  # noqa: E402
    accuracy,
    encode_segments,
    initial_prompts,
    train_prompts,
)
from training.segments import build_segment_loader  # noqa: E402

from zsk.classification.build import build_encoder  # noqa: E402
from zsk.classification.learned_prompts import save_prompts  # noqa: E402
from zsk.classification.prompts import get_templates  # noqa: E402
from zsk.classification.text_classifier import TextClassifier  # noqa: E402
from zsk.data.vocabularies import get_vocabulary  # noqa: E402
from zsk.errors import run_cli  # noqa: E402
from zsk.files import user_path  # noqa: E402
from zsk.load import load_config  # noqa: E402


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Learn the prompts' context on segments of seen classes.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--config-file", required=True)
    parser.add_argument("--output", required=True, type=user_path, help="the file to write")
    # As many vectors as the template has tokens (our choice): training starts from it exactly.
    parser.add_argument("--prefix", type=int, default=4, help="context vectors before the name")
    parser.add_argument("--suffix", type=int, default=1, help="context vectors after the name")
    parser.add_argument(
        "--init",
        default="a photo of a {}.",
        help="whose tokens to start from; '{}' starts from random vectors",
    )
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=32, help="segments a step")
    parser.add_argument("--lr", type=float, default=0.002, help="learning rate at the start")
    parser.add_argument("--images", type=int, default=0, help="so many at most; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="configuration keys and values")
    parser.set_defaults(device=None)  # that of the configuration
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    check_training_arguments(args, {"steps": 1, "batch_size": 1, "images": 0, "seed": 0})
    cfg = load_config(args.config_file, args.opts)
    encoder = build_encoder(
        cfg.MODEL.CLIP.NAME, cfg.MODEL.DEVICE, temperature=cfg.MODEL.CLIP.TEMPERATURE
    )
    prompts = initial_prompts(encoder, args.init, args.prefix, args.suffix, args.seed)
    tell_replaced(args.output)
    loader = build_segment_loader(cfg, args.images, args.seed)
    trained_on = get_vocabulary(cfg.DATASETS.TRAIN[0], friendly=cfg.DATASETS.PROMPT_NAMES)
    vocabulary = trained_on.seen_only()  # as the loader's mapper has it
    records = (batch[0] for batch in tqdm(loader, desc="images"))
    segments = encode_segments(encoder, records, cfg.MODEL.CLIP.CROP_ANTIALIAS)
    single = TextClassifier(encoder, get_templates("single"))(vocabulary)
    losses = train_prompts(
        prompts,
        encoder,
        vocabulary,
        segments,
        steps=args.steps,
        batch_size=args.batch_size,
        learning_rate=args.lr,
        seed=args.seed,
    )
    save_prompts(args.output, prompts, encoder)
    learned = TextClassifier(encoder, prompts)(vocabulary)
    print(f"{len(segments.labels)} segments of {len(vocabulary)} seen classes")
    print(f"accuracy with prompt single  {100 * accuracy(segments, single):.1f} %")
    print(f"accuracy with prompt learned {100 * accuracy(segments, learned):.1f} %")
    print(f"loss {losses[0]:.3f} at the first step, {losses[-1]:.3f} at the last: {args.output}")


if __name__ == "__main__":
    run_cli(main)
