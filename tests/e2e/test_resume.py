"""Stopped and resumed: the same weights, the settings given now, signals, lost processes."""

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from zsk.errors import UserError

CONFIG = "configs/voc-11k-15/zs_maskformer_R101_bs8_40k.yaml"  # its decoder has dropout
SPNET = "configs/voc-11k-15/spnet_R101_bs10_20k.yaml"
JOEM = "configs/voc-11k-15/joem_R101_bs24_22k.yaml"
ZS3 = "configs/voc-11k-15/zs3_R101_bs8_60k.yaml"  # the checkpoint is at the change of its phases
SIGN = "configs/voc-11k-15/sign_R101_bs8_46k.yaml"
TURNS = ["MODEL.SYNTHESIS.START", "1", "MODEL.SYNTHESIS.PERIOD", "1"]  # each in four iterations
SMALL = {
    **{"NUM_QUERIES": 8, "DIM": 32, "NUM_LAYERS": 2, "DIM_FEEDFORWARD": 32},
    **{"CONV_DIM": 32, "MASK_DIM": 32},
}


@pytest.fixture
def words(small_options: list[str]) -> list[str]:
    small = [str(w) for key, n in SMALL.items() for w in (f"MODEL.MASK_FORMER.{key}", n)]
    often = ["TEST.PROPOSAL_RECALL", "False", "SOLVER.CHECKPOINT_PERIOD", "2"]
    return [*small_options, *small, *often]


@pytest.fixture
def train(train_here, words: list[str]):
    """`zsk train` in this process; returns the log."""

    def run(output: Path, *arguments: object, config: str = CONFIG, words=words) -> str:
        train_here(config, *words, "OUTPUT_DIR", output, *arguments)
        return (output / "log.txt").read_text()

    return run


def go_back_to(output: Path, name: str) -> None:
    """As if the training had been killed after that checkpoint."""
    (output / "last_checkpoint").write_text(name)
    (output / "model_final.pth").unlink()


def weights(output: Path, name: str = "model_final.pth") -> dict[str, torch.Tensor]:
    return torch.load(output / name, weights_only=True)["model"]


def assert_identical(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert not [key for key in one if not torch.equal(one[key], other[key])]


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "workers, seed, config",
    [
        (2, -1, CONFIG),
        pytest.param(0, 1, CONFIG, marks=SLOW),
        pytest.param(4, 1, CONFIG, marks=SLOW),
        pytest.param(2, 1, SPNET, marks=SLOW),
        pytest.param(0, 1, JOEM, marks=SLOW),
        pytest.param(0, 1, ZS3, marks=SLOW),
        pytest.param(2, 1, SIGN, marks=SLOW),
    ],
)
def test_a_resumed_training_gives_the_same_bits(
    train, words, small_options, tmp_path: Path, workers, seed, config
) -> None:
    """From a checkpoint at an evaluation, with random views and dropout; workers change nothing.

    A drawn SEED (-1) stays the one of the checkpoint.
    """
    options = ("SOLVER.MAX_ITER", 4, "TEST.EVAL_PERIOD", 2, "SEED", seed)
    small = [*small_options, "SOLVER.CHECKPOINT_PERIOD", "2"]
    if config == ZS3:
        small += ["MODEL.SYNTHESIS.START", "2"]
    small += TURNS if config == SIGN else []
    system = {"config": config, "words": words if config == CONFIG else small}
    train(tmp_path, *options, "DATALOADER.NUM_WORKERS", workers, **system)
    wanted = weights(tmp_path)
    go_back_to(tmp_path, "model_0000001.pth")
    log = train(tmp_path, "--resume", *options, **system)
    assert "Starting training from iteration 2" in log and "settings other than" not in log
    assert_identical(weights(tmp_path), wanted)


