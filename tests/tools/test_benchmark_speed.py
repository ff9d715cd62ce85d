"""tools/benchmark_speed.py: what it measures, the rebuilt reference, the files that it writes."""

import json
import sys
from dataclasses import replace

import benchmark_speed
import pytest
import torch
from benchmark.speed import cases, measure, subjects
from benchmark.speed.pages import markdown
from benchmark.speed.reference import masked_crop, published_labels
from tiny_head import QUERIES, tiny_config

from zsk.errors import UserError
from zsk.vocabulary import Vocabulary
from zsk.zsk_net import ZSKNet


@pytest.fixture
def in_this_process(monkeypatch) -> None:
    """Cases run here and shortly: a new process takes seconds to start."""
    monkeypatch.setattr(measure, "in_fresh_process", lambda function, case: function(case))
    monkeypatch.setattr(measure, "LEAST_SECONDS", 0.0)
    monkeypatch.setenv("ZSK_CACHE_DIR", "")  # the program sets it, afterwards it is as before


def result(measured: str, variant: str, seconds: float, **changes) -> measure.Result:
    """All runs took `seconds`."""
    values = {"settings": {}, "ratio_to_reference": None, "peak_mb": 1234.5, "runs": 3}
    values |= {"device": "a device", "half": False, "revision": "abc", "date": "2026-11-28"}
    values |= dict.fromkeys(("median_seconds", "min_seconds", "max_seconds"), seconds)
    return measure.Result(measure=measured, variant=variant, **{**values, **changes})


def test_a_crop_by_hand() -> None:
    """A mask of 2 × 2 pixels less one; the crop is as large, so nothing is resized."""
    pixels = torch.arange(48.0).view(3, 4, 4)
    mask = torch.zeros(4, 4, dtype=torch.bool)
    mask[1:3, 2:4] = True
    mask[2, 3] = False
    assert masked_crop(pixels, mask, 2).tolist() == [
        [[[6.0, 7.0], [10.0, 0.0]], [[22.0, 23.0], [26.0, 0.0]], [[38.0, 39.0], [42.0, 0.0]]]
    ]


@pytest.mark.parametrize("threshold", [0.5, 1e-9])
def test_the_reference_gives_nearly_our_labels(tiny_clip, threshold) -> None:
    """Labels, not scores: the resizing filters differ."""
    opts = ("MODEL.CLIP.NAME", str(tiny_clip), "MODEL.CLIP.MASK_THRESHOLD", threshold)
    model = ZSKNet(tiny_config(*QUERIES, *opts, "MODEL.ENSEMBLE.MODE", "clip")).eval()
    image = torch.randint(0, 256, (3, 96, 128), dtype=torch.uint8)
    vocabulary = Vocabulary.from_words("cat, dog, sheep", trained=["cat", "dog"])
    record = {"image": image, "height": 96, "width": 128, "vocabulary": vocabulary}
    labels = published_labels(model, record, threshold)
    assert labels.shape == (96, 128)
    assert (labels == model([record])[0]["pred_labels"]).float().mean() > 0.95


@pytest.mark.parametrize(
    "kind",
    [
        "other words",
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("look", "same words")),
    ],
)
def test_the_embedded_model_is_asked(kind) -> None:
    (case,) = (c for c in cases.plan(cases.Sizes(), "", "", gpu=False) if c.kind == kind)
    small = replace(case, opts=("INPUT.MIN_SIZE_TEST", "64"), photo=(24, 32), names=3)
    step = subjects.build(small)
    first, second = step(), step()
    assert first.labels.shape == (24, 32) and len(first.vocabulary) == 3
    assert (first.vocabulary == second.vocabulary) == (kind != "other words")


