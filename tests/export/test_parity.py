"""The systems on ResNet-101, exported to ONNX; weights and CLIP are random."""

import pytest
from benchmark.export_parity import SYSTEMS, build

from zsk.export.formats import read_look, write_look
from zsk.export.look import FixedLook
from zsk.export.parity import compare, sample_photos
from zsk.export.words import words_of


@pytest.mark.slow
@pytest.mark.parametrize("system", ["kernels", "queries-one-pass"])
def test_an_exported_look_is_that_of_the_model(system, tmp_path):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    model, vocabulary = build(SYSTEMS[system], tmp_path)
    look, file, size = FixedLook(model), tmp_path / "look.onnx", (96, 128)
    write_look(look, size, "onnx", file)
    run, words = read_look(file, "onnx", look.outputs), words_of(model, vocabulary)
    parity = compare(model, run, words, vocabulary, size, sample_photos()[:2])
    assert parity.largest.keys() == {"masks", "head", "clip", "valid"}
    assert max(parity.largest.values()) < 1e-3
    assert min(parity.labels) > 0.999
    assert len(parity.words) > 1 or system != "kernels"  # random queries all get one word
