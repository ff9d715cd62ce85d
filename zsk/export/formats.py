"""Writes an exported look in one of the formats, and runs such a file."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zsk.errors import UserError
from zsk.files import replacing

from .look import FixedLook

FILES = {"onnx": "look.onnx", "torchscript": "look.pt", "torch-export": "look.pt2"}
"""Format → name of the file that has the network."""

MAX_BYTES = 2**31 - 2**24  # of weights in an ONNX file, which is one message of protobuf

Runner = Callable[[np.ndarray], dict[str, np.ndarray]]
"""A photo (H,W,3) uint8 → the outputs by name."""


def check_packages(format: str, check: bool = False) -> None:
    """Raise a UserError where a package is missing that the format needs."""
    needed = ["onnx", "onnxscript", *(["onnxruntime"] if check else [])]
    missing = [name for name in needed if find_spec(name) is None]
    if format == "onnx" and missing:
        raise UserError(
            f"--format onnx needs the package {missing[0]}, which is not installed: "
            "run `pip install onnx onnxruntime onnxscript`"
        )


def write_look(look: FixedLook, size: tuple[int, int], format: str, path: Path) -> None:
    """Write the network for photos of one size.

    Args:
        size: (H,W), multiples of `side_divisor`.
        format: a key of FILES, whose packages are there.

    Raises:
        UserError: a part of the network cannot be exported, or the file cannot be written.
    """
    image = torch.zeros(*size, 3, dtype=torch.uint8)
    with torch.no_grad(), _quiet():
        try:
            program = torch.export.export(look.eval(), (image,)).run_decompositions(
                {torch.ops.aten.scaled_dot_product_attention.default: _attention}
            )
            write = {"onnx": _onnx, "torchscript": _torchscript, "torch-export": _torch_export}
            finished = write[format](program, image, look.outputs)
        except Exception as error:  # of torch's and onnxscript's own, without a common base
            raise UserError(
                f"a part of this model cannot be exported as {format} ({_first_cause(error)}): try "
                "another --format"
            ) from error
        with replacing(path) as unfinished:
            finished(unfinished)


def read_look(path: Path, format: str, outputs: list[str]) -> Runner:
    """Load what `write_look` wrote; ONNX runs in onnxruntime on the CPU."""
    if format == "onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda photo: dict(zip(outputs, session.run(outputs, {"image": photo})))
    with _quiet():
        load: Any = torch.jit.load if format == "torchscript" else torch.export.load
        network = load(str(path))
        network = network if format == "torchscript" else network.module()

    @torch.inference_mode()
    def run(photo: np.ndarray) -> dict[str, np.ndarray]:
        return {key: value.numpy() for key, value in zip(outputs, network(torch.tensor(photo)))}

    return run


def _onnx(program: Any, image: Tensor, outputs: list[str]) -> Callable[[Path], None]:
    exported = torch.onnx.export(
        program, dynamo=True, input_names=["image"], output_names=outputs, verbose=False
    )
    assert exported is not None
    values = [value.const_value for value in exported.model.graph.initializers.values()]
    if sum(value.nbytes for value in values if value is not None) > MAX_BYTES:
        raise ValueError("a file of this format has at most 2 GB")
    return lambda path: exported.save(str(path), external_data=False)


def _torchscript(program: Any, image: Tensor, outputs: list[str]) -> Callable[[Path], None]:
    # traced from the exported program, in which all shapes are numbers
    traced = torch.jit.freeze(torch.jit.trace(program.module(), image, check_trace=False).eval())
    return lambda path: torch.jit.save(traced, str(path))


def _torch_export(program: Any, image: Tensor, outputs: list[str]) -> Callable[[Path], None]:
    return lambda path: torch.export.save(program, str(path))


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    dropout: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(QKᵀ/√d)·V of tensors of any rank: the exporter to ONNX takes four dimensions only."""
    assert mask is None and scale is None and not (dropout or is_causal or enable_gqa)
    return (query * query.shape[-1] ** -0.5 @ key.mT).softmax(dim=-1) @ value


def _first_cause(error: BaseException) -> str:
    """What went wrong first, on one short line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' remarks on their own insides."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
