#!/usr/bin/env python
"""Compare exported models with the models that they were made from, as a table.

python tools/benchmark/export_parity.py --systems embedded kernels --formats onnx

The embedded model has its own weights. Kernels (ZSK-Net) and queries (ZS-MaskFormer) on ResNet-101
and a small CLIP have random ones, so nothing is downloaded. `zsk export --check` compares an export
of your own. The rows "PyTorch, 1 thread" compare the original with itself, on one thread and on
all: a pixel at the edge of a mask may fall in or out, which moves a crop.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

# a checkout works as it is, without being installed
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import zsk  # isort: skip  # noqa: F401, E402  (first: it makes Detectron2 importable)
import numpy as np  # noqa: E402
import torch  # noqa: E402
from detectron2.modeling import build_model  # noqa: E402
from PIL import Image  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from zsk.classification.clip_encoder import CLIP  # noqa: E402
from zsk.data.images import read_image  # noqa: E402
from zsk.errors import UserError, run_cli  # noqa: E402
from zsk.export.formats import FILES, check_packages, read_look, write_look  # noqa: E402
from zsk.export.look import FixedLook  # noqa: E402
from zsk.export.parity import HEADER, compare, outputs_of, sample_photos  # noqa: E402
from zsk.export.words import words_of  # noqa: E402
from zsk.load import load_config  # noqa: E402
from zsk.segmenter import Segmenter  # noqa: E402
from zsk.terminal import say  # noqa: E402
from zsk.vocabulary import Vocabulary  # noqa: E402
from zsk.zsk_net import ZSKNet  # noqa: E402

KERNELS = "configs/voc-11k-15/zsk_R101_bs8_40k.yaml"
QUERIES = "configs/voc-11k-15/zs_maskformer_R101_bs8_40k.yaml"
ONE_PASS = ("MODEL.CLIP.REGION_MODE", "one_pass")
# name in the table -> configuration and options; none: the embedded model
SYSTEMS: dict[str, tuple[str, ...]] = {
    "embedded": (),
    "kernels": (KERNELS,),
    "kernels-one-pass": (KERNELS, *ONE_PASS),
    "queries": (QUERIES,),
    "queries-one-pass": (QUERIES, *ONE_PASS),
}
SIZES = ((96, 128), (160, 96))
WORDS = "cat, person, motorcycle, cup, saucer, spoon, table, bench, rocket, sky"


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare exported models with their originals.")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--formats", nargs="*", choices=FILES, default=list(FILES))
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="HxW", type=parse_size)
    args = parser.parse_args()
    for format in args.formats:
        check_packages(format, check=True)
    say(HEADER)
    with tempfile.TemporaryDirectory() as folder:
        for system in args.systems:
            model, vocabulary = build(SYSTEMS[system], Path(folder))
            words = words_of(model, vocabulary)
            for size in args.sizes:
                control = compare(
                    model, partial(one_thread, model), words, vocabulary, size, sample_photos()
                )
                say(control.row(system, "PyTorch, 1 thread", size))
                for format in args.formats:
                    file, look = Path(folder) / FILES[format], FixedLook(model)
                    write_look(look, size, format, file)
                    run = read_look(file, format, look.outputs)
                    parity = compare(model, run, words, vocabulary, size, sample_photos())
                    say(parity.row(system, format, size))


def one_thread(model: ZSKNet, photo: np.ndarray) -> dict[str, np.ndarray]:
    """The model's own look with other rounding: what no export can be nearer to than itself."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    look = model.look([torch.from_numpy(photo).permute(2, 0, 1)])[0]
    torch.set_num_threads(threads)
    return outputs_of(look)


def build(choice: tuple[str, ...], folder: Path) -> tuple[ZSKNet, Vocabulary]:
    """The embedded model, or one with random weights and a random CLIP; and words for it."""
    if not choice:
        segmenter = Segmenter(device="cpu")
        return segmenter.model, segmenter.vocabulary(WORDS)
    torch.manual_seed(0)
    clip = folder / "clip.pt"
    torch.save(CLIP(32, 64, 2, 64, 16, 77, 49408, 64, 1, 2).state_dict(), clip)
    random = ["MODEL.WEIGHTS", "", "MODEL.CLIP.NAME", str(clip), "MODEL.DEVICE", "cpu"]
    random += ["MODEL.CLIP.TEMPERATURE", "100.0"]  # as OpenAI's
    model = build_model(load_config(choice[0], [*random, *choice[1:]])).eval()
    for name, part in model.backbone.named_modules():
        if name.endswith("conv3.norm"):  # or random activations grow to 1e5, and rounding with them
            part.weight.fill_(0.1)
    images = [Image.fromarray(read_image(photo)).resize((128, 96)) for photo in sample_photos()]
    looks = model.look([torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in images])
    model.text_classifier = Rows([look.head_embeddings for look in looks])
    model.region_text_classifier = Rows([look.clip_embeddings for look in looks])
    words = [f"word {number}" for number in range(len(model.text_classifier.rows))]
    return model, Vocabulary.from_words(words, words[::2])


class Rows(nn.Module):
    """Text embeddings that tell random embeddings apart: with others all pixels get one label.

    Args:
        embeddings: of the regions of some photos, (N,E) each. The rows are every eighth of them,
            less the directions of the photos' means.
    """

    def __init__(self, embeddings: Sequence[torch.Tensor]) -> None:
        super().__init__()
        means = torch.stack([rows.mean(dim=0) for rows in embeddings])
        common, _ = torch.linalg.qr(means.T)
        rows = torch.cat([rows[::8] for rows in embeddings])
        self.rows = F.normalize(rows - rows @ common @ common.T, dim=1)

    def forward(self, vocabulary: Vocabulary) -> torch.Tensor:
        """(K,E) unit rows."""
        return self.rows


def parse_size(text: str) -> tuple[int, int]:
    """ "192x256" → (192, 256). Raises UserError."""
    height, cross, width = text.partition("x")
    if not (cross and height.isdigit() and width.isdigit()):
        raise UserError(f"--sizes {text} is no size: give HxW, such as 96x128")
    return int(height), int(width)


if __name__ == "__main__":
    run_cli(main)
