"""Processes that torchrun started, or that Detectron2's launch starts."""

from __future__ import annotations

import multiprocessing
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

import torch
from detectron2.engine import launch
from detectron2.utils import comm
from torch import distributed
from torch.multiprocessing.spawn import ProcessExitedException

from zsk import compat
from zsk.errors import UserError, run_cli

Main = Callable[[Namespace], None]

_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def add_process_options(parser: ArgumentParser) -> None:
    """The options that `run_in_processes` reads."""
    add = parser.add_argument
    add("--num-gpus", type=int, default=1, metavar="N", help="GPUs of this machine; default: 1")
    add("--num-machines", type=int, default=1, metavar="N", help="machines; default: 1")
    rank_help = "the number of this machine, from 0"
    add("--machine-rank", type=int, default=0, metavar="N", help=rank_help)
    url_help = "of several machines, the first one: tcp://first:29500"
    add("--dist-url", default="auto", metavar="URL", help=url_help)
    wait_help = "how long processes wait for one that does not answer; default: 30"
    add("--process-timeout", type=_minutes, default=30.0, metavar="MINUTES", help=wait_help)


def _minutes(text: str) -> float:
    """A number of minutes that a timeout can have, or a ValueError for argparse."""
    minutes = float(text)
    if not 0 < minutes <= 10_000:  # NaN, too
        raise ValueError(text)
    return minutes


_minutes.__name__ = "number of minutes"  # in argparse's message


def launched_by_torchrun() -> bool:
    """Whether torchrun started this process: all of its variables are set."""
    return all(name in os.environ for name in _TORCHRUN)


def run_in_processes(main: Main, args: Namespace) -> None:
    """Run `main(args)` in this process under torchrun, else in those of Detectron2's launch.

    Args:
        main: calls `join_processes` once it knows its device. A function of a module, which started
            processes can import.
        args: with the options of `add_process_options`. Without a GPU there is one process, as with
            num_gpus 1.

    Raises:
        UserError: more GPUs than there are, several machines without a GPU, torchrun together
            with Detectron2's options, or another process ended or does not answer.
        SystemExit: a started process failed and has reported it.
    """
    if launched_by_torchrun():
        if args.num_gpus > 1 or args.num_machines > 1:
            raise UserError(
                f"torchrun started {os.environ['WORLD_SIZE']} processes already: leave out "
                "--num-gpus and --num-machines"
            )
        lost_processes_named()(main)(args)
        # not after a failure: the other processes may never answer, and torchrun ends them
        if distributed.is_initialized():
            distributed.destroy_process_group()
            compat.forget_process_groups()
        return
    try:
        launch(
            _report_mistakes,
            _gpus_to_use(args),
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            args=(main, args),
            timeout=timedelta(minutes=args.process_timeout),
        )
    except ProcessExitedException as error:
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, SystemExit):  # the started processes write a checkpoint first
        for process in multiprocessing.active_children():
            process.terminate()
        raise


@contextmanager
def lost_processes_named() -> Iterator[None]:
    """Turn the error of waiting for another process into a sentence.

    Raises:
        UserError: another process of the training, or a worker of its loader, ended or did not
            answer in time, or weights have no part in the losses.
    """
    try:
        yield
    except RuntimeError as error:
        # neither gloo's errors nor those of the loader have a class of their own
        text = str(error).lower()
        again = "see what was reported before, then start again (a training with --resume)"
        if "finished reduction in the prior iteration" in text:
            raise UserError(
                "some of the trained weights have no part in the losses, which several processes "
                "cannot have: take levels that no head reads out of MODEL.RESNETS.OUT_FEATURES"
            ) from error
        if "dataloader worker" in text:
            raise UserError(
                f"a worker that loads images has ended ({' '.join(str(error).split())}), often for "
                f"want of memory: {again}, with fewer DATALOADER.NUM_WORKERS"
            ) from error
        if comm.get_world_size() == 1 or not (
            "gloo" in text or isinstance(error, distributed.DistError)
        ):
            raise
        late = "timed out" in text or "timeout" in text
        happened = "has not answered in time (--process-timeout)" if late else "has ended"
        raise UserError(
            f"another of the {comm.get_world_size()} processes {happened}, and this one (rank "
            f"{comm.get_rank()}) cannot go on alone: {again}"
        ) from error


