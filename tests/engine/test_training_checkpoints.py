"""Checkpoints of a training: written whole, resumed where they fit, else named in a sentence."""

import logging
from pathlib import Path

import pytest
import torch
from detectron2.engine import SimpleTrainer
from torch import nn

import zsk.engine.resume as resume
from zsk.engine.resume import TrainingCheckpointer, checkpoint_to_resume
from zsk.engine.solver import JointOptimizer
from zsk.errors import UserError


class Training:
    """What Detectron2's trainer is to its checkpointer: an iteration and an optimizer."""

    def __init__(self, width: int = 4, stages: int = 2, optimizer: str = "AdamW", groups: int = 2):
        self.model = nn.ModuleDict({f"stage{s}": nn.Linear(3, width) for s in range(stages)})
        parameters = list(self.model.parameters())
        parts = [{"params": parameters[i::groups]} for i in range(groups)]
        settings = {"AdamW": {"fused": True}, "SGD": {"momentum": 0.9}}[optimizer]
        built = getattr(torch.optim, optimizer)(parts, lr=0.1, **settings)
        self._trainer = SimpleTrainer(self.model, [], built)
        self.iteration = -1

    def step(self) -> None:
        self.iteration += 1
        sum(stage(torch.ones(1, 3)).square().sum() for stage in self.model.values()).backward()
        self._trainer.optimizer.step()
        self._trainer.optimizer.zero_grad()

    def state_dict(self) -> dict:
        inner = {"iteration": 0, "optimizer": self._trainer.optimizer.state_dict()}
        return {"iteration": self.iteration, "_trainer": inner}

    def load_state_dict(self, state: dict) -> None:
        self.iteration = state["iteration"]
        self._trainer.optimizer.load_state_dict(state["_trainer"]["optimizer"])

    def checkpointer(self, folder: Path) -> TrainingCheckpointer:
        return TrainingCheckpointer(self.model, str(folder), trainer=self)

    def resume(self, folder: Path) -> None:
        self.checkpointer(folder).resume(checkpoint_to_resume(str(folder)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Checkpoints after one and after two steps."""
    training = Training()
    for name in ("model_0000000", "model_final"):
        training.step()
        training.checkpointer(tmp_path).save(name, iteration=training.iteration)
    return tmp_path


def change(file: Path, edit) -> None:
    content = torch.load(file, weights_only=True)
    edit(content)
    torch.save(content, file)


def test_without_checkpoints_a_training_starts_anew(tmp_path: Path) -> None:
    assert checkpoint_to_resume(str(tmp_path)) is None


@pytest.mark.parametrize(
    "settings, difference",
    [
        ({"width": 8}, r"stage0.weight is \(4, 3\) there and \(8, 3\) here"),
        ({"width": 2}, r"stage0.weight is \(4, 3\) there and \(2, 3\) here"),
        ({"stages": 3}, r"stage2.weight is absent there and \(4, 3\) here"),
        ({"stages": 1}, r"stage1.weight is \(4, 3\) there and absent here"),
        ({"optimizer": "SGD"}, "the optimizer is AdamW there and SGD here"),
        (
            {"groups": 1},
            "the optimizer has 4 parameters in 2 groups there and 4 parameters in 1 groups here",
        ),
    ],
)
def test_another_configuration_is_refused(folder: Path, settings, difference: str) -> None:
    training = Training(**settings)
    before = [p.clone() for p in training.model.parameters()]
    with pytest.raises(
        UserError, match=f"model_final.pth is of another configuration: {difference}"
    ):
        training.resume(folder)
    assert all(map(torch.equal, before, training.model.parameters()))


def optimizer_of(content: dict) -> dict:
    return content["trainer"]["_trainer"]["optimizer"]


@pytest.mark.parametrize(
    "edit, words",
    [
        (
            lambda c: optimizer_of(c)["state"][3].pop("exp_avg_sq"),
            "the optimizer lacks {'exp_avg_sq'} of stage1.bias",
        ),
        (
            lambda c: optimizer_of(c)["state"][0].update(exp_avg=torch.zeros(2, 3)),
            r"exp_avg of stage0.weight is \(2, 3\) and not \(4, 3\)",
        ),
        (lambda c: optimizer_of(c)["state"][1].update(step=torch.ones(3)), r"\(3,\) and not \(\)"),
        (lambda c: optimizer_of(c).update(param_groups=[]), "state of the training does not fit"),
        (lambda c: c.pop("trainer"), "lacks 'trainer'; delete it to resume from model_0000000"),
        (lambda c: c["trainer"].pop("_trainer"), "lacks '_trainer'; delete it"),
        (lambda c: c.pop("iteration"), "lacks 'iteration'; delete it"),
        (lambda c: c["trainer"].pop("iteration"), "lacks 'iteration'; delete it"),
        (lambda c: c.update(model=[1]), "lacks parts of its state; delete it"),
    ],
)
def test_a_checkpoint_with_something_missing_is_named(folder: Path, edit, words: str) -> None:
    change(folder / "model_final.pth", edit)
    with pytest.raises(UserError, match=f"checkpoint .*model_final.pth .*{words}"):
        Training().resume(folder)


def test_moments_of_a_generator_behind_sgds_groups_are_compared(tmp_path: Path) -> None:
    training = Training()
    head, generator = (stage.parameters() for stage in training.model.values())
    parts = torch.optim.SGD(head, lr=0.1), torch.optim.Adam(generator, lr=0.1, fused=True)
    training._trainer.optimizer = JointOptimizer(parts)
    training.step()
    training.checkpointer(tmp_path).save("model_final", iteration=0)
    training.resume(tmp_path)
    change(tmp_path / "model_final.pth", lambda c: optimizer_of(c)["state"][2].pop("exp_avg_sq"))
    with pytest.raises(UserError, match="the optimizer lacks {'exp_avg_sq'} of stage1.weight"):
        training.resume(tmp_path)


def test_a_damaged_last_checkpoint_is_named_with_the_one_before(folder: Path, caplog) -> None:
    file = folder / "model_final.pth"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    advice = r"delete it to resume from model_0000000.pth \(iteration=0\)"
    with pytest.raises(UserError, match=f"checkpoint .*model_final.pth cannot be read.*{advice}"):
        checkpoint_to_resume(str(folder))
    file.unlink()  # as the sentence says
    assert checkpoint_to_resume(str(folder)).iteration == 0
    assert "resuming from the newest whole checkpoint, model_0000000.pth" in caplog.text
    training = Training()
    training.resume(folder)
    assert training.iteration == 0


@pytest.mark.parametrize("pointer", [None, b"", b"\xff\x00garbage", b"model_0000007.pth"], ids=str)
def test_a_damaged_pointer_is_mended_with_a_warning(folder: Path, pointer, caplog) -> None:
    file = folder / "last_checkpoint"
    file.unlink() if pointer is None else file.write_bytes(pointer)
    (folder / "model_0000009.pth").write_bytes(b"cut")
    (folder / ".unfinished-1.pth").write_bytes(b"cut")
    with caplog.at_level(logging.WARNING, "zsk"):
        assert checkpoint_to_resume(str(folder)).iteration == 1
    assert "newest whole checkpoint, model_final.pth (iteration=1)" in caplog.text
    assert file.read_text() == "model_final.pth"


def test_no_whole_checkpoint_is_told(folder: Path) -> None:
    for file in folder.glob("*.pth"):
        file.write_bytes(b"cut")
    with pytest.raises(UserError, match="no other checkpoint is whole"):
        checkpoint_to_resume(str(folder))
    (folder / "last_checkpoint").unlink()
    with pytest.raises(
        UserError, match="last_checkpoint is missing, and no checkpoint in .* whole"
    ):
        checkpoint_to_resume(str(folder))


def test_a_write_that_is_interrupted_leaves_the_checkpoints_as_they_were(
    folder: Path, monkeypatch
) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}

    def half(content, path) -> None:
        Path(path).write_bytes(b"PK")
        raise KeyboardInterrupt

    monkeypatch.setattr(resume.torch, "save", half)
    for name in ("model_final", "model_0000002"):
        with pytest.raises(KeyboardInterrupt):
            Training().checkpointer(folder).save(name, iteration=2)
    assert before == {path: path.read_bytes() for path in folder.iterdir()}
