"""Cases are built, run and counted: tiny models."""

from dataclasses import replace

import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn

from zsk.benchmark import speed_cases as cases
from zsk.benchmark.speed_device import megabytes, peak_mb, reset_peak
from zsk.benchmark.speed_flops import count_flops, gigaflops
from zsk.benchmark.speed_setup import QUICK, clip_weights
from zsk.benchmark.speed_subjects import build_subject
from zsk.errors import UserError


@pytest.fixture(scope="module")
def points(tmp_path_factory) -> dict[str, cases.Point]:
    """The first point of every measure."""
    clip, random = clip_weights(True, tmp_path_factory.mktemp("clip"))
    assert random
    listed = cases.plan(QUICK, clip, [], half=False)
    return {point.measure: point for point in reversed(listed)}


def test_crops_are_counted_and_parts_add_up(points) -> None:
    reference, crop, _, one_pass = points[cases.INFERENCE].cases
    for case, crops in ((reference, 6), (crop, 6), (one_pass, 0)):
        run = build_subject(case).run()
        assert run["crops"] == crops
        assert {"backbone", "proposals", "text", "CLIP", "post-processing"} == set(run["parts"])
        # parts of one run that do not overlap: together they cannot take longer
        assert 0 < sum(run["parts"].values()) <= run["seconds"]


def test_the_published_way_does_more_arithmetic_than_one_pass(points) -> None:
    reference, crop, _, one_pass = points[cases.INFERENCE].cases
    subject = build_subject(crop)
    none, six = gigaflops(subject, 0), gigaflops(subject, 6)
    alone = torch.zeros(1, 3, 32, 32)
    one = count_flops(lambda: subject.encoder.encode_image(alone)) / 1e9
    assert six == pytest.approx(none + 6 * one)
    assert gigaflops(build_subject(one_pass), 0) > none


def test_a_training_step_changes_weights_and_counts_its_way_back(points) -> None:
    subject = build_subject(points[cases.TRAIN].cases[1])
    before = [p.clone() for p in subject.model.sem_seg_head.parameters()]
    run = subject.run()
    assert run["parts"] == {} and run["seconds"] > 0
    assert any(not p.equal(b) for p, b in zip(subject.model.sem_seg_head.parameters(), before))
    model, records = subject.model, subject.records
    with torch.no_grad():
        forward = count_flops(lambda: model(records)) / 1e9
    assert gigaflops(subject, 0) > 2 * forward


def test_the_head_alone(points) -> None:
    subject = build_subject(points[cases.HEAD].cases[1])
    assert subject.run()["parts"] == {}
    assert gigaflops(subject, 0) < gigaflops(build_subject(points[cases.STAGES].cases[0]), 0)


def test_names_come_from_the_warm_cache(points, tmp_path, monkeypatch) -> None:
    """Rows on the disk are random ones of the right shape; the text tower is left alone."""
    monkeypatch.setenv("ZSK_CACHE_DIR", str(tmp_path))
    subject = build_subject(points[cases.NAMES].cases[0])
    assert len(list(tmp_path.rglob("*.npy"))) == 1
    assert count_flops(subject.step) == pytest.approx(gigaflops(subject, 0) * 1e9)


def test_parameters_include_clip_once(points) -> None:
    subject = build_subject(points[cases.STAGES].cases[0])
    clip = subject.encoder.network("clip")
    own = sum(p.numel() for p in subject.model.parameters())
    assert sum(p.numel() for p in subject.parameters()) == own + sum(
        p.numel() for p in clip.parameters()
    )
    assert megabytes([torch.zeros(250_000)]) == 1.0


def test_another_architecture_is_refused(points) -> None:
    opts = ("MODEL.META_ARCHITECTURE", "PerPixelNet", "MODEL.SEM_SEG_HEAD.NAME", "TextFCNHead")
    case = points[cases.STAGES].cases[0]
    with pytest.raises(UserError, match="PerPixelNet"):
        build_subject(replace(case, opts=(*case.opts, *opts)))


def test_flops_by_hand_and_as_fvcore_counts_them() -> None:
    """A 3x3 convolution from 2 to 4 channels on 5x6, and a layer of 7: 2 per multiply-add."""
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Linear(6, 7)).eval()
    image = torch.randn(1, 2, 5, 6)
    expected = 2 * (5 * 6 * 4 * 2 * 9 + 4 * 5 * 6 * 7)
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            assert count_flops(lambda: model(image)) == expected
    assert 2 * FlopCountAnalysis(model, image).unsupported_ops_warnings(False).total() == expected


def test_attention_counts() -> None:
    """3 queries, 5 keys, width 8: projections of 3, 5, 5 and 3 tokens, and 2 products of 3·5·8."""
    attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    queries, keys = torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    with torch.no_grad():
        counted = count_flops(lambda: attention(queries, keys, keys, need_weights=False))
    assert counted == 2 * (2 * 3 * 64 + 2 * 5 * 64 + 2 * 3 * 5 * 8)


def test_the_peak_grows_with_what_is_allocated() -> None:
    reset_peak()
    before = peak_mb()
    block = torch.ones(50_000_000)  # 200 MB
    assert peak_mb() - before > 150
    del block
    assert peak_mb() - before > 150  # it is the highest, not the present one


def test_the_full_plan_has_what_the_issue_asks_for() -> None:
    plan = cases.plan(cases.Extent(), "clip.pt", [cases.trained_point("c", "", ["p"], 3)], False)
    values = {m: [p.settings[m] for p in plan if p.measure == m] for m in cases.GROWTH}
    assert values[cases.PROPOSALS] == [25, 50, 100, 200, 400, 25, 50, 100]  # then with crops
    assert values[cases.NAMES][0] == 20 and values[cases.NAMES][-1] == 2000
    assert values[cases.SIDE][0] == 256 and values[cases.SIDE][-1] == 2048
    assert values[cases.STAGES] == [0, 1, 2, 3, 4, 5, 6]
    assert plan[0].reference == plan[0].cases[0].variant and plan[0].cases[0].published
    assert plan[0].cases[0].photo == (512, 680)
    assert len({point.key() for point in plan}) == len(plan)


def test_half_doubles_the_cases_but_not_the_reference() -> None:
    point = cases.plan(cases.Extent(), "clip.pt", [], half=True)[0]
    assert [case.half for case in point.cases] == [False] * 4 + [True] * 4
    assert point.reference == cases.REFERENCE
    assert len({case.variant for case in point.cases}) == 8
