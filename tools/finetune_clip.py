#!/usr/bin/env python
"""Fine-tune CLIP's image tower for one-pass region classification.

python tools/finetune_clip.py --config-file configs/synthetic/zsk.yaml \\
    --output output/one_pass_clip.pt --size 256
python train_net.py --config-file configs/synthetic/zsk.yaml --eval-only \\
    MODEL.WEIGHTS output/synthetic/zsk/model_final.pth MODEL.CLIP.NAME output/one_pass_clip.pt \\
    MODEL.CLIP.REGION_MODE one_pass MODEL.CLIP.ONE_PASS_SIZE 256

A copy of the image tower learns to embed regions in one look at a photo. --objective says how:

crops   as MODEL.CLIP.NAME embeds their crops. The regions are segments of seen classes in
        DATASETS.TRAIN, of which only the outlines are used, and cells of similar colour, which also
        cover unlabelled pixels.
masks   so that the probability of a seen class over the proposals follows how well each covers the
        class. The proposals are the masks of a trained head (MODEL.WEIGHTS), the true segments, or
        both. Only attention and norms are trained. Every fifth seen class is left out, names and
        labels, and shows what the training does to other classes.

The text tower stays as it is, but learned prompts have to be trained again for the new file.

The file is a state dict of OpenAI's model class, for MODEL.CLIP.NAME together with REGION_MODE
one_pass and the same ONE_PASS_SIZE, or with REGION_MODE backbone where --config-file has it. A JSON
file beside it tells the settings and what was measured before and after: of crops the similarity of
both embeddings on photos of DATASETS.TEST, without their labels; of masks the share of true
segments of training photos that get their names.
"""

import argparse
import itertools
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

# a checkout works as it is, without being installed
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import zsk  # noqa: F401, E402  isort: skip  (first: makes Detectron2 importable)
import torch  # noqa: E402
from detectron2.config import CfgNode  # noqa: E402
from detectron2.utils.env import seed_all_rng  # noqa: E402
from torch import Tensor  # noqa: E402
from training.arguments import check_source, check_training_arguments, tell_replaced  # noqa: E402
from training.segments import build_segment_loader  # noqa: E402

from zsk.classification.build import encoder_of  # noqa: E402
from zsk.classification.photo_size import REPORT_SUFFIX, photo_sizes, size_keys  # noqa: E402
from zsk.classification.prompts import get_templates  # noqa: E402
from zsk.classification.text_classifier import TextClassifier  # noqa: E402
from zsk.data.loader import build_test_loader, build_train_loader  # noqa: E402
from zsk.data.vocabularies import get_vocabulary, split_metadata  # noqa: E402
from zsk.engine.network_settings import weights_key  # noqa: E402
from zsk.engine.trained_model import load_trained  # noqa: E402
from zsk.errors import UserError, reported_mistakes, run_cli  # noqa: E402
from zsk.evaluation.report import write_atomically  # noqa: E402
from zsk.files import user_path  # noqa: E402
from zsk.load import config_hash, load_config  # noqa: E402
from zsk.terminal import say  # noqa: E402
from zsk.vocabulary import Vocabulary  # noqa: E402
from zsk.zsk_net import ZSKNet  # noqa: E402

with reported_mistakes():  # OpenAI's clip may not be installed
    from training import mask_aware, one_pass
    from training.student import LossOf, OnePassStudent, save_student, train_student

    from zsk.classification.clip_encoder import ClipEncoder

HELD_OUT_CLASSES = 5  # every fifth seen class
STATE_SUFFIX = ".state.pth"  # of the state of a training, beside its weights


class Objective(NamedTuple):
    """What the student learns, and what is measured before and after."""

    loss_of: LossOf
    measure: Callable[[], dict[str, float]]
    sentence: str  # with the names of what is measured in braces
    settings: dict[str, object]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Fine-tune CLIP's image tower for one-pass region classification.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--config-file", required=True)
    parser.add_argument("--output", required=True, type=user_path, help="the file to write")
    parser.add_argument("--objective", choices=("crops", "masks"), default="crops")
    parser.add_argument(
        "--proposals",
        choices=("head", "segments", "both"),
        help="of the objective masks: those of MODEL.WEIGHTS, true segments, or (default) both",
    )
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--batch-size", type=int, default=4, help="photos a step")
    parser.add_argument(
        "--size", type=int, default=0, help="shorter side of photos; 0: the configuration's"
    )
    parser.add_argument("--lr", type=float, default=0.001, help="the highest learning rate")
    parser.add_argument("--held-out", type=int, default=40, help="photos to measure on, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: MODEL.DEVICE")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from the state beside --output, if there is one",
    )
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="configuration keys and values")
    args = parser.parse_args()
    check_training_arguments(
        args, {"steps": 1, "batch_size": 1, "size": 0, "held_out": 1, "seed": 0}
    )
    if args.proposals and args.objective != "masks":
        raise UserError(
            f"--proposals {args.proposals} has no use with --objective {args.objective}: "
            "take it out, or give --objective masks"
        )
    return args


