"""The ONNX package's node tests as cases."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper
from onnx.backend.test.loader import load_model_tests

import dlc
from dlc.onnx.call import Unknown
from dlc.onnx.proto import DTYPES

# Of two numbers that differ in their last place or the one before: rtol by the dtype's name.
SIXTEEN_BITS = {"float16": 2.0 ** -9, "bfloat16": 2.0 ** -6}
KINDS = {TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL}
# Operator -> why its tests are left out.
OPERATORS = {
    "NonMaxSuppression": "how many boxes are left is the shape of its result",
    "TreeEnsemble": "decision trees: no operator of networks",
    "ImageDecoder": "reads files of images: no operator of networks",
}
# Name of a test, or its beginning -> why it is left out.
NAMES = {
    "test_training_dropout_default": "the mask is drawn by NumPy's generator",
    "test_training_dropout_mask": "the mask is drawn by NumPy's generator",
    "test_bernoulli": "the numbers are drawn by NumPy's generator",
    "test_dft_inverse": "the expected imaginary part is NumPy's f32 rounding error of 2e-7, not 0",
}
EXACT_NAMES = {"test_training_dropout": "the mask is drawn by NumPy's generator"}


@dataclass(frozen=True)
class Case:
    """A node test: the model's bytes, its arrays by name and what comes out, per data set."""

    name: str
    data: bytes
    operators: tuple[str, ...]
    sets: tuple[tuple[dict[str, np.ndarray], tuple[np.ndarray, ...]], ...]
    rtol: float
    atol: float

    @property
    def excluded(self) -> str:
        """Why dlc does not take this test; "" when it does."""
        if self.name in EXACT_NAMES:
            return EXACT_NAMES[self.name]
        found = [reason for operator, reason in OPERATORS.items() if operator in self.operators]
        found += [reason for name, reason in NAMES.items() if self.name.startswith(name)]
        return found[0] if found else ""

    def model(self, arrays: dict[str, np.ndarray]) -> dlc.onnx.Model:
        """The model for these arrays; inputs that must be known become constants."""
        fixed: dict[str, np.ndarray] = {}
        while True:
            shapes = {n: a.shape for n, a in arrays.items() if n not in fixed}
            model = dlc.onnx.load(self.data, constants=fixed, shapes=shapes)
            try:
                model.graph()
                return model
            except Unknown as problem:
                new = {n: arrays[n] for n in problem.inputs if n not in fixed}
                if not new:
                    raise
                fixed |= new


@cache
def cases() -> tuple[Case, ...]:
    """The tests whose inputs and outputs are tensors of f32, i64, i32 and bool."""
    return tuple(case_of(c) for c in loaded() if kinds(c.model) <= KINDS)


@cache
def other_cases() -> tuple[Case, ...]:
    """Those with tensors of dlc's other dtypes too: f64, f16, bf16, other integers."""
    return tuple(case_of(c) for c in loaded()
                 if kinds(c.model) <= set(DTYPES) and not kinds(c.model) <= KINDS)


@cache
def loaded() -> tuple[Any, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tuple(load_model_tests(kind="node"))


def kinds(model: Any) -> set[int]:
    """The element types of a model's inputs and outputs; 0 for what is not a tensor."""
    return {v.type.tensor_type.elem_type for v in (*model.graph.input, *model.graph.output)}


def case_of(test: Any) -> Case:
    names = [v.name for v in test.model.graph.input]
    sets = tuple((dict(zip(names, map(as_array, ins), strict=False)),
                  tuple(map(as_array, outs))) for ins, outs in test.data_sets)
    operators = tuple(n.op_type for n in test.model.graph.node)
    return Case(test.name, test.model.SerializeToString(), operators, sets, test.rtol, test.atol)


def as_array(value: Any) -> np.ndarray:
    """Some tests hold their data as messages."""
    return np.asarray(numpy_helper.to_array(value) if isinstance(value, TensorProto) else value)


def listed(found: Any) -> list[np.ndarray]:
    """What dlc.evaluate gives, in order."""
    return [np.asarray(v) for v in (found.values() if isinstance(found, dict) else [found])]


def difference(case: Case, found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> str:
    """What is wrong with the results of a case; "" when nothing is."""
    for number, (a, b) in enumerate(zip(found, expected, strict=True)):
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            return f"{case.name}[{number}]: {a.dtype}{a.shape}, not {b.dtype}{b.shape}"
        rtol = SIXTEEN_BITS.get(a.dtype.name, case.rtol)
        if a.dtype.name in SIXTEEN_BITS:
            a, b = a.astype(np.float32), b.astype(np.float32)
        if not np.allclose(a, b, rtol, case.atol, equal_nan=a.dtype.kind == "f"):
            return f"{case.name}[{number}]:\n{a}\nis not\n{b}"
    return ""
