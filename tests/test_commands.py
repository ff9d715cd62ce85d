"""The command line `zsk`: which command runs, with which arguments, and what is refused."""

import re
import sys
from types import ModuleType

import pytest
from detectron2.data import MetadataCatalog

import zsk
from zsk import cli
from zsk.cli import train
from zsk.config import default_config
from zsk.errors import UserError
from zsk.load import load_config


@pytest.fixture
def call(monkeypatch):
    """Runs `zsk` with some arguments in this process; gives its exit code."""

    def call(*arguments: str) -> int | None:
        monkeypatch.setattr(sys, "argv", ["zsk", *arguments])
        return cli.run()

    return call


def test_a_command_reads_its_own_arguments(call, monkeypatch) -> None:
    module = ModuleType("fake_command")
    seen = []
    module.main = lambda: seen.append(list(sys.argv)) or 7
    monkeypatch.setitem(sys.modules, "fake_command", module)
    monkeypatch.setitem(cli.COMMANDS, "fake", ("fake_command", "a line of help"))
    assert call("fake", "a.jpg", "--words", "--help") == 7
    assert seen == [["zsk fake", "a.jpg", "--words", "--help"]]


def test_help_and_version(call, capsys) -> None:
    for arguments in ((), ("--help",), ("-h",)):
        assert call(*arguments) == 0
        shown = capsys.readouterr().out
        assert all(f"\n  {name} " in shown for name in cli.COMMANDS)
    assert call("--version") == 0
    assert capsys.readouterr().out == f"zsk {zsk.__version__}\n"


@pytest.mark.parametrize(
    "given, advice",
    [
        ("segmnt", "did you mean 'zsk segment'?"),
        ("photo.jpg", "'zsk --help' lists the commands"),
        ("--words", "'zsk --help' lists the commands"),
    ],
)
def test_no_such_command(call, given: str, advice: str) -> None:
    with pytest.raises(UserError) as refused:
        call(given)
    assert str(refused.value) == f"zsk has no command '{given}': {advice}"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_of_a_command_has_an_example(call, capsys, name: str) -> None:
    with pytest.raises(SystemExit) as end:
        call(name, "--help")
    shown = capsys.readouterr().out
    assert end.value.code == 0 and shown.startswith(f"usage: zsk {name} ")
    assert re.search(rf"^(example: |  )zsk {name}\b", shown, re.MULTILINE)


def test_a_program_may_change_its_working_directory(monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("DETECTRON2_DATASETS", raising=False)
    first = load_config("configs/embedded/zsk_lite2.yaml")
    place = MetadataCatalog.get("voc_zs_val").image_root
    monkeypatch.chdir(tmp_path)
    assert load_config("configs/embedded/zsk_lite2.yaml") == first
    assert MetadataCatalog.get("voc_zs_val").image_root == place


def test_evaluate_is_train_without_training(call, monkeypatch) -> None:
    started = []
    monkeypatch.setattr(train, "run_in_processes", lambda run, args: started.append((run, args)))
    call("evaluate", "--config-file", "a.yaml", "SEED", "1")
    call("train", "--eval-only", "--config-file", "a.yaml", "SEED", "1")
    (run, args), (same, as_train) = started
    assert run is same and vars(args) == vars(as_train) and args.eval_only
    with pytest.raises(SystemExit):
        call("evaluate", "--resume")


def test_an_evaluation_is_of_the_weights_that_are_named(call, capsys) -> None:
    """Detectron2 would evaluate the last checkpoint of OUTPUT_DIR."""
    with pytest.raises(SystemExit):
        call("train", "--eval-only", "--resume")
    assert "--resume: not allowed with argument --eval-only" in capsys.readouterr().err


def test_an_evaluation_on_nothing() -> None:
    with pytest.raises(UserError, match="DATASETS.TEST is empty: name a registered data set"):
        train.evaluate(default_config())


@pytest.mark.slow
def test_processes_of_python_m_zsk_import_it_before_detectron2(run_program, tmp_path) -> None:
    """They get as far as Detectron2's own check, which finds no GPU."""
    two = "import torch\ntorch.cuda.device_count = lambda: 2\n"
    (tmp_path / "sitecustomize.py").write_text(two)
    words = ("-m", "zsk", "train", "--config-file", "configs/embedded/overfit_4_photos.yaml")
    done = run_program(*words, "--num-gpus", 2, PYTHONPATH=tmp_path)
    assert done.returncode and "cuda is not available" in done.stderr, done.stderr[-2000:]