def join_processes(device: str, timeout: float) -> None:
    """Under torchrun, connect to the other processes: over NCCL on GPUs, over gloo on CPUs.

    Args:
        device: MODEL.DEVICE; "cuda" becomes the GPU of this process's number on its machine.
        timeout: minutes that a process waits for one that does not answer.

    Raises:
        UserError: one GPU for all processes, more processes than GPUs, processes of Detectron2's
            launch (over NCCL) on the CPU, or processes that do not find each other.
    """
    on_gpu = device.startswith("cuda")
    if on_gpu and device != "cuda" and (launched_by_torchrun() or comm.get_world_size() > 1):
        raise UserError(f"MODEL.DEVICE is {device}, but each process takes its own GPU: give cuda")
    if not launched_by_torchrun():
        if comm.get_world_size() > 1 and not on_gpu:
            raise UserError(
                f"MODEL.DEVICE is {device}, but --num-gpus and --num-machines start processes for "
                "GPUs: start them with torchrun instead"
            )
        return
    try:
        if on_gpu:
            _take_gpu(int(os.environ["LOCAL_RANK"]))
        backend = "nccl" if on_gpu else "gloo"
        distributed.init_process_group(backend, timeout=timedelta(minutes=timeout))
        compat.create_local_process_group(int(os.environ["LOCAL_WORLD_SIZE"]))
    except (ValueError, RuntimeError) as error:  # torch's DistError is a RuntimeError
        settings = ", ".join(f"{name}={os.environ[name]}" for name in _TORCHRUN)
        raise UserError(
            f"the processes do not find each other ({str(error).splitlines()[0]}): check {settings}"
        ) from error
    if not on_gpu:
        compat.allow_distributed_cpu_models()
    comm.synchronize()


def _report_mistakes(main: Main, args: Namespace) -> None:
    """`main` in a started process, whose exceptions would reach the first one as tracebacks."""
    run_cli(partial(lost_processes_named()(main), args))


def _gpus_to_use(args: Namespace) -> int:
    available = torch.cuda.device_count()
    for option, number in (("gpus", args.num_gpus), ("machines", args.num_machines)):
        if number < 1:
            hint = "; MODEL.DEVICE cpu trains on the CPU" if option == "gpus" else ""
            raise UserError(f"--num-{option} {number}: give 1 or more{hint}")
    if args.num_gpus > max(available, 1):
        raise UserError(
            f"--num-gpus {args.num_gpus}, but this machine has {available or 'none'}: give "
            f"--num-gpus {available or 1}"
            + ("" if available else " (the CPU), or start processes on the CPU with torchrun")
        )
    if not available and args.num_machines > 1:
        raise UserError(
            f"--num-machines {args.num_machines} needs GPUs, and this machine has none: start the "
            "processes with torchrun instead"
        )
    if args.num_machines > 1 and args.dist_url == "auto":
        raise UserError(
            f"--num-machines {args.num_machines} needs the address of the first machine: give "
            "--dist-url tcp://first:29500 on each"
        )
    return args.num_gpus if available else 1


def _take_gpu(local_rank: int) -> None:
    available = torch.cuda.device_count()
    if local_rank >= available:
        raise UserError(
            f"torchrun started {os.environ['LOCAL_WORLD_SIZE']} processes on a machine with "
            f"{available} GPUs: give --nproc_per_node {available}, or MODEL.DEVICE cpu"
        )
    torch.cuda.set_device(local_rank)