def main() -> None:
    args = parse_arguments()
    cfg = load_config(args.config_file, args.opts)
    check_source(args.output, cfg.MODEL.CLIP.NAME)
    state_file = args.output.with_suffix(STATE_SUFFIX)
    if state_file.exists() and not args.resume:
        raise UserError(
            f"{state_file} is of a training that was stopped: give --resume, or remove it"
        )
    if not cfg.DATASETS.TRAIN:
        raise UserError("DATASETS.TRAIN is empty: name a registered data set")
    seed_all_rng(args.seed)  # which photos are mirrored
    encoder = load_encoder(cfg, args.size)
    tell_replaced(args.output)
    student = OnePassStudent(encoder).to(args.device or cfg.MODEL.DEVICE)
    encoder.to(args.device or cfg.MODEL.DEVICE)
    names = get_vocabulary(cfg.DATASETS.TRAIN[0], friendly=cfg.DATASETS.PROMPT_NAMES).seen_only()
    warn_of_unseen(cfg, names)
    text = TextClassifier(encoder, get_templates("single"))(names)
    build = by_crops if args.objective == "crops" else by_masks
    objective = build(args, cfg, encoder, student, text)
    noted = {**settings(args, cfg, encoder), **objective.settings}
    before = objective.measure()
    resumed, start = state_file.exists(), time.perf_counter()
    losses = train_student(
        student,
        objective.loss_of,
        lambda step: training_views(cfg, args, step),
        steps=args.steps,
        learning_rate=args.lr,
        seed=args.seed,
        state_file=state_file,
        settings={**noted, "cfg": config_hash(cfg), "clip_weights": encoder.fingerprint()},
    )
    seconds = time.perf_counter() - start
    save_student(student, encoder, args.output)
    after = objective.measure()
    report = {
        **noted,
        "seconds": None if resumed else round(seconds, 1),  # those before are not known
        "first_loss": round(losses[0], 4),
        "last_loss": round(losses[-1], 4),
        "before": without_nan(before),
        "after": without_nan(after),
    }
    text = json.dumps(report, indent=2) + "\n"
    write_atomically(args.output.with_suffix(REPORT_SUFFIX), text.encode())
    state_file.unlink(missing_ok=True)
    for when, measured in (("before", before), ("after", after)):
        print(f"{when:6s} " + objective.sentence.format(**measured))
    print(f"wrote {args.output}: {size_keys(cfg)} has to be {encoder.one_pass_size}")


def warn_of_unseen(cfg: CfgNode, names: Vocabulary) -> None:
    """Say which unseen classes of DATASETS.TEST are learned: nothing in the weights tells it."""
    for dataset in cfg.DATASETS.TEST:
        split = split_metadata(dataset).vocabulary  # one for evaluation only calls none unseen
        learned = split.unseen_spellings([*names.names, *names.prompt_names])
        if learned:
            say(
                f"warning: this CLIP learns {len(learned)} classes that are unseen in {dataset}, "
                f"such as {min(learned)}: evaluations with it are no zero-shot evaluations there",
                error=True,
            )


def without_nan(measured: dict[str, float]) -> dict[str, float | None]:
    """None for a mean of nothing: JSON has no NaN."""
    return {name: None if math.isnan(value) else value for name, value in measured.items()}


def by_crops(
    args: argparse.Namespace,
    cfg: CfgNode,
    encoder: ClipEncoder,
    student: OnePassStudent,
    text: Tensor,
) -> Objective:
    """Regions are embedded as their crops are."""
    antialias = cfg.MODEL.CLIP.CROP_ANTIALIAS
    photos = held_out_photos(cfg, args.held_out)
    held_out = one_pass.encode_held_out(encoder, photos, args.seed, antialias)
    return Objective(
        one_pass.loss_by_crops(student, encoder, text, antialias),
        lambda: one_pass.likeness(student, held_out, text)._asdict(),
        "cosine with crops {cosine:.3f}, named as crops are {agreement:.1%}",
        {"held_out_regions": sum(len(photo.masks) for photo in held_out)},
    )


