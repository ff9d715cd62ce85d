"""Fixtures that every part of the tests shares."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import zsk  # noqa: F401  isort: skip  (first: it makes Detectron2 importable for the tests)
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from prepare_synthetic import render_world
from tiny_clip import save_tiny_clip

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def seeded() -> None:
    np.random.seed(0)  # of Detectron2's augmentations and of random views
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def empty_catalogs() -> Iterator[None]:
    """No data set is registered when the test starts; afterwards the catalogs are as before.

    Reading a configuration registers data sets.
    """
    saved = [(catalog, dict(catalog)) for catalog in (DatasetCatalog, MetadataCatalog)]
    for catalog, _ in saved:
        catalog.clear()
    yield
    for catalog, content in saved:
        catalog.clear()
        catalog.update(content)


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing in the user's cache is read or written, by the programs that tests run neither."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZSK_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def ctrl_c() -> None:
    """A shell that starts the tests in the background has switched Ctrl-C off for its children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def checkout() -> Path:
    return CHECKOUT


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of an OpenAI CLIP of two layers; no test may change the file."""
    return save_tiny_clip(tmp_path_factory.mktemp("clip") / "tiny_clip.pt")


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DETECTRON2_DATASETS with 30 scenes of each part of the synthetic world: all classes occur."""
    root = tmp_path_factory.mktemp("datasets")
    render_world(root / "synthetic", limit=30)
    return root


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of labelled photos, or a skip that says where it was looked for."""
    folder = Path(os.environ.get("ZSK_REAL_DATA", CHECKOUT.parent / "shared" / "data"))
    if not (folder / "coco" / "train2017").is_dir():
        pytest.skip(f"the labelled photos are not there (ZSK_REAL_DATA, {folder})")
    return folder


@pytest.fixture(scope="session")
def program_server() -> Iterator["subprocess.Popen[str]"]:
    """See program_server.py."""
    command = [sys.executable, "-c", "import program_server as s; s.preload(); s.serve()"]
    path = os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "tests")])
    env = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as server:
        yield server
        server.stdin.close()


@pytest.fixture(scope="session")
def run_program(
    program_server: "subprocess.Popen[str]", tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run a program of the checkout as a user would; output is captured, nothing is asserted."""
    folder = tmp_path_factory.mktemp("programs")

    def run(*args: object, **env: object) -> "subprocess.CompletedProcess[str]":
        argv = list(map(str, args))
        environment = {**os.environ, "OMP_NUM_THREADS": "2", **{k: str(v) for k, v in env.items()}}
        if not argv[0].endswith(".py"):  # python -m, python -c
            command = [sys.executable, *argv]
            return subprocess.run(
                command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=540
            )
        outputs = {name: folder / name for name in ("stdout", "stderr")}
        for file in outputs.values():
            file.write_text("")
        files = {name: str(file) for name, file in outputs.items()}
        job = {"argv": argv, "env": environment, "cwd": str(CHECKOUT), **files}
        print(json.dumps(job), file=program_server.stdin, flush=True)
        code = int(program_server.stdout.readline())
        texts = {name: file.read_text() for name, file in outputs.items()}
        return subprocess.CompletedProcess(argv, code, **texts)

    return run
