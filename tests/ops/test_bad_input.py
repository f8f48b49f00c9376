"""Operands and attributes that do not fit: answered with one DlcError, never another exception."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from dlc.errors import DlcError
from dlc.ir.graph import Build, Graph, building, make
from dlc.ir.registry import REGISTRY
from dlc.ir.types import TupleType
from dlc.ops import tuples
from dlc.reference.evaluate import evaluate
from tests.ops.sampled import Sample, inputs_for, read

# Any integers will do: the evaluator converts what a reference sums in a wider one.
KIND = {"i": "integer", "u": "integer", "b": "bool", "f": "float", "V": "float"}
# Operators that take every type and have no attribute that could be out of range.
TAKES_ALL = {"cast", "stop_gradient", "barrier"}
Case = tuple[str, tuple[np.ndarray, ...], dict[str, Any]]


def replaced(values: tuple[Any, ...], at: int, value: Any) -> tuple[Any, ...]:
    return (*values[:at], value, *values[at + 1:])


def bad_operands(sample: Sample) -> Iterator[Case]:
    """Another dtype, another rank, no elements, a longer axis."""
    for i, a in enumerate(sample.arrays):
        for kind in (np.bool_, np.int32, np.uint8, np.float16, np.float64):
            if a.dtype != kind:
                with np.errstate(all="ignore"):
                    yield f"dtype {kind.__name__} at {i}", replaced(
                        sample.arrays, i, np.zeros(a.shape, kind)), sample.attrs
        yield f"rank of {i}", replaced(sample.arrays, i, a[None]), sample.attrs
        if a.ndim:
            yield f"rank of {i} less", replaced(sample.arrays, i, a[0]), sample.attrs
            yield f"empty {i}", replaced(sample.arrays, i, a[:0]), sample.attrs
        for axis in range(a.ndim):
            longer = np.concatenate([a, a[(slice(None),) * axis + (slice(0, 1),)]], axis)
            yield f"axis {axis} of {i}", replaced(sample.arrays, i, longer), sample.attrs


def bad_attributes(sample: Sample) -> Iterator[Case]:
    """Axes out of range, lists too long or short, negative sizes, words unknown."""
    for key, value in sample.attrs.items():
        others: list[Any] = []
        if isinstance(value, bool):
            others = [not value]
        elif isinstance(value, int):
            others = [-1, 99, value + 1]
        elif isinstance(value, tuple):
            others = [(), (*value, *value[-1:]), value[:-1]]
            if value and isinstance(value[0], int):
                others += [replaced(value, 0, -1), replaced(value, 0, 99), replaced(value, 0, 0)]
            elif value and isinstance(value[0], tuple):
                others += [replaced(value, 0, (-99, 0)), replaced(value, 0, (0, 99))]
        elif isinstance(value, str):
            others = ["nonsense"]
        for other in others:
            if other != value:
                yield f"{key}={other!r}", sample.arrays, {**sample.attrs, key: other}


def cases(name: str) -> Iterator[Case]:
    for sample in read(REGISTRY[name])[:6]:
        yield from bad_operands(sample)
        yield from bad_attributes(sample)


def attempt(name: str, arrays: tuple[np.ndarray, ...], attrs: dict[str, Any]) -> bool:
    """Whether the operator takes them; when it does, what it computes has the type it said."""
    with building(Build()):
        inputs = inputs_for(arrays)
        try:
            node = make(REGISTRY[name], inputs, **attrs)
        except DlcError as problem:
            assert name in str(problem) and len(str(problem)) > len(name) + 4
            return False
    types = node.type.items if isinstance(node.type, TupleType) else (node.type,)
    with np.errstate(all="ignore"):
        found = REGISTRY[name].eval(*arrays, **attrs)
        for type_, value in zip(types, found if isinstance(found, tuple) else (found,),
                                strict=True):
            raw = np.asarray(value)
            assert all(isinstance(d, int) and d >= 0 for d in type_.shape)
            assert raw.shape == tuple(type_.shape)
            assert KIND[raw.dtype.kind] == KIND[type_.dtype.numpy.kind]
        outputs = tuple(tuples.item(node, i) for i in range(len(types)))
        evaluate(Graph("f", inputs, outputs), *arrays)
    return True


@pytest.mark.swept(3)
@pytest.mark.parametrize("name", [n for n, op in REGISTRY.items() if read(op)])
def test_bad_input_is_answered(name: str) -> None:
    """Each changed sample is either refused with a DlcError or computes what its type says."""
    taken = []
    for what, arrays, attrs in cases(name):
        try:
            taken.append(attempt(name, arrays, attrs))
        except Exception as problem:
            shapes = [(str(a.dtype), a.shape) for a in arrays]
            raise AssertionError(f"{name}: {what}: {shapes} {attrs}: {problem!r}") from problem
    assert all(taken) is (name in TAKES_ALL)
