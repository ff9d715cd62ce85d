"""Systems without masks: trained and evaluated as by `zsk train`."""

import json
from pathlib import Path

import numpy as np
import pytest

from zsk.data.splits import get_split
from zsk.errors import UserError

SPNET = "spnet_R101_bs10_20k"
METRICS = Path("inference") / "voc_zs_val" / "metrics.json"


@pytest.fixture
def train(train_here, small_options):
    """Train or evaluate; returns the metrics."""

    def run(config: str, output: Path, *arguments: object) -> dict[str, float]:
        options = [*small_options, "OUTPUT_DIR", output]
        if config != SPNET:
            for key in ("CONVS_DIM", "ASPP_CHANNELS"):
                options += [f"MODEL.SEM_SEG_HEAD.{key}", 32]
        train_here(f"configs/voc-11k-15/{config}.yaml", *options, *arguments)
        return json.loads((output / METRICS).read_text())["metrics"]

    return run


def test_fcn_is_trained_and_its_checkpoint_serves_the_ensemble(train, tmp_path: Path) -> None:
    assert "hIoU" in train("text_fcn_R101_bs8_40k", tmp_path / "fcn", "SOLVER.MAX_ITER", 2)
    weights = tmp_path / "fcn" / "model_final.pth"
    ensemble = ("per_pixel_ensemble_R101_bs8_40k", tmp_path / "both", "--eval-only")
    assert "hIoU" in train(*ensemble, "MODEL.WEIGHTS", weights)
    # λ = 1 leaves seen classes to the head and unseen ones to CLIP: other labels than the FCN's
    train(*ensemble, "MODEL.WEIGHTS", weights, "MODEL.ENSEMBLE.LAMBDA", 1.0)
    # scores of two iterations may be 0 with either
    fcn, both = (
        np.load(tmp_path / run / "inference" / "voc_zs_val" / "confusion.npy")
        for run in ("fcn", "both")
    )
    assert fcn.sum() == both.sum() > 0 and not np.array_equal(fcn, both)


def test_spnet_takes_class_vectors_from_a_file(train, tmp_path: Path) -> None:
    """Its checkpoint knows them again."""
    words = {word for name in get_split("voc").prompt_names for word in name.split()}
    rng = np.random.default_rng(0)
    files = [tmp_path / name for name in ("a.txt", "b.txt")]
    for file in files:
        rows = {word: " ".join(f"{x:.3f}" for x in rng.normal(size=8)) for word in sorted(words)}
        file.write_text("".join(f"{word} {row}\n" for word, row in rows.items()))
    given = ("MODEL.CLIP.NAME", f"vectors:{files[0]},{files[1]}")
    metrics = train(SPNET, tmp_path, "SOLVER.MAX_ITER", 2, *given)
    weights = tmp_path / "model_final.pth"
    again = (SPNET, tmp_path / "again", "--eval-only", "MODEL.WEIGHTS", weights)
    assert train(*again, *given) == metrics
    # where the penalty is over any probability, unseen classes alone are named
    train(*again, *given, "MODEL.ENSEMBLE.SEEN_PENALTY", 2.0)
    confusion = np.load(tmp_path / "again" / "inference" / "voc_zs_val" / "confusion.npy")
    seen = get_split("voc").seen_mask.numpy()
    assert confusion.sum() > 0 and not confusion[:, :20][:, seen].any()  # columns: predictions
    with pytest.raises(UserError, match="was trained with another text encoder"):
        train(*again, "MODEL.CLIP.NAME", f"vectors:{files[1]},{files[0]}")
