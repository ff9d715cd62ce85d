"""Six drawn images, a tiny CLIP, options that shrink training, and trainings with them."""

import logging
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from detectron2.utils.logger import setup_logger
from PIL import Image

from zsk.cli import train as program

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node")
# VOC's raw ids: 0 background, 15 person and 8 cat are seen, 17 sheep is unseen
COLOURS = {0: (90, 90, 90), 15: (220, 40, 40), 8: (40, 200, 60), 17: (240, 240, 240)}


def draw_example(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One image (48,64,3) uint8 and its raw VOC label (48,64) uint8."""
    label = np.zeros((48, 64), dtype=np.uint8)
    for value in (15, 8, 17):
        top, left = rng.integers(0, 30), rng.integers(0, 44)
        label[top : top + 18, left : left + 20] = value
    label[0] = 255
    image = np.zeros((48, 64, 3))
    for value, colour in COLOURS.items():
        image[label == value] = colour
    image += rng.normal(0, 12, image.shape)
    return image.clip(0, 255).astype(np.uint8), label


@pytest.fixture
def process_state(empty_catalogs: None) -> Iterator[None]:
    """No registered data sets; after the test, they and the loggers are as before."""
    loggers = [logging.getLogger(name) for name in ("detectron2", "fvcore", "zsk")]
    settings = [(log, log.level, log.propagate, list(log.handlers)) for log in loggers]
    yield
    for log, level, propagate, handlers in settings:
        log.setLevel(level)
        log.propagate, log.handlers = propagate, handlers
    setup_logger.cache_clear()  # or the next one would have no handlers


@pytest.fixture(scope="session")
def voc_root(tmp_path_factory: pytest.TempPathFactory, run_program) -> Path:
    """DETECTRON2_DATASETS with a prepared VOC2012: 4 training images, 2 (odd names) to validate."""
    root = tmp_path_factory.mktemp("datasets")
    voc = root / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClassAug"):
        (voc / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    stems = [f"drawn_{i}" for i in range(6)]
    for stem in stems:
        image, label = draw_example(rng)
        Image.fromarray(image).save(voc / "JPEGImages" / f"{stem}.jpg")
        Image.fromarray(label).save(voc / "SegmentationClassAug" / f"{stem}.png")
    (voc / "train.txt").write_text("\n".join(stems[:4]) + "\n")
    (voc / "val.txt").write_text("\n".join(stems[4:]) + "\n")
    done = run_program("datasets/prepare_voc.py", "--root", voc)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="session")
def small_options(tiny_clip: Path) -> list[str]:
    """Options that shrink what the published configurations have in common."""
    options = {
        "MODEL.WEIGHTS": "",
        "MODEL.DEVICE": "cpu",
        "MODEL.BACKBONE.NAME": "build_timm_backbone",
        "MODEL.TIMM.NAME": "test_resnet",
        "MODEL.CLIP.NAME": str(tiny_clip),
        "INPUT.MIN_SIZE_TRAIN": "(48,)",
        "INPUT.CROP.SIZE": "[48, 48]",
        "INPUT.SIZE_DIVISIBILITY": "48",
        "INPUT.MIN_SIZE_TEST": "48",
        "DATALOADER.NUM_WORKERS": "0",
        "SOLVER.IMS_PER_BATCH": "2",
    }
    return [word for pair in options.items() for word in pair]


@pytest.fixture(scope="session")
def tiny_options(small_options: list[str]) -> list[str]:
    """Options that shrink ZSK-Net's published configurations to seconds on a CPU."""
    options = {
        "MODEL.KERNELS.NUM_KERNELS": "8",
        "MODEL.KERNELS.DIM": "32",
        "MODEL.KERNELS.NUM_STAGES": "2",
        "MODEL.KERNELS.DIM_FEEDFORWARD": "32",
        "MODEL.SEM_SEG_HEAD.ASPP_CHANNELS": "32",
        "TEST.PROPOSAL_RECALL": "True",
    }
    return [*small_options, *(word for pair in options.items() for word in pair)]


def flags_first(arguments: tuple[object, ...]) -> list[object]:
    """Options with -- may stand anywhere in a test; KEY VALUE pairs come last in a command."""
    return sorted(arguments, key=lambda word: not str(word).startswith("--"))


@pytest.fixture(scope="session")
def train_net(run_program, voc_root: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run train_net.py in so many processes (0: without torchrun); it has to end with `code`."""

    def run(
        config: str, *arguments: object, data: Path = voc_root, processes: int = 0, code: int = 0
    ) -> "subprocess.CompletedProcess[str]":
        done = run_program(
            *((*TORCHRUN, processes) if processes else ()),
            *("train_net.py", "--config-file", config, *flags_first(arguments)),
            DETECTRON2_DATASETS=data,
            OMP_NUM_THREADS=1,
        )
        assert done.returncode == code, done.stderr[-3000:]
        return done

    return run


@pytest.fixture
def train_here(process_state: None, voc_root: Path, monkeypatch) -> Callable[..., None]:
    """As `train_net`, but in this process: a new one takes longer to start than a tiny training."""

    def run(config: str, *arguments: object, data: Path = voc_root) -> None:
        monkeypatch.setenv("DETECTRON2_DATASETS", str(data))
        line = ["--config-file", config, *map(str, flags_first(arguments))]
        program.run(program.argument_parser().parse_args(line))

    return run
