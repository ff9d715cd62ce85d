"""What training says on its way: losses of zero, files that were skipped."""

from pathlib import Path

import torch
from detectron2.engine import TrainerBase
from detectron2.utils.events import get_event_storage
from fvcore.common.checkpoint import Checkpointer

from zsk.data.samples import SkippedFiles
from zsk.engine.hooks import BestCheckpoint, telling_hooks


class GivenLosses(TrainerBase):
    """A run of steps without a model."""

    def __init__(self, losses: list[float]) -> None:
        super().__init__()
        self.losses = losses

    def run_step(self) -> None:
        get_event_storage().put_scalar("total_loss", self.losses[self.iter])


def warnings(losses: list[float], caplog) -> list[str]:
    caplog.clear()
    trainer = GivenLosses(losses)
    trainer.register_hooks(telling_hooks([]))
    trainer.train(0, len(losses))
    return [message for message in caplog.messages if "exactly 0" in message]


def test_a_loss_of_exactly_zero_is_told(caplog) -> None:
    first, second = warnings([1.0] + [0.0] * 100, caplog)
    assert "0 for 50 iterations: the labels show no pixel of a seen class" in first
    assert "0 for 100 iterations" in second
    assert warnings([0.0] * 49 + [1e-8] + [0.0] * 49, caplog) == []


def test_the_best_of_other_data_sets_is_not_to_be_surpassed(tmp_path: Path, caplog) -> None:
    """70 on easy photos would keep every checkpoint of harder ones from being the best."""

    def update(datasets: list[str], value: float) -> None:
        checkpointer = Checkpointer(torch.nn.Linear(1, 1), str(tmp_path))
        best = BestCheckpoint("hIoU", datasets, checkpointer, resumed=True)
        best.update({"sem_seg": {"hIoU": value}}, iteration=9)

    def kept() -> float:
        content = torch.load(tmp_path / "model_best.pth", weights_only=True)
        return content["best"]["value"]

    update(["easy"], 70.0)
    update(["easy"], 35.0)
    assert kept() == 70.0
    update(["hard"], 36.0)
    assert kept() == 36.0 and "is going to be replaced (it was chosen on easy)" in caplog.text


def test_skipped_files_are_told_at_the_end(caplog) -> None:
    loader = SkippedFiles([], 8, 0.5)
    loader.files["a.jpg"] = "image a.jpg cannot be read"
    trainer = GivenLosses([1.0])
    trainer.register_hooks(telling_hooks(loader))
    with caplog.at_level("INFO", "zsk"):
        trainer.train(0, 1)
    assert caplog.messages[-2:] == [
        "1 of 8 training images cannot be read",
        "skipped: image a.jpg cannot be read",
    ]