def by_masks(
    args: argparse.Namespace,
    cfg: CfgNode,
    encoder: ClipEncoder,
    student: OnePassStudent,
    text: Tensor,
) -> Objective:
    """Names answer for masks."""
    if len(text) < HELD_OUT_CLASSES:
        raise UserError(
            f"{cfg.DATASETS.TRAIN[0]} has {len(text)} seen classes, but --objective masks holds "
            f"every {HELD_OUT_CLASSES}th out: take a data set with more"
        )
    mask_aware.train_attention_and_norms(student.visual)
    held_out = torch.arange(1, len(text) + 1, device=text.device) % HELD_OUT_CLASSES == 0
    propose, proposals = mask_aware.true_masks, args.proposals or "both"
    head: dict[str, object] = {}
    if proposals != "segments":
        proposer = load_proposer(cfg, args.device or cfg.MODEL.DEVICE)
        propose, head = mask_aware.masks_of_model(proposer), {"head": weights_key(proposer)}
    if proposals == "both":
        propose = mask_aware.both(propose)
    records = [batch[0] for batch in build_segment_loader(cfg, args.held_out, args.seed)]
    return Objective(
        mask_aware.loss_by_masks(student, encoder, text, held_out, propose),
        lambda: mask_aware.naming(student, encoder, records, text, held_out)._asdict(),
        "true segments named right: {learned:.1%}, of classes held out {held_out:.1%}",
        {"proposals": proposals, "held_out_classes": int(held_out.sum()), **head},
    )


def load_proposer(cfg: CfgNode, device: str) -> ZSKNet:
    """The model of MODEL.WEIGHTS, whose masks are proposals; CLIP does not look."""
    cfg = cfg.clone()
    cfg.MODEL.ENSEMBLE.MODE, cfg.MODEL.DEVICE = "head", device
    if cfg.MODEL.META_ARCHITECTURE != "ZSKNet":
        raise UserError(
            f"MODEL.META_ARCHITECTURE is {cfg.MODEL.META_ARCHITECTURE}, which has no proposals: "
            "give --proposals segments, or the configuration of a ZSKNet"
        )
    if not cfg.MODEL.WEIGHTS:
        raise UserError(
            "--objective masks takes the proposals of a trained head, but MODEL.WEIGHTS is empty: "
            "give MODEL.WEIGHTS FILE, or --proposals segments"
        )
    model, _ = load_trained(cfg)
    assert isinstance(model, ZSKNet)
    return model


def settings(args: argparse.Namespace, cfg: CfgNode, encoder: ClipEncoder) -> dict[str, object]:
    """The settings that a report lists."""
    return {
        "clip": cfg.MODEL.CLIP.NAME,
        "objective": args.objective,
        "one_pass_size": encoder.one_pass_size,
        "steps": args.steps,
        "batch_size": args.batch_size,
        "learning_rate": args.lr,
        "seed": args.seed,
    }


def load_encoder(cfg: CfgNode, size: int) -> ClipEncoder:
    """The configuration's CLIP on the CPU, where it has full precision."""
    sizes = [size] if size else photo_sizes(cfg, 0)
    if not sizes:
        raise UserError(f"{size_keys(cfg)} leaves photos as large as they are: give --size")
    if len(sizes) > 1:
        raise UserError(
            f"{size_keys(cfg)} has several sizes, {sizes}: give the one to tune at, --size"
        )
    cfg = cfg.clone()
    cfg.MODEL.CLIP.ONE_PASS_SIZE = sizes[0]
    encoder = encoder_of(cfg.MODEL.CLIP)
    if not isinstance(encoder, ClipEncoder):
        raise UserError(
            f"MODEL.CLIP.NAME is {cfg.MODEL.CLIP.NAME!r}, whose image tower is not trained here: "
            "give an OpenAI CLIP model"
        )
    return encoder


def training_views(
    cfg: CfgNode, args: argparse.Namespace, step: int
) -> Iterator[list[dict[str, object]]]:
    """Batches of whole training photos, mirrored at random, from a step on.

    Their sides are those of testing before INPUT.SIDE_MULTIPLE_TEST rounds them.
    """
    cfg = cfg.clone()
    cfg.SEED = args.seed
    cfg.SOLVER.IMS_PER_BATCH = args.batch_size
    cfg.INPUT.MIN_SIZE_TRAIN = [cfg.INPUT.MIN_SIZE_TEST]
    cfg.INPUT.MAX_SIZE_TRAIN = cfg.INPUT.MAX_SIZE_TEST
    cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING = "choice"
    cfg.INPUT.CROP.ENABLED = False
    cfg.INPUT.COLOR_AUG_SSD = False
    cfg.INPUT.RECOLOR = 0.0
    cfg.DATASETS.LEAK_UNSEEN_LAYOUT = False
    cfg.INPUT.SIZE_DIVISIBILITY = 0
    return iter(build_train_loader(cfg, step))


def held_out_photos(cfg: CfgNode, count: int) -> Iterator[Tensor]:
    """(3,H,W) uint8 RGB, the first of DATASETS.TEST, without their labels."""
    if not cfg.DATASETS.TEST:
        raise UserError("DATASETS.TEST is empty: name a registered data set")
    loader = build_test_loader(cfg, cfg.DATASETS.TEST[0])
    photos = (record["image"] for batch in loader for record in batch)
    return itertools.islice(photos, count)


if __name__ == "__main__":
    run_cli(main)