def test_schedule_and_rates_are_those_given_now(train, tmp_path: Path) -> None:
    train(tmp_path, "SOLVER.MAX_ITER", 2)
    with pytest.raises(UserError, match="holds an earlier training .*model_final.pth.*--resume"):
        train(tmp_path, "SOLVER.MAX_ITER", 2)
    given = ("SOLVER.MAX_ITER", 4, "SOLVER.BASE_LR", 0.5, "SOLVER.IMS_PER_BATCH", 4)
    log = train(tmp_path, "--resume", *given, "SOLVER.WARMUP_ITERS", 0)
    for change in ("BASE_LR 0.5 (was 0.0001)", "MAX_ITER 4 (was 2)", "IMS_PER_BATCH 4 (was 2)"):
        assert f"SOLVER.{change}" in log
    lines = [json.loads(line) for line in (tmp_path / "metrics.json").read_text().splitlines()]
    rates = {line["iteration"]: line["lr"] for line in lines if "lr" in line}
    power = 0.9  # of the polynomial schedule: iteration 3 of 4
    assert rates[3] == pytest.approx(0.5 * 0.25**power)
    # the same again: nothing to train, so the model is evaluated
    before = weights(tmp_path)
    log = train(tmp_path, "--resume", *given)
    assert "the training of 4 iterations has finished (SOLVER.MAX_ITER is 4)" in log
    assert_identical(weights(tmp_path), before)
    # the configuration stays the one of the checkpoints
    config = (tmp_path / "config.yaml").read_bytes()
    with pytest.raises(UserError, match="model_final.pth is of another configuration"):
        train(tmp_path, "--resume", *given, "MODEL.MASK_FORMER.NUM_QUERIES", 12)
    assert (tmp_path / "config.yaml").read_bytes() == config


def test_the_best_checkpoint_stays_beside_the_last(train, tmp_path: Path) -> None:
    options = ("TEST.EVAL_PERIOD", 1, "TEST.BEST_METRIC", "pAcc", "SOLVER.BASE_LR", 0.01)
    log = train(tmp_path, *options, "SOLVER.MAX_ITER", 4)
    kept = torch.load(tmp_path / "model_best.pth", weights_only=True)
    highest = max(evaluations(tmp_path).values())
    assert (kept["best"]["metric"], kept["best"]["value"]) == ("pAcc", pytest.approx(highest))
    assert f"pAcc {highest:.2f} after iteration {kept['iteration']} is the best so far" in log
    assert (tmp_path / "last_checkpoint").read_text() == "model_final.pth"
    # a resumed run has to surpass it
    kept["best"]["value"] = 100.0
    torch.save(kept, tmp_path / "model_best.pth")
    log = train(tmp_path, "--resume", *options, "SOLVER.MAX_ITER", 5)
    assert "model_best.pth stays the one with 100.00" in log


@pytest.mark.parametrize(
    "options, message",
    [
        (("TEST.BEST_METRIC", "hiou", "TEST.EVAL_PERIOD", 2), "'hiou', which no .* choose hIoU, "),
        (
            ("TEST.BEST_METRIC", "hIoU", "TEST.EVAL_PERIOD", 0),
            "BEST_METRIC hIoU needs .*give TEST.EVAL_PERIOD",
        ),
    ],
)
def test_a_best_metric_that_cannot_be(train, tmp_path: Path, options, message: str) -> None:
    with pytest.raises(UserError, match=message):
        train(tmp_path, *options)


TRAINER = "zsk.engine.trainer.Trainer"
# of SIGTERM or Ctrl-C: what is called then, and the checkpoint that is there afterwards
MOMENTS = {
    "iteration": (signal.SIGTERM, f"{TRAINER}.run_step", "model_0000000.pth"),
    "checkpoint": (signal.SIGINT, "torch.save", "model_0000001.pth"),
    "evaluation": (signal.SIGTERM, f"{TRAINER}.test", "model_0000000.pth"),
}


def test_a_signal_at_any_moment_leaves_a_checkpoint(train, tmp_path: Path, monkeypatch) -> None:
    """The evaluation that it cuts short, or keeps from beginning, is made up for."""
    options = ("SOLVER.MAX_ITER", 3, "TEST.EVAL_PERIOD", 1, "TEST.BEST_METRIC", "pAcc")
    train(tmp_path / "whole", *options)
    for moment, (number, called, last) in MOMENTS.items():
        output = tmp_path / moment
        with monkeypatch.context() as patch, pytest.raises(SystemExit) as stopped:
            send_when_called(patch, called, number)
            train(output, *options)
        assert stopped.value.code == {signal.SIGTERM: 143, signal.SIGINT: 130}[number]
        assert (output / "last_checkpoint").read_text() == last
        told = f"stopped by {number.name} after iteration {int(last[6:13])}: --resume goes on from"
        assert told in (output / "log.txt").read_text()
        log = train(output, "--resume", *options)
        assert_identical(weights(output), weights(tmp_path / "whole"))
        assert f"the evaluation after iteration {int(last[6:13])} is made up for" in log
        assert evaluations(output) == evaluations(tmp_path / "whole")
        assert best(output) == best(tmp_path / "whole")


