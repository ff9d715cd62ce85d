#!/usr/bin/env python
"""Trainings that are killed, stopped and starved, and whether the results survive it.

python tools/fault_injection.py --output output/faults

A small model is trained on a few scenes of the synthetic world: once without a fault for each
number of processes and loader workers, then with faults and `--resume`. The resumed weights have to
be equal bit for bit. The faults without an end of training have to end in one sentence.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

# a checkout works as it is, without being installed
CHECKOUT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "datasets")]

import torch  # noqa: E402
from prepare_synthetic import render_world  # noqa: E402

from zsk.errors import UserError, run_cli  # noqa: E402

CONFIG = "configs/synthetic/zsk.yaml"
OPTIONS = """
    SOLVER.MAX_ITER 24 SOLVER.CHECKPOINT_PERIOD 4 TEST.EVAL_PERIOD 8 SOLVER.IMS_PER_BATCH 4
    INPUT.MIN_SIZE_TRAIN (64,80,96) INPUT.MAX_SIZE_TRAIN 96 INPUT.MIN_SIZE_TEST 64
    INPUT.CROP.ENABLED True INPUT.CROP.TYPE absolute INPUT.CROP.SIZE [64,64]
    INPUT.COLOR_AUG_SSD True INPUT.SIZE_DIVISIBILITY 64 MODEL.DEVICE cpu
    MODEL.CLIP.NAME embedded MODEL.ENSEMBLE.MODE head
