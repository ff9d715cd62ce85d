"""Processes that torchrun started, or that Detectron2's launch starts."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Callable
from functools import partial

import torch
from detectron2.engine import launch
from detectron2.engine.launch import DEFAULT_TIMEOUT
from detectron2.utils import comm
from torch import distributed
from torch.multiprocessing.spawn import ProcessExitedException

from zsk import compat
from zsk.errors import UserError, run_cli

Main = Callable[[Namespace], None]

_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def launched_by_torchrun() -> bool:
    """Whether torchrun started this process: all of its variables are set."""
    return all(name in os.environ for name in _TORCHRUN)


def run_in_processes(main: Main, args: Namespace) -> None:
    """Run `main(args)` in this process under torchrun, else in those of Detectron2's launch.

    Args:
        main: calls `join_processes` once it knows its device. A function of a module, which started
            processes can import.
        args: of Detectron2's argument parser: num_gpus, num_machines, machine_rank, dist_url.
            Without a GPU there is one process, as with num_gpus 1.

    Raises:
        UserError: more GPUs than there are, several machines without a GPU, or torchrun together
            with Detectron2's options.
        SystemExit: a started process failed and has reported it.
    """
    if launched_by_torchrun():
        if args.num_gpus > 1 or args.num_machines > 1:
            raise UserError(
                f"torchrun started {os.environ['WORLD_SIZE']} processes already: leave out "
                "--num-gpus and --num-machines"
            )
        main(args)
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
        )
    except ProcessExitedException as error:
        sys.exit(error.exit_code)


def join_processes(device: str) -> None:
    """Under torchrun, connect to the other processes: over NCCL on GPUs, over gloo on CPUs.

    Args:
        device: MODEL.DEVICE; "cuda" becomes the GPU of this process's number on its machine.

    Raises:
        UserError: more processes than GPUs, or processes of Detectron2's launch (over NCCL) on the
            CPU.
    """
    on_gpu = device.startswith("cuda")
    if not launched_by_torchrun():
        if comm.get_world_size() > 1 and not on_gpu:
            raise UserError(
                f"MODEL.DEVICE is {device}, but --num-gpus and --num-machines start processes for "
                "GPUs: start them with torchrun instead"
            )
        return
    if on_gpu:
        _take_gpu(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=DEFAULT_TIMEOUT)
    compat.create_local_process_group(int(os.environ["LOCAL_WORLD_SIZE"]))
    if not on_gpu:
        compat.allow_distributed_cpu_models()
    comm.synchronize()


def _report_mistakes(main: Main, args: Namespace) -> None:
    """`main` in a started process, whose exceptions would reach the first one as tracebacks."""
    run_cli(partial(main, args))


def _gpus_to_use(args: Namespace) -> int:
    available = torch.cuda.device_count()
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
    return args.num_gpus if available else 1


def _take_gpu(local_rank: int) -> None:
    available = torch.cuda.device_count()
    if local_rank >= available:
        raise UserError(
            f"torchrun started {os.environ['LOCAL_WORLD_SIZE']} processes on a machine with "
            f"{available} GPUs: give --nproc_per_node {available}, or MODEL.DEVICE cpu"
        )
    torch.cuda.set_device(local_rank)
