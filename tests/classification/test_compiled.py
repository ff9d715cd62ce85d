"""Crops encoded by a compiled network: one shape, the same features."""

import pytest
import torch
from tiny_clip import ColourEncoder

from zsk.classification import compiled as module
from zsk.classification.compiled import compiled, padded
from zsk.classification.region_classifier import RegionClassifier, build_region_classifier
from zsk.errors import UserError


@pytest.fixture
def shapes(monkeypatch):
    """torch.compile without a compiler; the shapes that the result is called with."""
    seen = []

    def compile_nothing(compute, dynamic):
        assert dynamic is False

        def run(values):
            seen.append(tuple(values.shape))
            return compute(values)

        return run

    monkeypatch.setattr(module.torch, "compile", compile_nothing)
    return seen


def test_padded() -> None:
    assert padded(torch.ones(2, 3), 4).tolist() == [[1] * 3] * 2 + [[0] * 3] * 2
    whole = torch.ones(4, 3)
    assert padded(whole, 4) is whole


def test_crops_come_in_one_shape_and_get_the_same_probabilities(shapes) -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(3, 12, 14, generator=generator) * 255
    masks, text = torch.randn(7, 6, 7, generator=generator), torch.eye(3)
    encoder = ColourEncoder()
    classifier = RegionClassifier(encoder, chunk_size=3)
    plain = classifier(image, masks, text)
    assert not encoder.compiled_images and not shapes
    encoder.compile_images()
    found = classifier(image, masks, text)
    assert encoder.compiled_images and shapes == [(3, 3, 4, 4)] * 3
    torch.testing.assert_close(found.probs, plain.probs)
    assert torch.equal(found.valid, plain.valid)


def test_one_pass_has_nothing_to_compile(shapes) -> None:
    encoder = ColourEncoder()
    encoder.compile_images()
    with pytest.raises(UserError, match="COMPILE is True, .*: set COMPILE to False or REGION_MODE"):
        build_region_classifier("one_pass", encoder, [0.5], chunk_size=3)


def test_a_machine_without_a_compiler_is_told_what_to_do(monkeypatch) -> None:
    from torch._dynamo.exc import BackendCompilerFailed

    def fails(values):
        raise BackendCompilerFailed(fails, RuntimeError("no C++ compiler found\nand more"), None)

    monkeypatch.setattr(module.torch, "compile", lambda compute, dynamic: fails)
    with pytest.raises(UserError, match="(?s)MODEL.CLIP.COMPILE is True.*set .* to False"):
        compiled(torch.relu, "MODEL.CLIP.COMPILE")(torch.ones(1))
