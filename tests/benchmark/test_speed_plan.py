"""What is measured, how often, and in which turns."""

import pytest

from zsk.benchmark import speed_cases as cases
from zsk.benchmark.speed_plan import GROUPS, Extent, plan, trained_point
from zsk.benchmark.speed_setup import PHOTOS_OF_A_FOLDER, QUICK, existing_file, photo_files
from zsk.errors import UserError


def full_plan(*groups: str, half: bool = False) -> list[cases.Turns]:
    trained = [trained_point("c.yaml", ["A", "b"], ["p"], Extent())]
    return plan(Extent(), "clip.pt", trained, half, groups or list(GROUPS))


def points(turns) -> list[cases.Point]:
    return [point for one in turns for point in one.points]


def test_the_full_plan_has_what_the_issue_asks_for() -> None:
    listed = points(full_plan())
    values = {m: [p.settings[m] for p in listed if p.measure == m] for m in cases.GROWTH}
    assert values[cases.PROPOSALS] == [25, 50, 100, 200, 400, 25, 50, 100]  # then with crops
    assert values[cases.NAMES] == [20, 200, 2000]
    assert values[cases.SIDE] == [256, 512, 1024, 2048]
    assert values[cases.STAGES] == [0, 1, 2, 3, 4, 5, 6]
    assert listed[0].reference == listed[0].cases[0].variant and listed[0].cases[0].published
    assert listed[0].cases[0].photo == (512, 680)
    assert len({point.key() for point in listed}) == len(listed)
    batches = [p for p in listed if p.measure == cases.BATCHES]
    assert [(p.settings["batch"], p.cases[0].photo) for p in batches] == [
        (1, (375, 500)), (8, (375, 500))
    ]  # fmt: skip


def test_whatever_a_bar_rests_on_has_three_runs() -> None:
    barred = {
        cases.INFERENCE: (cases.REFERENCE, cases.ONE_PASS),
        cases.TRAINED: (cases.REFERENCE, cases.PRUNED),
        cases.TRAIN: (cases.QUERIES, cases.KERNELS),
        cases.PROPOSALS: (cases.ONE_PASS,),
        cases.NAMES: (cases.ONE_PASS,),
    }
    found = [
        case.repeats
        for point in points(full_plan())
        for case in point.cases
        if case.variant in barred.get(point.measure, ())
    ]
    assert len(found) == 2 + 2 + 2 + 5 + 3 and min(found) == 3


def test_curves_take_turns_and_meet() -> None:
    """17 one-pass cases for 19 points; the crops of 100 proposals are those of the main table."""
    main, *_, one_pass, crops = full_plan()
    assert len(one_pass.points) == 19 and len(one_pass.cases()) == 17
    assert crops.cases()[2] == main.cases()[1]
    assert crops.cases()[0].opts[-2:] == ("MODEL.KERNELS.NUM_KERNELS", "25")


def test_groups_can_be_chosen_and_keep_their_order() -> None:
    assert [turns.group for turns in full_plan("growth", "heads")] == [
        "heads", "heads", "growth", "growth"
    ]  # fmt: skip
    assert {turns.group for turns in full_plan()} == set(GROUPS)


def test_a_trained_model_is_pruned_too() -> None:
    (point,) = points(full_plan("trained"))
    assert [case.variant for case in point.cases] == [
        cases.REFERENCE, cases.CROP, cases.PRUNED, cases.ONE_PASS
    ]  # fmt: skip
    assert all(case.opts[:2] == ("A", "b") and case.trained for case in point.cases)
    assert "MODEL.CLIP.PRUNE.TOLERANCE" not in point.cases[2].opts  # the configuration's own
    assert point.settings == {"config": "c", "photos": 1}
    assert trained_point("a/run/config.yaml", [], [], Extent()).settings["config"] == "run"


def test_half_doubles_the_cases_but_not_the_reference() -> None:
    point = points(full_plan("inference", half=True))[0]
    assert [case.half for case in point.cases] == [False] * 3 + [True] * 3
    assert point.reference == cases.REFERENCE
    assert len({case.variant for case in point.cases}) == 6
    assert all(case.repeats >= 3 for case in point.cases)  # nothing is slow there


def test_quick_has_every_measure() -> None:
    quick = {point.measure for point in points(plan(QUICK, "c", [], False, list(GROUPS)))}
    assert quick == {point.measure for point in points(full_plan())} - {cases.TRAINED}


def test_photos_of_a_folder_and_samples(tmp_path) -> None:
    for i in range(20):
        (tmp_path / f"{i:02}.png").touch()
    listed = photo_files([str(tmp_path)])
    assert len(listed) == PHOTOS_OF_A_FOLDER and listed[1] == str(tmp_path / "01.png")
    assert [name.rpartition("/")[2] for name in photo_files([])] == ["chelsea.png", "coffee.png"]
    with pytest.raises(UserError, match="none.png does not exist"):
        photo_files(["none.png"])


def test_files_are_found_from_the_checkout(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert existing_file("Makefile") == str(cases.ROOT / "Makefile")
    with pytest.raises(UserError, match="none.yaml does not exist"):
        existing_file("none.yaml")
