"""Runs programs of the checkout in copies of a process that has imported torch and Detectron2.

The imports take longer than most programs of the tests. So this process imports once and forks for
every line on stdin: {"argv", "env", "cwd", "stdout", "stderr"} as JSON. The copy runs argv[0] as
`python argv[0] …` would; its exit code is written to stdout, a line each.
"""

import atexit
import json
import os
import runpy
import signal
import sys
import traceback
from pathlib import Path
from typing import NoReturn

TIMEOUT = 540  # seconds


def preload() -> None:
    """Import what nearly every program needs."""
    import zsk  # noqa: F401  isort: skip  (first: it makes Detectron2 importable)
    import scipy.optimize  # noqa: F401

    import zsk.cli.train  # noqa: F401


def run(job: dict) -> NoReturn:
    """Become the program."""
    for descriptor, path in ((0, os.devnull), (1, job["stdout"]), (2, job["stderr"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), descriptor)
    sys.stdin = open(0, closefd=False)
    signal.alarm(TIMEOUT)
    os.environ.clear()
    os.environ.update(job["env"])
    os.chdir(job["cwd"])
    import torch

    torch.set_num_threads(int(job["env"]["OMP_NUM_THREADS"]))
    sys.argv = job["argv"]
    sys.path[0] = str(Path(job["argv"][0]).resolve().parent)
    code = 0
    try:
        runpy.run_path(job["argv"][0], run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the interpreter's own end would copy the memory of all modules


def serve() -> None:
    """Answer one line after the other until stdin ends."""
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            run(json.loads(line))
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
