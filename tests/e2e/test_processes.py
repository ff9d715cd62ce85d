"""`train_net.py` under torchrun on two CPU processes, against one process."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

SLOW = pytest.mark.slow
CONFIG = "configs/voc-11k-15/zsk_R101_bs8_40k.yaml"
SPNET = "configs/voc-11k-15/spnet_R101_bs10_20k.yaml"
ZS3 = "configs/voc-11k-15/zs3_R101_bs8_60k.yaml"
CAGNET = "configs/voc-11k-15/cagnet_R101_bs8_46k.yaml"
REPORT = Path("inference") / "voc_zs_val" / "metrics.json"
# what the embedded model is made of: the kernels are scored by what lies under their masks
REGION_FEATURES = [
    *("MODEL.SEM_SEG_HEAD.CLASS_FEATURES", "['res2', 'res5']"),
    *("MODEL.SEM_SEG_HEAD.IN_FEATURES", "[]"),
    *("MODEL.KERNELS.NUM_STAGES", 0, "MODEL.KERNELS.INIT", "clusters"),
    *("MODEL.KERNELS.NUM_KERNELS", 8),
    *("MODEL.KERNELS.CLUSTER_COUNTS", "[3, 5]", "MODEL.CRITERION.REGION_PURITY", 0.7),
]
# the evaluation at the end looks into what distributed training wraps
VIEWS = ["TEST.AUG.ENABLED", True, "TEST.AUG.MIN_SIZES", "(48,)", "TEST.PROPOSAL_RECALL", False]


@pytest.fixture(scope="module")
def train(train_net, small_options, tiny_options) -> Callable[..., Path]:
    """Run train_net.py in so many processes (0: without torchrun); returns where it wrote."""

    def run(
        processes: int, output: Path, data: Path, *arguments: object, config: str = CONFIG
    ) -> Path:
        small = config in (SPNET, ZS3, CAGNET) or REGION_FEATURES[0] in arguments
        options = (*(small_options if small else tiny_options), "OUTPUT_DIR", output, *arguments)
        done = train_net(config, *options, data=data, processes=processes)
        printed = done.stdout + done.stderr
        assert printed.count("copypaste: Task: sem_seg") == 1
        assert "find_unused_parameters" not in printed
        return output

    return run


@pytest.fixture(scope="module")
def weights(train, voc_root, tmp_path_factory) -> Path:
    output = train(0, tmp_path_factory.mktemp("weights"), voc_root, "SOLVER.MAX_ITER", 1)
    return output / "model_final.pth"


def voc_with(stems: Sequence[str], voc_root: Path, folder: Path) -> Path:
    """`voc_root` again, less what is not in `stems`: they are what is validated."""
    root = shutil.copytree(voc_root, folder / "datasets")
    (root / "VOC2012" / "val.txt").write_text("".join(f"{stem}\n" for stem in stems))
    for stem in stems:
        label = root / "VOC2012" / "zsk" / "val" / f"{stem}.png"
        if not label.is_file():
            raw = np.asarray(Image.open(root / "VOC2012" / "SegmentationClassAug" / label.name))
            joint = np.where(np.isin(raw, (0, 255)), 255, raw - 1).astype(np.uint8)
            Image.fromarray(joint).save(label)
    return root


def evaluate(train, processes, output, data, weights, *options, config=CONFIG) -> bytes:
    line = ("--eval-only", "MODEL.WEIGHTS", weights, *options)
    train(processes, output, data, *line, config=config)
    return (output / REPORT).read_bytes()


@pytest.mark.parametrize(
    "config, stems, processes",
    [
        pytest.param(CONFIG, ["drawn_5"], (0, 2), id="a process without an image"),
        *(
            pytest.param(config, ["drawn_3", "drawn_4", "drawn_5"], (0, 1, 2), marks=SLOW)
            for config in (CONFIG, SPNET, ZS3, CAGNET)
        ),
    ],
)
def test_images_in_two_processes_are_reported_as_in_one(
    train, weights, voc_root, tmp_path, config, stems, processes
) -> None:
    """Only the first process writes results."""
    if config != CONFIG:
        few = ("SOLVER.MAX_ITER", 1, *(("MODEL.SYNTHESIS.START", 0) if config == ZS3 else ()))
        trained = train(0, tmp_path / "weights", voc_root, *few, config=config)
        weights = trained / "model_final.pth"
    data = voc_with(stems, voc_root, tmp_path)
    dump = ("TEST.DUMP", "['png','rle']", "TEST.CELL_STRIDE", 8)
    reports = {
        evaluate(train, n, tmp_path / f"{n}", data, weights, *dump, config=config)
        for n in processes
    }
    assert len(reports) == 1 and json.loads(reports.pop())["images"] == len(stems)
    folders = [(tmp_path / f"{n}" / REPORT).parent for n in processes]
    # the metrics of hardly trained weights may all be 0, the others tell more
    others = ["predictions.json", "confusion.npy"]
    others += ["proposals.json"] if config == CONFIG else []  # the others have no masks
    for name in others:
        assert len({(folder / name).read_bytes() for folder in folders}) == 1
    names = [sorted(path.name for path in folder.rglob("*")) for folder in folders]
    assert f"{stems[0]}.png" in names[0] and all(found == names[0] for found in names)


TURNS = ["MODEL.SYNTHESIS.START", 1, "MODEL.SYNTHESIS.PERIOD", 1]  # each in four iterations


@SLOW
@pytest.mark.parametrize(
    "config, steps, options",
    [
        (CONFIG, 2, VIEWS),
        (CONFIG, 2, [*VIEWS, *REGION_FEATURES]),
        (ZS3, 2, TURNS[:2]),
        (CAGNET, 4, TURNS),
    ],
    ids=["kernels", "region features", "zs3", "cagnet"],
)
def test_training_with_a_process_that_has_no_label(
    train, voc_root, tmp_path, config, steps, options
) -> None:
    """Of two training images one is ignored whole: in each step one process has nothing."""
    data = voc_with(["drawn_4"], voc_root, tmp_path)
    (data / "VOC2012" / "train.txt").write_text("drawn_0\ndrawn_1\n")
    label = data / "VOC2012" / "zsk" / "train_seen" / "drawn_1.png"
    Image.fromarray(np.full((48, 64), 255, dtype=np.uint8)).save(label)
    line = ("SOLVER.MAX_ITER", steps, *options)
    output = train(2, tmp_path / "out", data, *line, config=config)
    saved = torch.load(output / "model_final.pth", weights_only=True)
    assert saved["iteration"] == steps - 1
    assert all(value.isfinite().all() for value in saved["model"].values())
    log = (output / "log.txt").read_text() + (output / "log.txt.rank1").read_text()
    assert "World size: 2" in log and "find_unused_parameters" not in log
    assert json.loads((output / REPORT).read_text())["images"] == 1
