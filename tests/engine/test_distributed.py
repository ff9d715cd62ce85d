"""How processes are told apart and started; tests/e2e runs two of them."""

import os
import socket
from argparse import ArgumentParser
from pathlib import Path

import pytest
import torch
from detectron2.engine import defaults
from detectron2.utils import comm
from torch import distributed

from zsk.engine.distributed import (
    add_process_options,
    join_processes,
    launched_by_torchrun,
    lost_processes_named,
    run_in_processes,
)
from zsk.errors import UserError

TASKS = Path("/proc/self/task")


def arguments(*options):
    parser = ArgumentParser()
    add_process_options(parser)
    return parser.parse_args(options)


@pytest.fixture
def torchrun(monkeypatch):
    """The variables of the only process of a `torchrun --nproc_per_node 1`."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    settings = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1}
    for name, value in {**settings, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}.items():
        monkeypatch.setenv(name, str(value))
    # what joining changes is put back
    monkeypatch.setattr(comm, "_LOCAL_PROCESS_GROUP", None)
    monkeypatch.setattr(defaults, "create_ddp_model", defaults.create_ddp_model)
    yield
    if distributed.is_initialized():
        distributed.destroy_process_group()


@pytest.fixture
def without_torchrun(monkeypatch):
    for name in ("WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RANK", "3")  # other schedulers set it too
    assert not launched_by_torchrun()


def gpus(monkeypatch, count):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def gloo_threads():
    names = [(task / "comm").read_text() for task in TASKS.glob("*")]  # none where this is no Linux
    return [name for name in names if "gloo" in name]


def test_torchruns_process_joins_over_gloo_and_leaves_no_thread(torchrun):
    """At the interpreter's end, threads of a process group would meet one half taken apart."""
    seen = []

    def main(args):
        join_processes("cpu", timeout=30)
        seen.append((distributed.get_backend(), comm.get_local_rank(), comm.get_local_size()))
        model = torch.nn.Linear(1, 1)
        assert defaults.create_ddp_model(model) is model  # one process
        comm._get_global_gloo_group()  # what evaluation gathers over; Detectron2 remembers it
        assert gloo_threads() or not TASKS.is_dir()

    run_in_processes(main, arguments())
    assert seen == [("gloo", 0, 1)] and not distributed.is_initialized()
    assert not gloo_threads()


@pytest.mark.parametrize("option", ["--num-gpus", "--num-machines"])
def test_torchrun_and_detectron2s_options_exclude_each_other(torchrun, option):
    with pytest.raises(UserError, match="torchrun started 1 processes already"):
        run_in_processes(print, arguments(option, "2"))


@pytest.mark.parametrize(
    "available, given, message",
    [
        (2, "--num-gpus 3", ", but this machine has 2"),
        (0, "--num-gpus 2", ", but this machine has none: give --num-gpus 1 .the CPU"),
        (1, "--num-gpus 0", ": give 1 or more"),
        (1, "--num-gpus -1", ": give 1 or more"),
        (1, "--num-machines 0", ": give 1 or more"),
        (0, "--num-machines 2", " needs GPUs"),
        (1, "--num-machines 2", " needs the address of the first machine"),
    ],
)
def test_what_detectron2_cannot_launch(without_torchrun, monkeypatch, available, given, message):
    gpus(monkeypatch, available)
    with pytest.raises(UserError, match=given + message):
        run_in_processes(print, arguments(*given.split()))


def test_more_processes_than_gpus(torchrun, monkeypatch):
    gpus(monkeypatch, 1)
    monkeypatch.setitem(os.environ, "LOCAL_RANK", "1")
    monkeypatch.setitem(os.environ, "LOCAL_WORLD_SIZE", "2")
    with pytest.raises(UserError, match="started 2 processes on a machine with 1 GPUs"):
        join_processes("cuda", timeout=30)


def test_one_gpu_for_all_processes(torchrun):
    with pytest.raises(UserError, match="MODEL.DEVICE is cuda:1, but each process takes its own"):
        join_processes("cuda:1", timeout=30)


def test_processes_for_gpus_do_not_compute_on_the_cpu(without_torchrun, monkeypatch):
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    with pytest.raises(UserError, match="MODEL.DEVICE is cpu"):
        join_processes("cpu", timeout=30)


@pytest.mark.parametrize(
    "raised, sentence",
    [
        ("[third_party/gloo/pair.cc:534] Connection closed by peer", "another of .* has ended"),
        ("[third_party/gloo/x.cc:81] Timed out waiting 1ms", "not answered .*--process-timeout"),
        ("Expected to have finished reduction in the prior iteration", "that no head reads out of"),
        ("DataLoader worker (pid 7) is killed by signal: Killed.", "fewer DATALOADER.NUM_WORKERS"),
    ],
)
def test_a_lost_process_is_a_sentence(monkeypatch, raised, sentence):
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    with pytest.raises(UserError, match=sentence), lost_processes_named():
        raise RuntimeError(raised)


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="size mismatch"), lost_processes_named():
        raise RuntimeError("size mismatch")


def test_processes_that_do_not_find_each_other(torchrun, monkeypatch):
    monkeypatch.setitem(os.environ, "MASTER_PORT", "abc")
    with pytest.raises(UserError, match="do not find each other .*MASTER_PORT=abc"):
        join_processes("cpu", timeout=30)


@pytest.mark.parametrize("minutes", ["nan", "inf", "0", "-1", "soon"])
def test_a_timeout_that_cannot_be(minutes, capsys):
    with pytest.raises(SystemExit) as end:
        arguments("--process-timeout", minutes)
    assert end.value.code == 2
    assert "--process-timeout: invalid number of minutes" in capsys.readouterr().err
