#!/usr/bin/env python
"""Train the small CLIP of the synthetic world, or adapt it.

python tools/train_clip.py --output output/synthetic_clip.pt
python tools/train_clip.py --tower vit --output output/synthetic_clip_vit.pt
python tools/train_clip.py --adapt output/synthetic_clip.pt --steps 2500 --lr 0.001 \\
    --output output/adapted_clip.pt

Trains on captioned crops of scenes that are in no data set. The crops show unseen compositions,
too, as the training data of OpenAI's CLIP holds the unseen classes of the real benchmarks. The file
is a state dict of OpenAI's model class, for MODEL.CLIP.NAME. Zero-shot accuracy on clean crops of
other objects is printed and written to a JSON file beside the weights.

--adapt trains a CLIP further on cut-outs with the flaws of proposals (mask-adapted CLIP, Liang et
al., CVPR 2023). The text tower stays as it is, so heads that were trained with the original CLIP
work with the adapted one.
"""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# a checkout works as it is, without being installed
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "datasets")]

import zsk  # noqa: F401, E402  isort: skip  (first: makes Detectron2 importable)
import numpy as np  # noqa: E402
import torch  # noqa: E402
from synthetic_world.classes import CLASSES  # noqa: E402
from synthetic_world.crops import Picture, clean_picture, pictures  # noqa: E402
from synthetic_world.outlines import AS_ON_THE_WEB, AS_PROPOSED, CutOuts  # noqa: E402
from synthetic_world.scene import PARTS, Rendering, render_portrait, render_scene  # noqa: E402
from tqdm import tqdm  # noqa: E402
from training.arguments import check_source, check_training_arguments, tell_replaced  # noqa: E402

from zsk.classification.photo_size import REPORT_SUFFIX  # noqa: E402
from zsk.classification.prompts import TEMPLATES  # noqa: E402
from zsk.data.splits import get_split  # noqa: E402
from zsk.errors import reported_mistakes, run_cli  # noqa: E402
from zsk.evaluation.report import write_atomically  # noqa: E402
from zsk.files import user_path  # noqa: E402

with reported_mistakes():  # OpenAI's clip may not be installed
    from training import small_clip

SCENES_SEED = 3  # no data set has it
DEFAULT_SCENES = 3000  # each shows its segments in many ways: cut out or not, margins, mirrored
PORTRAITS_PER_SCENE = 2  # of one class alone
CLEAN_CROPS = 640  # 20 of each class
WARMUP = 0.1  # of the steps
REPORTED = ("tower", "steps", "lr", "seed", "batch_size", "text_steps", "scenes", "device")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Train the small CLIP of the synthetic world.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--output", required=True, type=user_path, help="the file to write")
    parser.add_argument(
        "--adapt", type=user_path, help="go on from this CLIP, with flawed cut-outs"
    )
    parser.add_argument("--tower", default="resnet", choices=sorted(small_clip.TOWERS))
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch-size", type=int, default=64, help="pictures a step")
    parser.add_argument("--text-steps", type=int, default=150, help="on captions alone, if new")
    parser.add_argument("--lr", type=float, default=0.002, help="the highest learning rate")
    parser.add_argument("--scenes", type=int, default=DEFAULT_SCENES, help="to take pictures of")
    parser.add_argument("--seed", type=int, default=1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=device, choices=("cpu", "cuda"))
    args = parser.parse_args()
    check_training_arguments(
        args, {"steps": 1, "batch_size": 1, "text_steps": 0, "scenes": 1, "seed": 0}
    )
    if args.adapt:
        check_source(args.output, args.adapt)
    return args


