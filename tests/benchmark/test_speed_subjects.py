"""Cases are built, run and counted: tiny models."""

from dataclasses import replace

import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn

from zsk.benchmark import speed_cases as cases
from zsk.benchmark.speed_device import megabytes, peak_mb, reset_peak
from zsk.benchmark.speed_flops import count_flops, gigaflops
from zsk.benchmark.speed_plan import GROUPS, plan
from zsk.benchmark.speed_setup import QUICK, clip_weights
from zsk.benchmark.speed_shared import SharedParts
from zsk.benchmark.speed_subjects import build_subject
from zsk.benchmark.speed_worker import Worker
from zsk.errors import UserError


@pytest.fixture(scope="module")
def points(tmp_path_factory) -> dict[str, cases.Point]:
    """The first point of every measure."""
    clip, random = clip_weights(True, tmp_path_factory.mktemp("clip"))
    assert random
    listed = [p for turns in plan(QUICK, clip, [], False, list(GROUPS)) for p in turns.points]
    return {point.measure: point for point in reversed(listed)}


def test_crops_are_counted_and_parts_add_up(points) -> None:
    reference, crop, one_pass = points[cases.INFERENCE].cases
    for case, crops in ((reference, 6), (crop, 6), (one_pass, 0)):
        run = build_subject(case).run()
        assert run["crops"] == crops
        assert {"backbone", "proposals", "text", "CLIP", "post-processing"} == set(run["parts"])
        # parts of one run that do not overlap: together they cannot take longer
        assert 0 < sum(run["parts"].values()) <= run["seconds"]


def test_the_published_way_does_more_arithmetic_than_one_pass(points) -> None:
    reference, crop, one_pass = points[cases.INFERENCE].cases
    subject = build_subject(crop)
    counted = gigaflops(subject)
    alone = torch.zeros(1, 3, 32, 32)
    one = count_flops(lambda: subject.encoder.encode_image(alone)) / 1e9
    assert counted.crop_gflops == pytest.approx(one)
    assert gigaflops(build_subject(one_pass)).crop_gflops == 0
    head = gigaflops(build_subject(crop.over("head", ("MODEL.ENSEMBLE.MODE", "head")))).gflops
    assert counted.gflops > head  # on a CPU crops are cut by matrix products
    assert gigaflops(build_subject(one_pass)).gflops > head
    texts = gigaflops(build_subject(reference)).gflops  # its texts, each time
    assert texts > counted.gflops


def test_batches_give_the_time_of_a_photo_and_are_resized(points) -> None:
    """Two photos of 48 x 64 at the test size of 96, both in one call; results as the photos."""
    case = replace(points[cases.BATCHES].cases[0], batch=2)
    subject = build_subject(case)
    assert [tuple(record["image"].shape) for record in subject.records] == [(3, 96, 128)] * 2
    assert not subject.records[0]["image"].equal(subject.records[1]["image"])
    sizes = []
    forward = subject.model.forward
    subject.model.forward = lambda batch: (sizes.append(len(batch)), forward(batch))[1]
    assert subject.run()["crops"] == 6
    assert sizes == [2]
    assert subject.model(subject.records)[0]["pred_labels"].shape == (48, 64)
    single = gigaflops(build_subject(points[cases.BATCHES].cases[0])).gflops
    assert gigaflops(subject).gflops == pytest.approx(single)


def test_a_curve_shares_backbone_and_encoder(points) -> None:
    case, shared = points[cases.STAGES].cases[0], SharedParts()
    more = case.over(case.variant, ("MODEL.KERNELS.NUM_STAGES", 2))
    first, second = build_subject(case, shared).model, build_subject(more, shared).model
    assert first.backbone is second.backbone
    assert first.region_classifier.encoder is second.text_classifier.encoder
    assert len(second.sem_seg_head.head.stages) == 2
    assert build_subject(replace(case, photo=(96, 96)), shared).model is first
    other = case.over(case.variant, ("MODEL.CLIP.MASKED_LAYERS", 1))
    assert build_subject(other, shared).encoder is not first.region_classifier.encoder
    assert build_subject(case).model.backbone is not first.backbone
    step = build_subject(points[cases.TRAIN].cases[1], shared)  # changes weights: has its own
    assert step.model.backbone is not first.backbone


def test_the_weights_of_other_cases_count_for_none(points, monkeypatch) -> None:
    """Heads of 0 and of 2 stages in one process: less the other's, the peak is the case's own."""
    case, worker = points[cases.STAGES].cases[0], Worker()
    monkeypatch.setattr("zsk.benchmark.speed_worker.peak_mb", lambda: 1000.0)
    worker.build("0", case)
    assert worker.run("0")["peak_mb"] == 1000.0
    worker.build("1", case.over(case.variant, ("MODEL.KERNELS.NUM_STAGES", 2)))
    first, second = (subject.model.sem_seg_head for subject in worker.subjects.values())
    assert worker.run("0")["peak_mb"] == pytest.approx(1000 - megabytes(second.parameters()))
    assert worker.run("1")["peak_mb"] == pytest.approx(1000 - megabytes(first.parameters()))


def test_a_training_step_changes_weights_and_counts_its_way_back(points) -> None:
    subject = build_subject(points[cases.TRAIN].cases[1])
    before = [p.clone() for p in subject.model.sem_seg_head.parameters()]
    run = subject.run()
    assert run["parts"] == {} and run["seconds"] > 0
    assert any(not p.equal(b) for p, b in zip(subject.model.sem_seg_head.parameters(), before))
    model, records = subject.model, subject.records
    with torch.no_grad():
        forward = count_flops(lambda: model(records)) / 1e9
    assert gigaflops(subject).gflops > 2 * forward


def test_the_head_alone(points) -> None:
    subject = build_subject(points[cases.HEAD].cases[1])
    assert subject.run()["parts"] == {}
    whole = gigaflops(build_subject(points[cases.STAGES].cases[0]))
    assert gigaflops(subject).gflops < whole.gflops


def test_names_come_from_the_warm_cache(points, tmp_path, monkeypatch) -> None:
    """Rows on the disk are random ones of the right shape; the text tower is left alone."""
    monkeypatch.setenv("ZSK_CACHE_DIR", str(tmp_path))
    subject = build_subject(points[cases.NAMES].cases[0])
    assert len(list(tmp_path.rglob("*.npy"))) == 1
    assert count_flops(subject.step) == pytest.approx(gigaflops(subject).gflops * 1e9)


def test_a_worker_counts_without_keeping_what_it_counted(points) -> None:
    case, worker = points[cases.INFERENCE].cases[1], Worker()
    counted = worker.reply(f"count {case.to_json()}")
    assert counted == gigaflops(build_subject(case))._asdict()
    assert counted["gflops"] > 0 and counted["crop_gflops"] > 0 and not worker.subjects


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