def evaluations(output: Path) -> dict[int, float]:
    """Iteration -> pAcc, each logged once."""
    lines = [json.loads(line) for line in (output / "metrics.json").read_text().splitlines()]
    found = [(line["iteration"], line["sem_seg/pAcc"]) for line in lines if "sem_seg/pAcc" in line]
    assert len(dict(found)) == len(found)
    return dict(found)


def best(output: Path) -> dict:
    content = torch.load(output / "model_best.pth", weights_only=True)
    return {"iteration": content["iteration"], **content["best"]}


def send_when_called(patch: pytest.MonkeyPatch, name: str, number: signal.Signals) -> None:
    """The first call of a function sends a signal to this process before it does its work."""
    *path, attribute = name.split(".")
    owner = functools.reduce(getattr, path[1:], sys.modules[path[0]])
    original = getattr(owner, attribute)

    def send_and_call(*arguments: object, **options: object) -> object:
        patch.undo()
        os.kill(os.getpid(), number)
        return original(*arguments, **options)

    patch.setattr(owner, attribute, send_and_call)


@pytest.mark.slow
@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_two_processes_stop_together_and_go_on_exactly(start, tmp_path: Path, number, code) -> None:
    """One of them gets the signal. Both have workers, and draw dropout and views of their own."""
    options = ("SOLVER.MAX_ITER", 30, "DATALOADER.NUM_WORKERS", 2, "TEST.EVAL_PERIOD", 20)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert end(start(whole, *options)) == [0, 0]
    processes = start(stopped, *options)
    wait_for(stopped / "model_0000003.pth", processes)
    processes[1].send_signal(number)
    assert end(processes) == [code, code], printed(stopped)
    last = (stopped / "last_checkpoint").read_text()
    assert 2 < int(last[6:13]) < 29
    assert f"stopped by {number.name} after iteration {int(last[6:13])}" in printed(stopped)
    assert end(start(stopped, "--resume", *options)) == [0, 0]
    assert_identical(weights(stopped), weights(whole))


@pytest.mark.slow
@pytest.mark.parametrize(
    "number, sentence",
    [(signal.SIGKILL, "has ended"), (signal.SIGSTOP, "has not answered in time")],
)
def test_a_process_without_its_peer_ends_with_a_sentence(
    start, tmp_path: Path, number: signal.Signals, sentence: str
) -> None:
    processes = start(tmp_path / "out", "--process-timeout", 0.4, "SOLVER.MAX_ITER", 100000)
    wait_for(tmp_path / "out" / "model_0000001.pth", processes)
    processes[1].send_signal(number)
    assert processes[0].wait(60) == 2
    assert f"error: another of the 2 processes {sentence}" in printed(tmp_path / "out")


@pytest.fixture
def start(checkout: Path, voc_root: Path, words: list[str]):
    """Start two processes of a training without torchrun, which would end one after the other."""
    started: list[subprocess.Popen[bytes]] = []

    def run(output: Path, *arguments: object) -> "list[subprocess.Popen[bytes]]":
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        split = next(i for i, word in enumerate(arguments) if str(word)[0].isupper())
        line = ["train_net.py", "--config-file", CONFIG, *arguments[:split], *words]
        line += ["OUTPUT_DIR", output, *arguments[split:]]
        settings = {"DETECTRON2_DATASETS": voc_root, "OMP_NUM_THREADS": 1, "MASTER_PORT": port}
        settings |= {"MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
        for rank in range(2):
            values = {**settings, "RANK": rank, "LOCAL_RANK": rank}
            env = {**os.environ, **{key: str(value) for key, value in values.items()}}
            command = [sys.executable, *map(str, line)]
            with open(output.with_suffix(".txt"), "a") as log:
                process = subprocess.Popen(command, cwd=checkout, env=env, stdout=log, stderr=log)
            started.append(process)
        return started[-2:]

    yield run
    for process in started:
        process.kill()
        process.wait()


def wait_for(file: Path, processes: "list[subprocess.Popen[bytes]]") -> None:
    end = time.monotonic() + 240
    while not file.is_file() and time.monotonic() < end:
        assert all(process.poll() is None for process in processes), printed(file.parent)
        time.sleep(0.05)
    assert file.is_file()


def end(processes: "list[subprocess.Popen[bytes]]") -> list[int]:
    return [process.wait(400) for process in processes]


def printed(output: Path) -> str:
    return output.with_suffix(".txt").read_text()
