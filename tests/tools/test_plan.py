"""Which runs a definition's tables need: each training and each evaluation once."""

import shutil
from pathlib import Path

import pytest
from benchmark.accuracy.plan import Plan, supervised_systems
from benchmark.accuracy.rows import Row
from examples import define

from zsk.errors import UserError

MODE = "MODEL.ENSEMBLE.MODE"
STAGES = "MODEL.KERNELS.NUM_STAGES"
PROGRAM = "tools/report.py"  # any that is there


@pytest.fixture
def config(checkout: Path) -> str:
    return str(checkout / "configs" / "voc-11k-15" / "zsk_R101_bs8_40k.yaml")


def test_equal_trainings_are_shared(config: str, tmp_path: Path) -> None:
    """Four stages and the ensemble are the configuration's own: only the head's scores are new."""
    rows = (
        Row("t", "A", config),
        Row("t", "A", config, settings={STAGES: 4}),
        Row("t", "A", config, settings={STAGES: 2}),
        Row("t", "A", config, evaluate={MODE: "ensemble"}),
        Row("t", "A", config, evaluate={MODE: "head"}),
        Row("t", "B", config, evaluate={MODE: "head"}),
    )
    plan = Plan(define(*rows), tmp_path)
    assert len(plan.trials) == 12
    kinds = [job.kind for job in plan.jobs]
    assert kinds.count("train") == 4  # two numbers of stages, two seeds
    assert kinds.count("evaluate") == 2  # the head, two seeds
    first, same, other, again, head, named = plan.trials[::2]
    assert first.train is same.train is first.evaluate is again.evaluate
    assert other.train is not first.train
    assert head.train is first.train and head.evaluate is not first.train
    assert head.evaluate is named.evaluate
    assert head.evaluate.needs == (first.train.folder,)
    words = head.evaluate.arguments
    assert "--eval-only" in words
    weights = words[words.index("MODEL.WEIGHTS") + 1]
    assert weights == str(first.train.folder / "model_final.pth")
    assert plan.jobs.index(first.train) < plan.jobs.index(head.evaluate)
    assert first.dataset == "voc_zs_val" and first.vocabulary.seen.count(False) == 5
    assert supervised_systems(define(*rows)) == set()


def test_iterations_and_settings_change_the_training(config: str, tmp_path: Path) -> None:
    row = Row("t", "A", config)
    short = Plan(define(row, iterations=7), tmp_path)
    assert short.trials[0].cfg.SOLVER.MAX_ITER == 7
    others = (define(row), define(row, settings={"SOLVER.BASE_LR": 0.5}))
    folders = {Plan(other, tmp_path).jobs[0].folder for other in others}
    assert len(folders | {short.jobs[0].folder}) == 3


def test_rows_with_fewer_seeds_and_untrained_ones(config: str, tmp_path: Path) -> None:
    rows = (
        Row("t", "A", config),
        Row("t", "B", config, seeds=1),
        Row("t", "C", config, trained=False, settings={MODE: "clip"}),
    )
    *trials, untrained = Plan(define(*rows), tmp_path).trials
    assert [(t.row.system, t.seed) for t in trials] == [("A", 1), ("A", 2), ("B", 1)]
    assert untrained.train is None and untrained.evaluate.kind == "evaluate"
    assert "MODEL.WEIGHTS" not in untrained.evaluate.arguments


def test_preparations_are_shared_and_named_by_their_words(
    config: str, tmp_path: Path, checkout: Path
) -> None:
    words = (PROGRAM, "{config}", "{seed}", "{clip}.pt", "{output}.pth")
    settings = {"MODEL.WEIGHTS": "{prompts}.pth"}
    row = Row("t", "A", config, settings=settings, prepare={"prompts": words})

    def plan_with(*clip: str) -> Plan:
        definition = define(row, prepare={"clip": clip}, settings={"MODEL.CLIP.NAME": "{clip}.pt"})
        return Plan(definition, tmp_path)

    plan = plan_with(PROGRAM, "-o", "{output}.pt")
    kinds = [job.kind for job in plan.jobs]
    assert kinds == ["prepare", "prepare", "train", "prepare", "train"]
    shared, first, train, second, _ = plan.jobs
    assert shared.program == checkout / PROGRAM
    assert shared.arguments == ("-o", f"{shared.folder}/clip.pt")
    assert first.arguments[:3] == (config, "1", f"{shared.folder}/clip.pt")
    assert second.arguments[1] == "2" and second.folder != first.folder
    assert train.needs == (shared.folder, first.folder)
    assert shared.needs == () and first.needs == second.needs == (shared.folder,)
    cfg = plan.trials[0].cfg
    assert cfg.MODEL.CLIP.NAME == f"{shared.folder}/clip.pt"
    assert cfg.MODEL.WEIGHTS == f"{first.folder}/prompts.pth"

    other = plan_with(PROGRAM, "--steps", "9", "-o", "{output}.pt")
    assert not {job.folder for job in other.jobs} & {job.folder for job in plan.jobs}


def test_a_preparation_is_found_again_from_another_checkout(config: str, tmp_path: Path) -> None:
    root = Path(config).parents[1]
    copied = shutil.copytree(root, tmp_path / "configs") / Path(config).relative_to(root)
    folders = set()
    for place in (config, str(copied)):
        prepare = {"prompts": (PROGRAM, "{config}", "{output}.pth")}
        plan = Plan(define(Row("t", "A", place, prepare=prepare)), tmp_path)
        folders.add(plan.jobs[0].folder)
        assert plan.jobs[0].arguments[0] == place
    assert len(folders) == 1


def test_an_evaluation_waits_for_what_it_alone_needs(config: str, tmp_path: Path) -> None:
    evaluate = {"MODEL.CLIP.PROMPT_WEIGHTS": "{prompts}.pth"}
    prepare = {"prompts": (PROGRAM, "{output}.pth")}
    rows = (Row("t", "A", config), Row("t", "B", config, evaluate=evaluate, prepare=prepare))
    plan = Plan(define(*rows, seeds=(1,)), tmp_path)
    train, prompts, evaluation = plan.jobs
    assert [job.kind for job in plan.jobs] == ["train", "prepare", "evaluate"]
    assert train.needs == () and set(evaluation.needs) == {train.folder, prompts.folder}


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"settings": {"MODEL.NO_SUCH": 1}}, ["MODEL.NO_SUCH"]),
        ({"settings": {"MODEL.WEIGHTS": "{nothing}"}}, ["{nothing}", "known are work, seed"]),
        ({"prepare": {"x": ("tools/none.py", "{output}")}}, ["prepare.x", "tools/none.py"]),
        ({"settings": {"DATASETS.TEST": "('voc_zs_val','photos_zs_val')"}}, ["DATASETS.TEST"]),
    ],
)
def test_a_mistake_names_the_row(config: str, tmp_path: Path, changes, words) -> None:
    with pytest.raises(UserError) as error:
        Plan(define(Row("t", "A", config, **changes)), tmp_path)
    for word in ("table t, row 'A'", *words):
        assert word in str(error.value)
