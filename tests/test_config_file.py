"""Configuration files that cannot be read: one sentence with the file, and nothing is executed."""

import os
from pathlib import Path

import pytest

from zsk.data.builtin import datasets_root
from zsk.errors import UserError
from zsk.files import user_path
from zsk.load import load_config


def write(folder: Path, text: str | bytes, name: str = "config.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def message_of(path: Path, *opts: str) -> str:
    with pytest.raises(UserError) as raised:
        load_config(str(path), opts)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "it holds no keys"),
        ("- 1", "it holds no keys"),
        ("a word", "it holds no keys"),
        ("_BASE_: config.yaml", "its _BASE_ leads back to itself"),
        ("_BASE_: 3", "_BASE_ is 3, but has to be a path"),
        ("_BASE_: none.yaml", "_BASE_ names {}/none.yaml, which does not exist"),
        ("_BASE_: [other.yaml, none.yaml]", "_BASE_ names {}/none.yaml, which does not exist"),
        ("MODEL:", "MODEL is None, but has to be a section of keys"),
        ("MODEL: {KERNELS: }", "MODEL.KERNELS is None, but has to be a section of keys"),
        ("MODEL: {CLIP: {NAME: {A: 1}}}", "MODEL.CLIP.NAME is A: 1, but has to be a text"),
        ("MODEL: {WEIGHTS: }", "MODEL.WEIGHTS is None"),
        ("MODEL: {KERNELS: {DIM: wide}}", "MODEL.KERNELS.DIM is wide, but has to be a whole num"),
        ("MODEL: {1: 2}", "the key MODEL.1 is no word"),
        ("MODEL: {KERNEL: 2}", "Non-existent config key: MODEL.KERNEL"),
        ("VERSION: two", "VERSION is 'two', but has to be 2"),
        ("SEED: 1\nSEED: 2", "key SEED occurs twice"),
        ("MODEL:\n  A: [1\nSEED: 2", "cannot be read as YAML: line 3, column 5: expected ','"),
        (b"OUTPUT_DIR: \xe4", "it is not encoded in UTF-8"),
        ("SEED: 1".encode("utf-16"), "it is not encoded in UTF-8"),
        ("A: " + "[" * 600, "nested too deeply"),
        ("MODEL: &self {KERNELS: *self}", "nested too deeply"),
        ("OUTPUT_DIR: !!python/object/apply:os.mkdir [{}/made]", "line 1, column 13: could not"),
        ("OUTPUT_DIR: !!binary aGk=", "Key OUTPUT_DIR with value"),
    ],
)
def test_a_mistake_names_the_file(tmp_path: Path, text: str | bytes, words: str) -> None:
    write(tmp_path, "SEED: 1", "other.yaml")
    if isinstance(text, str) and "{}" in text:
        text = text.format(tmp_path)
    path = write(tmp_path, text)
    message = message_of(path)
    assert message.startswith(f"config file {path}: ") and words.format(tmp_path) in message
    assert not (tmp_path / "made").exists()


def test_the_file_of_a_base_is_named(tmp_path: Path) -> None:
    write(tmp_path, "SEED: [", "base.yaml")
    assert message_of(write(tmp_path, "_BASE_: base.yaml")).startswith(
        f"config file {tmp_path}/base.yaml: it cannot be read as YAML"
    )
    write(tmp_path, "_BASE_: b.yaml", "a.yaml")
    write(tmp_path, "_BASE_: a.yaml", "b.yaml")
    assert "its _BASE_ leads back to itself" in message_of(tmp_path / "a.yaml")


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        assert message_of(path) == f"config file {path}: it is no regular file"
    assert "does not exist" in message_of(tmp_path / "none.yaml")


def test_bases_are_merged_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of another folder, of the home folder, and several; the file itself comes last."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    write(tmp_path, "SEED: 1\nMODEL: {KERNELS: {DIM: 32, NUM_HEADS: 4}}", "home/first.yaml")
    write(tmp_path, "SEED: 2\nMODEL: {KERNELS: {DIM: 64}}", "sub/second.yaml")
    bases = "_BASE_: [~/first.yaml, ../sub/second.yaml]\n"
    path = write(tmp_path, bases + "MODEL: {KERNELS: {NUM_KERNELS: 9}}", "own/config.yaml")
    cfg = load_config(str(write(tmp_path, f"_BASE_: {path}")))
    kernels = cfg.MODEL.KERNELS
    assert (cfg.SEED, kernels.DIM, kernels.NUM_HEADS, kernels.NUM_KERNELS) == (2, 64, 4, 9)


def test_weights_lie_beside_the_file_that_names_them(tmp_path: Path) -> None:
    clip = "{PROMPT: learned, PROMPT_WEIGHTS: a.pth, REGION_PROMPT: learned, "
    clip += "REGION_PROMPT_WEIGHTS: a.pth}"
    write(tmp_path, "MODEL: {WEIGHTS: a.pth, CLIP: " + clip + "}", "base/base.yaml")
    (tmp_path / "base/a.pth").touch()
    path = write(tmp_path, "_BASE_: ../base/base.yaml", "own/config.yaml")
    (tmp_path / "own/a.pth").touch()  # another file, which nothing names
    model = load_config(str(path)).MODEL
    found = {model.WEIGHTS, model.CLIP.PROMPT_WEIGHTS, model.CLIP.REGION_PROMPT_WEIGHTS}
    assert found == {str(tmp_path / "base/a.pth")}
    write(tmp_path, "MODEL: {WEIGHTS: a.pth}\n_BASE_: ../base/base.yaml", "own/config.yaml")
    assert load_config(str(path)).MODEL.WEIGHTS == str(tmp_path / "own/a.pth")
    for name in ("", "none.pth"):  # which is not there
        text = f'MODEL: {{WEIGHTS: "{name}"}}\n_BASE_: ../base/base.yaml'
        write(tmp_path, text, "own/config.yaml")
        assert load_config(str(path)).MODEL.WEIGHTS == name


