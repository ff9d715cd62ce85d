#!/usr/bin/env python
"""Fine-tune CLIP's image tower for one-pass region classification, without class labels.

python tools/finetune_clip.py --config-file configs/synthetic/zsk.yaml \\
    --output output/one_pass_clip.pt --size 256 MODEL.CLIP.NAME output/synthetic_clip.pt
python train_net.py --config-file configs/synthetic/zsk.yaml --eval-only \\
    MODEL.WEIGHTS model_final.pth MODEL.CLIP.NAME output/one_pass_clip.pt \\
    MODEL.CLIP.REGION_MODE one_pass MODEL.CLIP.ONE_PASS_SIZE 256

A copy of the image tower learns to embed regions in one look as MODEL.CLIP.NAME embeds their crops.
The regions are segments of seen classes in DATASETS.TRAIN, of which only the outlines are used, and
cells of similar colour, which also cover unlabelled pixels. The text tower stays as it is, but
learned prompts have to be trained again for the new file.

The file is a state dict of OpenAI's model class, for MODEL.CLIP.NAME together with REGION_MODE
one_pass and the same ONE_PASS_SIZE. The similarity of both embeddings on photos of
DATASETS.TEST (without their labels), before and after, is printed and written to a JSON file
beside the weights.
"""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

# a checkout works as it is, without being installed
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import zsk  # noqa: F401, E402  isort: skip  (first: makes Detectron2 importable)
from detectron2.config import CfgNode  # noqa: E402
from detectron2.utils.env import seed_all_rng  # noqa: E402
from torch import Tensor  # noqa: E402
from training.arguments import REPORT_SUFFIX, check_training_arguments  # noqa: E402

from zsk.classification.build import build_encoder  # noqa: E402
from zsk.classification.prompts import get_templates  # noqa: E402
from zsk.classification.text_classifier import TextClassifier  # noqa: E402
from zsk.data.loader import build_test_loader, build_train_loader  # noqa: E402
from zsk.data.vocabularies import get_vocabulary  # noqa: E402
from zsk.errors import UserError, reported_mistakes, run_cli  # noqa: E402
from zsk.evaluation.report import write_atomically  # noqa: E402
from zsk.files import user_path  # noqa: E402
from zsk.load import load_config  # noqa: E402

with reported_mistakes():  # OpenAI's clip may not be installed
    from training import one_pass

    from zsk.classification.clip_encoder import ClipEncoder


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Fine-tune CLIP's image tower for one-pass region classification.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--config-file", required=True)
    parser.add_argument("--output", required=True, type=user_path, help="the file to write")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--batch-size", type=int, default=4, help="photos a step")
    parser.add_argument(
        "--size", type=int, default=0, help="as ONE_PASS_SIZE; 0: the configuration's"
    )
    parser.add_argument("--lr", type=float, default=0.001, help="the highest learning rate")
    parser.add_argument("--held-out", type=int, default=40, help="photos of DATASETS.TEST, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: MODEL.DEVICE")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="configuration keys and values")
    args = parser.parse_args()
    check_training_arguments(
        args, {"steps": 1, "batch_size": 1, "size": 0, "held_out": 1, "seed": 0}
    )
    return args


def main() -> None:
    args = parse_arguments()
    cfg = load_config(args.config_file, args.opts)
    seed_all_rng(args.seed)  # which photos are mirrored
    encoder = load_encoder(cfg, args.size)
    student = one_pass.OnePassStudent(encoder).to(args.device or cfg.MODEL.DEVICE)
    encoder.to(args.device or cfg.MODEL.DEVICE)
    views = training_views(cfg, args)
    names = get_vocabulary(cfg.DATASETS.TRAIN[0], friendly=cfg.DATASETS.PROMPT_NAMES).seen_only()
    text = TextClassifier(encoder, get_templates("single"))(names)
    held_out = one_pass.encode_held_out(encoder, held_out_photos(cfg, args.held_out), args.seed)
    before = one_pass.likeness(student, held_out, text)
    start = time.perf_counter()
    losses = one_pass.train_one_pass(
        student, encoder, views, text, steps=args.steps, learning_rate=args.lr, seed=args.seed
    )
    seconds = time.perf_counter() - start
    after = one_pass.likeness(student, held_out, text)
    one_pass.save_one_pass(student, encoder, args.output)
    report = {
        **settings(args, cfg, encoder),
        "seconds": round(seconds, 1),
        "first_loss": round(losses[0], 4),
        "last_loss": round(losses[-1], 4),
        "held_out_regions": sum(len(photo.masks) for photo in held_out),
        "before": before._asdict(),
        "after": after._asdict(),
    }
    text = json.dumps(report, indent=2) + "\n"
    write_atomically(args.output.with_suffix(REPORT_SUFFIX), text.encode())
    for when, like in (("before", before), ("after", after)):
        print(f"{when:6s} cosine with crops {like.cosine:.3f}, "
              f"named as crops are {100 * like.agreement:.1f} %")  # fmt: skip
    print(f"wrote {args.output}, for MODEL.CLIP.ONE_PASS_SIZE {encoder.one_pass_size}")


def settings(args: argparse.Namespace, cfg: CfgNode, encoder: ClipEncoder) -> dict[str, object]:
    """The settings that a report lists."""
    return {
        "clip": cfg.MODEL.CLIP.NAME,
        "one_pass_size": encoder.one_pass_size,
        "masked_layers": encoder.masked_layers,
        "steps": args.steps,
        "batch_size": args.batch_size,
        "learning_rate": args.lr,
        "seed": args.seed,
    }


def load_encoder(cfg: CfgNode, size: int) -> ClipEncoder:
    """The configuration's CLIP on the CPU, where it has full precision."""
    clip = cfg.MODEL.CLIP
    encoder = build_encoder(
        clip.NAME,
        temperature=clip.TEMPERATURE,
        one_pass_size=size or clip.ONE_PASS_SIZE,
    )
    if not isinstance(encoder, ClipEncoder):
        raise UserError(
            f"MODEL.CLIP.NAME is {clip.NAME!r}, whose image tower is not trained here: "
            "give an OpenAI CLIP model"
        )
    return encoder


def training_views(cfg: CfgNode, args: argparse.Namespace) -> Iterator[list[dict[str, object]]]:
    """Batches of whole training photos at the size of testing, mirrored at random."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.SEED = args.seed
    cfg.SOLVER.IMS_PER_BATCH = args.batch_size
    cfg.INPUT.MIN_SIZE_TRAIN = [cfg.INPUT.MIN_SIZE_TEST]
    cfg.INPUT.MAX_SIZE_TRAIN = cfg.INPUT.MAX_SIZE_TEST
    cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING = "choice"
    cfg.INPUT.CROP.ENABLED = False
    cfg.INPUT.COLOR_AUG_SSD = False
    cfg.INPUT.RECOLOR = 0.0
    cfg.INPUT.SIZE_DIVISIBILITY = 0
    return iter(build_train_loader(cfg))


def held_out_photos(cfg: CfgNode, count: int) -> Iterator[Tensor]:
    """(3,H,W) uint8 RGB, the first of DATASETS.TEST, without their labels."""
    if not cfg.DATASETS.TEST:
        raise UserError("DATASETS.TEST is empty: name a registered data set")
    loader = build_test_loader(cfg, cfg.DATASETS.TEST[0])
    photos = (record["image"] for batch in loader for record in batch)
    return itertools.islice(photos, count)


if __name__ == "__main__":
    run_cli(main)
