"""Tables, verdicts and plots of speed measurements."""

import pytest
import torch
from PIL import Image
from speed_examples import measurement

from zsk.benchmark import speed_cases as cases
from zsk.benchmark.speed_device import device_name, is_gpu, peak_tflops
from zsk.benchmark.speed_pages import markdown, write_page
from zsk.benchmark.speed_plots import draw_plots
from zsk.benchmark.speed_runs import Failure

PARTS = {"post-processing": 1.0, "CLIP": 29.0}


def results():
    grown = {25: 1.0, 100: 1.075, 400: 1.375}  # 0.975 s + 1 ms each
    return [
        measurement(
            cases.INFERENCE, cases.REFERENCE, 30.0, ratio_to_reference=1.0, crops=100, parts=PARTS
        ),
        measurement(
            *(cases.INFERENCE, cases.ONE_PASS, 1.5),
            **{"ratio_to_reference": 0.05, "parts": {"CLIP": 1.5}, "peak_mb": 900.0},
        ),
        *(
            measurement(cases.PROPOSALS, cases.ONE_PASS, seconds, settings={cases.PROPOSALS: n})
            for n, seconds in grown.items()
        ),
    ]


def cells(page: str, start: str) -> list[str]:
    """The cells of the first line of a table that starts with this cell."""
    line = next(line for line in page.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_rows_and_bars() -> None:
    page = markdown(results(), "A note.")
    assert "A note." in page
    assert cells(page, cases.REFERENCE)[1:6] == ["30", "30–30", "1", "1.00×", "1,000 (6)"]
    assert cells(page, cases.REFERENCE)[6:] == ["2.0", "1.5 M", "100"]
    assert cells(page, cases.ONE_PASS)[4] == "20.00×"
    assert cells(page, "one-pass at least")[1:] == ["20.0 times", "passed"]
    assert cells(page, "one-pass: at most")[1:] == ["0.90 of it", "missed"]
    assert cells(page, "2,000 names")[2] == "not measured"
    assert "ours: one-pass: 0.975 s + 1 ms each, off by 0% at most." in page
    assert page.rstrip().endswith("a device, 2 threads; code abc; 2026-11-23.")


def test_parts_have_their_own_table_and_gaps() -> None:
    page = markdown(results(), "").split("Where the time goes")[1]
    assert cells(page, "variant") == ["variant", "CLIP", "post-processing"]
    assert cells(page, cases.REFERENCE)[1:] == ["29", "1"]
    assert cells(page, cases.ONE_PASS)[1:] == ["1.5", "-"]


def test_a_gpu_has_photos_per_second_and_a_share_of_its_peak() -> None:
    """49,450 GFLOPs in 0.1 s are 494.5 TFLOPS, half of an H100's 989."""
    gpu = {"half": True, "gflops": 49450.0, "settings": {"image": "1×2"}}
    known = measurement(
        cases.INFERENCE, "one-pass, half", 0.1, device="NVIDIA H100 80GB HBM3", **gpu
    )
    other = measurement(cases.BATCHES, "one-pass, half", 0.1, device="NVIDIA Nova", **gpu)
    page = markdown([known, other], "")
    assert cells(page, "inference, 1×2")[1:] == [
        "one-pass, half", "10.0", "494.5", "989", "50.0%", "1,000 (6)"
    ]  # fmt: skip
    assert cells(page, "batched evaluation, 1×2")[4:6] == ["-", "-"]
    assert "Not measured on a GPU" not in page and "data sheet" in page
    assert "Not measured on a GPU" in markdown(results(), "")


@pytest.mark.parametrize(
    "device, single, half",
    [
        ("NVIDIA H100 PCIe", 51.0, 756.0),
        ("NVIDIA H100 80GB HBM3", 67.0, 989.0),
        ("NVIDIA GH200 480GB", 67.0, 989.0),
        ("NVIDIA A100-SXM4-80GB", 19.5, 312.0),
        ("NVIDIA L40S", 91.6, 362.0),
        ("NVIDIA L4", 30.3, 121.0),
        ("Tesla T4", 8.1, 65.0),
        ("NVIDIA GeForce RTX 3090", 35.6, 71.0),
        ("AMD EPYC, 2 threads", None, None),
    ],
)
def test_peaks_that_are_known(device, single, half) -> None:
    assert peak_tflops(device, half=False) == single
    assert peak_tflops(device, half=True) == half


def test_this_processor_is_no_gpu() -> None:
    assert is_gpu("NVIDIA L4") and not is_gpu("AMD EPYC, 1 thread")
    assert is_gpu(device_name()) == torch.cuda.is_available()


def test_failures_are_listed() -> None:
    page = markdown(results(), "", [Failure("growth 7", "one-pass", "OutOfMemoryError: 80 GB")])
    assert cells(page, "growth 7")[1:] == ["one-pass", "OutOfMemoryError: 80 GB"]
    assert "## Failed" not in markdown(results(), "")


def test_nothing_measured_is_a_page_too() -> None:
    assert markdown([], "").count("not measured") == 7


def test_files(tmp_path) -> None:
    write_page(results(), "", tmp_path)
    plots = draw_plots(results(), tmp_path)
    assert (tmp_path / "speed.md").read_text(encoding="utf-8") == markdown(results(), "")
    assert [plot.name for plot in plots] == ["speed_inference.png", "speed_growth.png"]
    for plot in plots:
        with Image.open(plot) as image:
            assert min(image.size) > 100


def test_no_plot_of_nothing(tmp_path) -> None:
    assert draw_plots(results()[2:3], tmp_path) == []