def main() -> None:
    args = parse_arguments()
    torch.manual_seed(args.seed)
    sizes = small_clip.TOWERS[args.tower]
    model = small_clip.new_clip(sizes)
    if args.adapt:
        small_clip.load(model, args.adapt)
    tell_replaced(args.output)
    model.to(args.device)
    start = time.perf_counter()
    train(model, args, sizes.image_resolution)
    seconds = time.perf_counter() - start
    small_clip.save(model.state_dict(), args.output)
    settings: dict[str, Any] = {name: getattr(args, name) for name in REPORTED}
    if args.adapt:
        del settings["text_steps"]  # none are taken
        settings["adapted"] = str(args.adapt)
    report = {**settings, "seconds": round(seconds, 1), **evaluate(model, sizes)}
    text = json.dumps(report, indent=2) + "\n"
    write_atomically(args.output.with_suffix(REPORT_SUFFIX), text.encode())
    print(f"zero-shot accuracy on {report['crops']} clean crops among 32 names: "
          f"{report['accuracy']:.1f} % ({report['accuracy_seen']:.1f} % seen, "
          f"{report['accuracy_unseen']:.1f} % unseen compositions)")  # fmt: skip
    print(f"wrote {args.output}")


def train(model: Any, args: argparse.Namespace, side: int) -> None:
    """Contrastive training with warm-up and cosine decay."""
    rng = np.random.default_rng(args.seed)
    templates = sorted({t for group in TEMPLATES.values() for t in group})
    names = get_split("synthetic_stuff").prompt_names
    if not args.adapt:
        small_clip.warm_up_text(model, names, templates, args.text_steps, rng)
    optimizer = small_clip.build_optimizer(model, args.lr, weight_decay=0.05)
    warmup = max(int(WARMUP * args.steps), 2)  # the scheduler divides by one less
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        args.lr,
        total_steps=args.steps + 1,
        pct_start=warmup / (args.steps + 1),
        cycle_momentum=False,
    )
    rendered = render_sources(args.scenes)
    stream = picture_stream(rendered, side, rng, AS_PROPOSED if args.adapt else AS_ON_THE_WEB)
    progress = tqdm(range(args.steps), desc="training CLIP", unit="step", mininterval=5)
    for _ in progress:
        chosen = list(itertools.islice(stream, args.batch_size))
        shown = [CLASSES[picture.label].name for picture in chosen]
        batch = small_clip.make_batch([p.image for p in chosen], shown, templates, rng)
        loss, right = small_clip.train_step(model, optimizer, batch)
        scheduler.step()
        progress.set_postfix(loss=f"{loss:.2f}", right=f"{100 * right:.0f}%", refresh=False)


def render_sources(scenes: int) -> list[Rendering]:
    """The scenes, and twice as many portraits, that pictures are taken of."""
    sources = [(render_scene, number) for number in range(scenes)]
    sources += [(render_portrait, number) for number in range(PORTRAITS_PER_SCENE * scenes)]
    progress = tqdm(sources, desc="rendering", mininterval=5)
    return [render(SCENES_SEED, number) for render, number in progress]


def picture_stream(
    rendered: Sequence[Rendering], side: int, rng: np.random.Generator, cut_outs: CutOuts
) -> Iterator[Picture]:
    """Pictures of one rendering after the other, in random order, without end."""
    while True:
        for number in rng.permutation(len(rendered)):
            yield from pictures(rendered[number], side, rng, cut_outs)


def evaluate(model: Any, sizes: small_clip.ClipSizes) -> dict[str, float]:
    """Zero-shot accuracy in percent on portraits that training did not see."""
    seed, side = PARTS["val"][0], sizes.image_resolution
    portraits = (render_portrait(seed, number) for number in range(CLEAN_CROPS))
    crops = [clean_picture(portrait, side) for portrait in portraits]
    vocabulary = get_split("synthetic_stuff")
    prompts = [TEMPLATES["single"][0].format(name) for name in vocabulary.prompt_names]
    images = torch.from_numpy(np.stack([crop.image for crop in crops])).permute(0, 3, 1, 2)
    labels = torch.tensor([crop.label for crop in crops])
    right = small_clip.predictions(model.eval(), images, prompts) == labels
    seen = vocabulary.seen_mask[labels]
    groups = {"": right, "_seen": right[seen], "_unseen": right[~seen]}
    accuracies = {
        f"accuracy{g}": round(100 * r.float().mean().item(), 2) for g, r in groups.items()
    }
    return {"crops": len(crops), **accuracies}


if __name__ == "__main__":
    run_cli(main)