""".split()
SETTINGS = ((1, 0), (1, 2), (1, 4), (2, 2))  # processes, loader workers of each
PATIENCE = 300.0  # seconds for any training
PEER_PATIENCE = 60.0  # seconds in which a process has to notice that another one is gone


@dataclass
class Training:
    """One started training: its processes, and what they print."""

    output: Path
    processes: int = 1
    workers: int = 0
    file_limit: int | None = None  # bytes that a file may have: a full disk
    seconds: float = 0.0  # that it took
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return f"{self.processes} processes, {self.workers} loader workers"

    def sibling(self, name: str) -> Training:
        """One with as many processes and workers, not started."""
        return Training(self.output.with_name(name), self.processes, self.workers)

    @property
    def log(self) -> Path:
        return self.output.with_suffix(".txt")

    def start(self, *flags: str) -> Training:
        port = str(random.randint(20000, 60000))
        self.log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "train_net.py", "--config-file", CONFIG, *flags, *OPTIONS]
        command += ["DATALOADER.NUM_WORKERS", str(self.workers), "OUTPUT_DIR", str(self.output)]
        self.started = []
        for rank in range(self.processes):
            env = {**os.environ, "OMP_NUM_THREADS": "1"}
            if self.processes > 1:  # as torchrun does it, which would end the peers by itself
                size = str(self.processes)
                env |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": size}
                env |= {"LOCAL_WORLD_SIZE": size, "MASTER_ADDR": "localhost", "MASTER_PORT": port}
            with open(self.log, "w" if rank == 0 else "a") as log:
                self.started.append(
                    subprocess.Popen(
                        command,
                        cwd=CHECKOUT,
                        env=env,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                        preexec_fn=self._limit if self.file_limit else None,
                    )
                )
        return self

    def _limit(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.file_limit or 0, self.file_limit or 0))

    def wait(self, seconds: float = PATIENCE) -> list[int]:
        """Exit codes; a process that does not end in time is killed and counts as -9."""
        end = time.monotonic() + seconds
        for process in self.started:
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.kill()
        return [process.wait() for process in self.started]

    def kill(self) -> None:
        """kill -9 of all processes and their loader workers."""
        for process in self.started:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for process in self.started:
            process.wait()

    def until(self, happened: Callable[[], bool]) -> bool:
        """Wait until something happened; False when the training ended before."""
        end = time.monotonic() + PATIENCE
        while all(process.poll() is None for process in self.started) and time.monotonic() < end:
            if happened():
                return True
            time.sleep(0.0005)
        return False

    def reach_training(self) -> None:
        self.until(lambda: "Starting training" in self.printed())
        time.sleep(1.0)

    def printed(self) -> str:
        return self.log.read_text(errors="replace")

    def weights(self) -> dict[str, torch.Tensor]:
        return torch.load(self.output / "model_final.pth", weights_only=True)["model"]


class Report:
    """Counts and prints what held."""

    def __init__(self) -> None:
        self.failed = 0

    def line(self, fault: str, held: bool, what: str) -> None:
        self.failed += not held
        print(f"{'held  ' if held else 'FAILED'}  {fault}: {what}", flush=True)


def same_weights(first: Training, second: Training) -> bool:
    one, other = first.weights(), second.weights()
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def finish(training: Training, reference: Training, report: Report, fault: str) -> None:
    """Resume to the end, and compare with the training without faults."""
    codes = training.start("--resume").wait()
    if any(codes):
        report.line(fault, False, f"resuming ended with {codes}: {last_line(training)}")
        return
    equal = same_weights(training, reference)
    report.line(fault, equal, "weights are equal bit for bit" if equal else "weights differ")


def killed(reference: Training, kills: int, report: Report, rng: random.Random) -> None:
    """kill -9 at random moments of start-up, training, evaluation and end."""
    training = reference.sibling(f"killed-{reference.processes}-{reference.workers}")
    done, equal = 0, True
    while done < kills:
        training.start("--resume")
        moment = time.monotonic() + rng.uniform(0.1, 1.0) * reference.seconds
        training.until(lambda: time.monotonic() > moment)
        if any(process.poll() is None for process in training.started):
            done += 1
            training.kill()
        else:  # it got to its end between the kills, and the next one begins
            equal = equal and not any(training.wait()) and same_weights(training, reference)
            shutil.rmtree(training.output)
    fault = f"{done} kills at random moments, {reference.kind}"
    if not equal:
        report.line(fault, False, "a training that ended between the kills differs")
    finish(training, reference, report, fault)


def killed_while_writing(reference: Training, kills: int, report: Report) -> None:
    """kill -9 while a checkpoint is being written."""
    training = reference.sibling("killed-writing")
    done = 0
    for _ in range(kills):
        training.start("--resume")
        done += training.until(lambda: any(training.output.glob(".unfinished-*")))
        training.kill()
    finish(training, reference, report, f"{done} kills while a checkpoint is written")


def stopped(reference: Training, report: Report, number: signal.Signals, code: int) -> None:
    """A polite signal in the middle of training: a checkpoint, a sentence, an exit code."""
    fault = f"{number.name}, {reference.kind}"
    name = f"{number.name}-{reference.processes}-{reference.workers}"
    training = reference.sibling(name).start()
    training.reach_training()
    for process in training.started:
        process.send_signal(number)
    codes = training.wait()
    report.line(fault, set(codes) == {code}, f"exit codes {codes}: {last_line(training)}")
    finish(training, reference, report, f"{fault}, resumed")


def ends_in_a_sentence(
    fault: str, training: Training, report: Report, seconds: float = PATIENCE
) -> None:
    codes = training.wait(seconds)
    printed = training.printed()
    held = all(codes) and -9 not in codes[:1] and "Traceback" not in printed
    report.line(fault, held and "error: " in printed, f"exit {codes}: {last_line(training)}")


def last_line(training: Training) -> str:
    lines = [line for line in training.printed().splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""


def faults_that_end_training(root: Path, report: Report) -> None:
    full = Training(root / "disk-full", file_limit=5_000_000).start()
    ends_in_a_sentence("a full disk", full, report)

    starved = Training(root / "worker-killed", workers=2).start()
    starved.reach_training()
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(starved.started[0].pid)], capture_output=True, text=True
    )
    os.kill(int(children.stdout.split()[-1]), signal.SIGKILL)
    ends_in_a_sentence("a loader worker is killed", starved, report)

    for fault, number, flags in (
        ("one of two processes is killed", signal.SIGKILL, ()),
        ("one of two processes is suspended", signal.SIGSTOP, ["--process-timeout", "0.3"]),
    ):
        pair = Training(root / f"peer-{number.name}", processes=2).start(*flags)
        pair.reach_training()
        pair.started[1].send_signal(number)
        ends_in_a_sentence(fault, pair, report, PEER_PATIENCE)
        pair.kill()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("output/faults"))
    parser.add_argument("--kills", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--write-kills", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the moments; default: %(default)s")
    args = parser.parse_args()
    # a shell that starts this in the background has switched Ctrl-C off for its children
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if args.output.exists() and any(args.output.iterdir()):
        raise UserError(f"--output {args.output} is not empty: give a new folder")
    root = args.output.resolve()
    os.environ["DETECTRON2_DATASETS"] = str(root / "datasets")
    render_world(root / "datasets" / "synthetic", limit=30)
    report, rng = Report(), random.Random(args.seed)
    for number, (processes, workers) in enumerate(SETTINGS):
        began = time.monotonic()
        reference = Training(root / f"straight-{processes}-{workers}", processes, workers).start()
        if any(reference.wait()):
            raise UserError(f"the training without faults failed: {last_line(reference)}")
        reference.seconds = time.monotonic() - began
        print(f"        {reference.kind}: {reference.seconds:.0f} s without a fault", flush=True)
        share = args.kills // len(SETTINGS) + (number < args.kills % len(SETTINGS))
        killed(reference, share, report, rng)
        stopped(reference, report, signal.SIGTERM, 143)
        if processes == 1 and workers == 0:
            stopped(reference, report, signal.SIGINT, 130)
            killed_while_writing(reference, args.write_kills, report)
    faults_that_end_training(root, report)
    return int(report.failed > 0)


if __name__ == "__main__":
    run_cli(main)
