"""Which runs a definition's tables need: each training and each evaluation once."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import pytest
from benchmark.accuracy.plan import Plan
from benchmark.accuracy.rows import Row, Start
from benchmark.accuracy.runs import Job
from examples import define

from zsk.errors import UserError
from zsk.protocol import INDUCTIVE, LEAK, TRANSDUCTIVE

MODE = "MODEL.ENSEMBLE.MODE"
STAGES = "MODEL.KERNELS.NUM_STAGES"
PROGRAM = "tools/report.py"  # any that is there


@pytest.fixture
def config(checkout: Path) -> str:
    return str(checkout / "configs" / "voc-11k-15" / "zsk_R101_bs8_40k.yaml")


def test_equal_trainings_are_shared(config: str, tmp_path: Path) -> None:
    """Four stages are the configuration's own: only the head's scores are new."""
    rows = (
        Row("t", "A", config, settings={STAGES: 4}),
        Row("t", "A", config, settings={STAGES: 2}),
        Row("t", "A", config, evaluate={MODE: "head"}),
        Row("t", "B", config, evaluate={MODE: "head"}),
        Row("t", "C", config, trained=False, settings={MODE: "clip"}),
        Row("t", "D", config, seeds=1, settings={"SOLVER.BASE_LR": 0.5}),
    )
    plan = Plan(define(*rows, iterations=7), tmp_path)
    kinds = [job.kind for job in plan.jobs]
    assert kinds.count("train") == 5  # two numbers of stages with two seeds, another rate with one
    assert kinds.count("evaluate") == 3  # the head with two seeds, the untrained one
    first, other, head, named = plan.trials[:8:2]
    assert other.train is not first.train is first.evaluate
    assert head.train is first.train and head.evaluate is named.evaluate
    assert head.evaluate.needs == (first.train.folder,)
    words = head.evaluate.arguments
    weights = words[words.index("MODEL.WEIGHTS") + 1]
    assert "--eval-only" in words and weights == str(first.train.folder / "model_final.pth")
    assert first.cfg.SOLVER.MAX_ITER == 7
    assert first.dataset == "voc_zs_val" and first.vocabulary.seen.count(False) == 5
    untrained, once = plan.trials[8:]
    assert untrained.train is None and "MODEL.WEIGHTS" not in untrained.evaluate.arguments
    assert (once.row.system, once.seed) == ("D", 1)


def test_a_training_starts_from_the_weights_of_another(config: str, tmp_path: Path) -> None:
    """It is shared with the row that is it, seed by seed; the table's settings hold for both."""
    common = {"INPUT.RECOLOR": 0.25}
    rows = (
        Row("t", "B", config, common=common, start=Start(config), settings={STAGES: 3}),
        Row("t", "A", config, common=common),
        Row("t", "C", config, common=common, start=Start(config, {STAGES: 2}), seeds=1),
        Row("t", "C", config, common=common, start=Start(config), evaluate={MODE: "head"}, seeds=1),
    )
    plan = Plan(define(*rows, iterations=7), tmp_path)
    kinds = [job.kind for job in plan.jobs]
    # A with two seeds, B with two, what C starts from first, two of C
    assert (kinds.count("train"), kinds.count("evaluate")) == (7, 1)
    b, b2, a, a2, c, head = plan.trials
    for started, origin in ((b, a), (b2, a2), (head, a)):
        assert started.train is not None and origin.train is not None
        assert started.train.needs == (origin.train.folder,)
        assert weights_of(started.train) == str(origin.train.folder / "model_final.pth")
        assert plan.jobs.index(origin.train) < plan.jobs.index(started.train)
    assert weights_of(head.evaluate) == str(head.train.folder / "model_final.pth")
    (folder,) = c.train.needs
    (origin,) = (job for job in plan.jobs if job.folder == folder)
    assert origin.name.endswith(f"{STAGES} 2, seed 1, where C starts")
    for words in (origin.arguments, a.train.arguments, b.train.arguments):
        assert words[words.index("INPUT.RECOLOR") + 1] == "0.25"
        assert words[words.index("SOLVER.MAX_ITER") + 1] == "7"


def test_a_row_as_trained_and_as_it_is_are_not_mixed_up(config: str, tmp_path: Path) -> None:
    rows = Row("t", "after", config), Row("t", "before", config, trained=False)
    for order in (rows, rows[::-1]):
        with pytest.raises(UserError, match=f"row '{order[1].system}'.*same settings.* other not"):
            Plan(define(*order), tmp_path)


def test_the_key_of_a_configuration_has_neither_seed_nor_place(config: str, tmp_path: Path) -> None:
    """But all that decides a training, the one that it starts from, and the evaluation."""

    def key(work: str, row: Row | None = None, **changes) -> set[str]:
        row = row or Row("t", "A", config, settings={"OUTPUT_DIR": "{work}/{seed}"})
        plan = Plan(define(row, **{"iterations": 8, **changes}), tmp_path / work)
        return {trial.configuration for trial in plan.trials}

    first = key("ä")
    assert len(first) == 1 and key("b") == first  # two seeds each
    start = Row("t", "A", config, settings={"SOLVER.MAX_ITER": 2}, start=Start(config))
    prepared = Row("t", "A", config, prepare={"x": (PROGRAM, "{output}")})
    others = [
        *(key("a", iterations=9), key("a", settings={"SOLVER.BASE_LR": 0.5})),
        *(key("a", Row("t", "A", config, evaluate={MODE: "head"})), key("a", prepared)),
        *(key("a", start), key("a", start, iterations=9)),
    ]
    assert len({tuple(one) for one in [first, *others]}) == 7


