"""What a training is checked for before it starts."""

import pytest

from zsk.config import default_config
from zsk.engine.start_checks import check_solver, scaled
from zsk.errors import UserError


def of_one_process(**solver):
    """A configuration for one process, of 4 images."""
    cfg = default_config()
    cfg.SOLVER.REFERENCE_WORLD_SIZE, cfg.SOLVER.IMS_PER_BATCH = 1, 4
    for key, value in solver.items():
        cfg.SOLVER[key] = value
    return cfg


def test_eight_processes_take_an_eighth_of_the_iterations():
    found = scaled(of_one_process(MAX_ITER=800, BASE_LR=0.5, CHECKPOINT_PERIOD=80), 8)
    assert (found.SOLVER.MAX_ITER, found.SOLVER.IMS_PER_BATCH) == (100, 32)
    assert (found.SOLVER.BASE_LR, found.SOLVER.CHECKPOINT_PERIOD) == (4.0, 10)


@pytest.mark.parametrize(
    "solver, evaluations, words",
    [
        ({"CHECKPOINT_PERIOD": 4}, 0, "CHECKPOINT_PERIOD is 0"),
        ({}, 4, "TEST.EVAL_PERIOD 4 becomes 0"),
        (
            {"LR_SCHEDULER_NAME": "WarmupMultiStepLR", "STEPS": (300, 799), "MAX_ITER": 800},
            *(0, "SOLVER.STEPS .* has SOLVER.MAX_ITER 100"),
        ),
    ],
)
def test_what_rounding_leaves_is_checked(solver, evaluations, words):
    cfg = of_one_process(**solver)
    cfg.TEST.EVAL_PERIOD = evaluations
    assert scaled(cfg, 1) == cfg
    with pytest.raises(UserError, match=f"REFERENCE_WORLD_SIZE 1 with 8 processes: .*{words}"):
        scaled(cfg, 8)


def test_a_configuration_of_one_process_is_taken_as_it_is():
    cfg = of_one_process()
    cfg.INPUT.CROP.TYPE = "relative_range"  # Detectron2's own, in a file that a training wrote
    assert scaled(cfg, 1) is cfg


def test_a_warm_up_that_does_not_end_is_told(caplog):
    for warm_up in (9, 10):
        check_solver(of_one_process(WARMUP_ITERS=warm_up, MAX_ITER=10, REFERENCE_WORLD_SIZE=0))
    (message,) = caplog.messages
    assert "never reaches SOLVER.BASE_LR: SOLVER.WARMUP_ITERS is 10" in message