@pytest.mark.slow
def test_quick_measures_everything_else(in_this_process, tmp_path, monkeypatch, capsys) -> None:
    groups = [group for group in cases.GROUPS if group != "embedded"]
    words = ["--quick", "--only", *groups, "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["benchmark_speed.py", *words])
    benchmark_speed.main()
    planned = cases.plan(cases.QUICK, "", "", torch.cuda.is_available(), groups)
    results = measure.read_results(tmp_path)
    assert [(r.measure, r.variant) for r in results] == [(c.measure, c.variant) for c in planned]
    assert all(0 < r.min_seconds <= r.median_seconds <= r.max_seconds for r in results)
    assert results[0].ratio_to_reference == 1.0
    assert results[1].ratio_to_reference == pytest.approx(
        results[1].median_seconds / results[0].median_seconds
    )
    assert capsys.readouterr().out.strip().endswith("speed.md")
    assert "the numbers mean nothing" in (tmp_path / "speed.md").read_text(encoding="utf-8")


def test_other_results_stay_and_a_failure_is_told(in_this_process, tmp_path, monkeypatch, capsys):
    def fail(case):
        raise MemoryError(f"no room for\n{case.variant}")

    monkeypatch.setattr(measure, "measure", fail)
    kept = result(cases.SIDE, "a", 1.0, settings={cases.SIDE: 96}, quick=True)
    measure.write_results([kept, result(cases.TRAINING, cases.QUERIES, 1.0)], tmp_path)
    words = ["--quick", "--only", "training", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["benchmark_speed.py", *words])
    with pytest.raises(UserError, match="2 cases failed: .*MemoryError: no room for ZS-MaskFormer"):
        benchmark_speed.main()
    assert measure.read_results(tmp_path) == [kept]
    monkeypatch.setattr(sys, "argv", ["benchmark_speed.py", *words[1:]])
    with pytest.raises(
        UserError, match="holds results of quick, or earlier, runs, and this is a full one"
    ):
        benchmark_speed.main()


@pytest.mark.slow
def test_the_real_command_in_fresh_processes(run_program, tmp_path) -> None:
    words = ("--quick", "--only", "training", "--output", tmp_path)
    done = run_program("tools/benchmark_speed.py", *words, OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    listed = json.loads((tmp_path / "speed.json").read_text(encoding="utf-8"))
    assert [entry["variant"] for entry in listed] == [cases.QUERIES, cases.KERNELS]
    assert all(entry["peak_mb"] > 100 and entry["runs"] >= 1 for entry in listed)
    assert "| dynamic-kernel head |" in (tmp_path / "speed.md").read_text(encoding="utf-8")


def test_operations_by_hand() -> None:
    """Three tokens of width four attend to each other, then a linear layer to two numbers."""
    tokens, layer = torch.rand(1, 1, 3, 4), torch.nn.Linear(4, 2, bias=False)
    attend = torch.nn.functional.scaled_dot_product_attention
    multiplied = 3 * 3 * 4 + 3 * 3 * 4 + 3 * 4 * 2  # queries by keys, by values, the layer
    counted = measure._gflops(lambda: layer(attend(tokens, tokens, tokens)))
    assert counted == pytest.approx(2 * multiplied / 1e9)


def test_a_row_by_hand() -> None:
    compared = {"settings": {"image": "2×3"}, "ratio_to_reference": 0.05}
    one_pass = result(cases.INFERENCE, cases.ONE_PASS, 1.5, **compared)
    names = result(cases.NAMES, cases.ONE_PASS, 0.0123, settings={"names": 20})
    page = markdown([one_pass, names], "A note.")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    assert ["2×3", cases.ONE_PASS, "1.5", "1.5–1.5", "3", "0.667", "20.00×", "1,234"] in rows
    assert ["20", cases.ONE_PASS, "0.0123", "0.0123–0.0123", "3", "81.3", "-", "1,234"] in rows
    assert "A note." in page
    assert page.endswith("a device; code abc; 2026-11-28.\n")


def test_older_files_are_read_and_a_damaged_one_is_a_sentence(checkout, tmp_path) -> None:
    """Older ones have further fields and measures that are gone."""
    results = measure.read_results(checkout / "docs" / "results")
    assert results[0].variant == cases.REFERENCE and results[0].ratio_to_reference == 1.0
    assert "## Proposal head" in markdown(results)
    (tmp_path / "speed.json").write_text('[{"device": 1}]')
    with pytest.raises(UserError, match="speed.json cannot be read .*move it away"):
        measure.read_results(tmp_path)