def test_the_home_folder_in_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path, "OUTPUT_DIR: ~/out\nMODEL: {WEIGHTS: ~/a.pth}")
    cfg = load_config("~/config.yaml", ["MODEL.CLIP.NAME", "~/c.pt"])
    found = cfg.OUTPUT_DIR, cfg.MODEL.WEIGHTS, cfg.MODEL.CLIP.NAME
    assert found == tuple(f"{tmp_path}/{name}" for name in ("out", "a.pth", "c.pt"))
    monkeypatch.setenv("DETECTRON2_DATASETS", "~/data")
    assert datasets_root() == f"{tmp_path}/data"
    assert user_path("~/photo.jpg") == tmp_path / "photo.jpg"


def test_odd_files_that_are_read(tmp_path: Path) -> None:
    """A byte order mark, a date, a merge key, and a file of Detectron2's first version."""
    text = "\ufeffOUTPUT_DIR: 2024-05-06\nMODEL: {CLIP: &c {PROMPT: vild}, ENSEMBLE: {LAMBDA: 0.5}}"
    cfg = load_config(str(write(tmp_path, text)))
    assert (cfg.OUTPUT_DIR, cfg.MODEL.CLIP.PROMPT) == ("2024-05-06", "vild")
    merged = "SOLVER:\n  AMP: &off {ENABLED: False}\n  CLIP_GRADIENTS: {<<: *off}"
    assert not load_config(str(write(tmp_path, merged))).SOLVER.CLIP_GRADIENTS.ENABLED
    old = load_config(str(write(tmp_path, "VERSION: 1\nMODEL: {WEIGHT: a.pth}")))
    assert old.MODEL.WEIGHTS == "a.pth"


@pytest.mark.parametrize(
    "text, words",
    [
        (
            "MODEL:\n  KERNELS: {DIM: 010}",
            "line 2: YAML reads 010 as the number 8: write 8, or '010'",
        ),
        ("SEED: 1:30", "line 1: YAML reads 1:30 as the number 90: write 90, or '1:30' in quotes"),
        ("SEED: 1_000", "line 1: YAML reads 1_000 as the number 1000"),
        ("SEED: 0x1F", "line 1: YAML reads 0x1F as the number 31"),
        ("OUTPUT_DIR: 190:20:30.15", "line 1: YAML reads 190:20:30.15 as the number 685230.15"),
        ("OUTPUT_DIR: off", "OUTPUT_DIR is False, but has to be a text"),
        ("SEED: yes", "SEED is True, but has to be a whole number"),
        ("SEED: .inf", "SEED is inf, but has to be a whole number"),
        ("SEED: !!int x", "it cannot be read as YAML (invalid literal for int()"),
    ],
)
def test_a_number_is_what_is_written(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path, text)
    assert message_of(path).startswith(f"config file {path}: {words}")


def test_numbers_that_are_read(tmp_path: Path) -> None:
    text = (
        "SEED: +3\nSOLVER: {BASE_LR: 1e-4, WARMUP_FACTOR: .5, WEIGHT_DECAY: 1.0E-2, NESTEROV: off}"
    )
    cfg = load_config(str(write(tmp_path, text)))
    solver = cfg.SOLVER
    assert (cfg.SEED, solver.BASE_LR, solver.WARMUP_FACTOR) == (3, 1e-4, 0.5)
    assert (solver.WEIGHT_DECAY, solver.NESTEROV) == (0.01, False)


@pytest.mark.parametrize(
    "opts, words",
    [
        (["SEED", "010"], "SEED is 010, but has to be a whole number"),
        (["SEED", "1:30"], "SEED is 1:30, but has to be a whole number"),
        (["SEED"], "SEED has no value: give KEY VALUE pairs"),
        (["TEST.TILES", "SEED", "1"], "options: TEST.TILES has no value: give KEY VALUE pairs"),
        (["TEST.AUG.MIN_SIZES", "32", "48"], "48 has no value: give KEY VALUE pairs, and a list "),
        (["MODEL.KERNELS", "3"], "MODEL.KERNELS is 3, but has to be a section of keys"),
        (["MODEL.ENSEMBLE.LAMBDA", "1"], "is 1, but has to be a number such as 1.0"),
        (["MODEL.WEIGHTS.X", "1"], "Non-existent key: MODEL.WEIGHTS.X"),
        (["_BASE_", "x"], "can only be used in files"),
    ],
)
def test_options_that_cannot_be_read(tmp_path: Path, opts: list[str], words: str) -> None:
    message = message_of(write(tmp_path, "SEED: 1"), *opts)
    assert message.startswith("command-line options: ") and words in message
