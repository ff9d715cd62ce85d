"""Writes an exported look in one of the formats, and runs such a file."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
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
            finished: Callable[[str], None] = partial(torch.export.save, program)
            if format == "onnx":
                finished = _onnx(program, look.outputs)
            elif format == "torchscript":  # of the program, in which all shapes are numbers
                traced = torch.jit.trace(program.module(), image, check_trace=False)
                finished = partial(torch.jit.save, torch.jit.freeze(traced.eval()))
        except Exception as error:  # of torch's and onnxscript's own, without a common base
            raise UserError(
                f"a part of this model cannot be exported as {format} ({_first_cause(error)}): try "
                "another --format"
            ) from error
        with replacing(path) as unfinished:
            finished(str(unfinished))


def read_look(path: Path, format: str, outputs: list[str]) -> Runner:
    """Load what `write_look` wrote; ONNX runs in onnxruntime on the CPU."""
    if format == "onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda photo: dict(zip(outputs, session.run(outputs, {"image": photo})))
    with _quiet():
        if format == "torchscript":
            network = torch.jit.load(str(path))
        else:
            network = torch.export.load(str(path)).module()

    @torch.inference_mode()
    def run(photo: np.ndarray) -> dict[str, np.ndarray]:
        return {key: value.numpy() for key, value in zip(outputs, network(torch.tensor(photo)))}

    return run


def _onnx(program: Any, outputs: list[str]) -> Callable[[str], None]:
    exported = torch.onnx.export(
        program, dynamo=True, input_names=["image"], output_names=outputs, verbose=False
    )
    assert exported is not None
    values = [value.const_value for value in exported.model.graph.initializers.values()]
    if sum(value.nbytes for value in values if value is not None) > MAX_BYTES:
        raise ValueError("a file of this format has at most 2 GB")
    return partial(exported.save, external_data=False)


def _attention(query: Tensor, key: Tensor, value: Tensor, *others: Any, **options: Any) -> Tensor:
    """softmax(QKᵀ/√d)·V of tensors of any rank: the exporter to ONNX takes four dimensions only."""
    assert not any([*others, *options.values()]), "a mask, dropout or another scale"
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