def test_what_starts_from_another_training_has_no_stricter_protocol(
    checkout: Path, tmp_path: Path
) -> None:
    config = str(checkout / "configs" / "voc-11k-15" / "zs3_R101_bs8_60k.yaml")
    pseudo, leak = {"SELF_TRAINING.ENABLED": True}, {"DATASETS.LEAK_UNSEEN_LAYOUT": True}
    rows = [Row("t", "A", config), Row("t", "B", config, settings=pseudo, start=Start(config))]
    rows += [Row("t", "C", config, start=Start(config, own)) for own in (pseudo, {})]
    rows += [Row("t", "D", config, settings=leak)]
    rows += [Row("t", "E", config, settings=pseudo, start=Start(config, leak))]
    plans = Plan(define(*rows, seeds=(1,)), tmp_path)
    expected = [INDUCTIVE, TRANSDUCTIVE, TRANSDUCTIVE, INDUCTIVE, LEAK, LEAK]
    assert [trial.protocol for trial in plans.trials] == expected


def weights_of(job: Job) -> str:
    """MODEL.WEIGHTS on its command line: the last one holds."""
    words = job.arguments
    return words[len(words) - words[::-1].index("MODEL.WEIGHTS")]


def test_preparations_are_shared_and_named_by_their_words(config: str, tmp_path: Path) -> None:
    words = (PROGRAM, "{config}", "{seed}", "{clip}.pt", "{output}.pth")
    settings = {"MODEL.WEIGHTS": "{prompts}.pth"}

    def plan_with(*clip: str, config: str = config) -> Plan:
        row = Row("t", "A", config, settings=settings, prepare={"prompts": words})
        clip_settings = {"MODEL.CLIP.NAME": "{clip}.pt"}
        return Plan(define(row, prepare={"clip": clip}, settings=clip_settings), tmp_path)

    plan = plan_with(PROGRAM, "-o", "{output}.pt")
    assert [job.kind for job in plan.jobs] == ["prepare", "prepare", "train", "prepare", "train"]
    shared, first, train, second, _ = plan.jobs
    assert shared.arguments == ("-o", f"{shared.folder}/clip.pt")
    assert first.arguments[:3] == (config, "1", f"{shared.folder}/clip.pt")
    assert second.arguments[1] == "2" and second.folder != first.folder
    assert train.needs == (shared.folder, first.folder) and first.needs == (shared.folder,)
    cfg = plan.trials[0].cfg
    assert cfg.MODEL.CLIP.NAME == f"{shared.folder}/clip.pt"
    assert cfg.MODEL.WEIGHTS == f"{first.folder}/prompts.pth"

    assert not shared.elsewhere and plan_with(PROGRAM, "--all").jobs[0].elsewhere

    folders = {job.folder for job in plan.jobs}
    other = plan_with(PROGRAM, "--steps", "9", "-o", "{output}.pt")
    assert not {job.folder for job in other.jobs} & folders
    root = Path(config).parents[1]
    copied = shutil.copytree(root, tmp_path / "configs") / Path(config).relative_to(root)
    moved = plan_with(PROGRAM, "-o", "{output}.pt", config=str(copied))
    assert {job.folder for job in moved.jobs} == folders  # found again from another checkout
    assert moved.jobs[1].arguments[0] == str(copied)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"settings": {"MODEL.NO_SUCH": 1}}, ["MODEL.NO_SUCH"]),
        ({"settings": {"SOLVER.BASE_LR": None}}, ["SOLVER.BASE_LR is None"]),
        (
            {"evaluate": {"MODEL.ENSEMBLE": {"MODE": "head"}}},
            ["MODEL.ENSEMBLE is {'MODE': 'head'}"],
        ),
        ({"settings": {"MODEL.WEIGHTS": "{nothing}"}}, ["{nothing}", "known are work, seed"]),
        ({"prepare": {"x": ("tools/none.py", "{output}")}}, ["prepare.x", "tools/none.py"]),
        ({"settings": {"DATASETS.TEST": "('voc_zs_val','photos_zs_val')"}}, ["DATASETS.TEST"]),
    ],
)
def test_a_mistake_names_the_row(config: str, tmp_path: Path, changes, words) -> None:
    with pytest.raises(UserError) as error:
        Plan(define(Row("t", "A", config, **changes)), tmp_path)
    assert "command-line" not in str(error.value)
    for word in ("table t, row 'A'", *words):
        assert word in str(error.value)


def test_a_mistake_names_the_file_of_the_definition(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    file, config = tmp_path / "t.yaml", checkout / "configs/synthetic/zsk.yaml"
    row = {"system": "A", "config": str(config), "settings": {"MODEL.NOPE": 1}}
    file.write_text(json.dumps({"tables": {"t": {"rows": [row]}}}))
    program = str(checkout / "tools" / "benchmark_accuracy.py")
    options = ["--definition", str(file), "--work", str(tmp_path / "work")]
    monkeypatch.setattr(sys, "argv", [program, *options])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(program, run_name="__main__")
    error = capsys.readouterr().err
    assert left.value.code == 2
    assert error.startswith(f"error: {file}: table t, row 'A'") and "MODEL.NOPE" in error
