"""Products with names over u8 and bool have one meaning: that of their sums, in i32, exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import bool_, i32, u8
from dlc.ir.types import DTYPES, DType
from tests.instruction_sets import RUNS, on_every_instruction_set

Array = np.ndarray[Any, Any]
SHAPES = ((2, 3), (3, 2), (3,), (3,), (3, 3), (2, 3), (2, 3, 3))
IDS = np.array([1, 1, 0])


def dlc_products(a: Any, b: Any, u: Any, v: Any, s: Any, t: Any, w: Any) -> tuple[Any, ...]:
    """Every product with a name, and every sum and product of elements."""
    e = dlc.einsum
    return (
        a @ b, a @ u, u @ v, w @ s, e("ij,jk->ik", a, b), e("ij,ij->ij", a, t), e("i,j->ij", u, v),
        e("i,i,i->", u, v, u), e("ij->i", a), e("ii->", s), dlc.dot(a, b), dlc.dot(u, v),
        dlc.dot(u[0], v), dlc.inner(a, t), dlc.inner(u, v), dlc.vdot(a, t),
        dlc.tensordot(a, b, 1), dlc.tensordot(a, t, 2), dlc.tensordot(u, v, 0), dlc.outer(u, v),
        dlc.kron(a, b), dlc.cross(u, v), dlc.multi_dot([a, b, a]), dlc.bilinear(u, v, w),
        a.sum(), a.prod(1), dlc.cumsum(a, 1), dlc.cumprod(a, 1), dlc.matrix_trace(s),
        dlc.linear_recurrence(u, v), dlc.segment_sum(u, IDS, 2), dlc.segment_prod(u, IDS, 2),
    )


def numpy_products(a: Array, b: Array, u: Array, v: Array, s: Array, t: Array,
                   w: Array) -> Sequence[Any]:
    """The same in i64."""
    e = np.einsum
    y = [v[0]]
    for i in (1, 2):
        y.append(u[i] * y[-1] + v[i])
    return (
        a @ b, a @ u, u @ v, w @ s, e("ij,jk->ik", a, b), e("ij,ij->ij", a, t), e("i,j->ij", u, v),
        e("i,i,i->", u, v, u), e("ij->i", a), e("ii->", s), np.dot(a, b), np.dot(u, v),
        np.dot(u[0], v), np.inner(a, t), np.inner(u, v), np.vdot(a, t),
        np.tensordot(a, b, 1), np.tensordot(a, t, 2), np.tensordot(u, v, 0), np.outer(u, v),
        np.kron(a, b), np.cross(u, v), np.linalg.multi_dot([a, b, a]),
        e("i,oij,j->o", u, w, v),
        a.sum(), a.prod(1), np.cumsum(a, 1), np.cumprod(a, 1), np.trace(s),
        np.array(y), np.array([u[2], u[0] + u[1]]), np.array([u[2], u[0] * u[1]]),
    )


def arrays_of(kind: DType) -> list[Array]:
    rng = np.random.default_rng(8)
    low, high = (0, 2) if kind is bool_ else (150, 256)
    return [rng.integers(low, high, shape).astype(kind.numpy) for shape in SHAPES]


def traced(kinds: Sequence[DType], function: Callable[..., Any]) -> dlc.Graph:
    return dlc.trace(function, *(k[s] for k, s in zip(kinds, SHAPES, strict=True)))


@pytest.mark.swept(2)
@pytest.mark.parametrize("kind", [u8, bool_], ids=str)
def test_one_meaning_on_every_instruction_set(kind: DType) -> None:
    """What evaluates and what runs, against NumPy in i64: nothing wraps in u8."""
    arrays = arrays_of(kind)
    graph = traced([kind] * len(SHAPES), dlc_products)
    wanted = [np.asarray(y) for y in numpy_products(*(a.astype(np.int64) for a in arrays))]
    assert [str(o.dtype) for o in graph.outputs] == ["i32"] * len(wanted)
    results = [("evaluated", dlc.evaluate(graph, *arrays)),
               *on_every_instruction_set(graph, *arrays)]
    assert len(results) == len(RUNS) + 1
    for where, found in results:
        for number, (got, want) in enumerate(zip(found.values(), wanted, strict=True)):
            np.testing.assert_array_equal(got, want.astype(np.int32), err_msg=f"{where} {number}")


def test_the_dtype_is_that_of_a_sum_of_the_promoted_dtype() -> None:
    for first, second, result in (("u8", "bool", "i32"), ("u8", "i64", "i64"), ("u8", "f16", "f16"),
                                  ("bool", "u32", "u32"), ("bool", "bf16", "bf16")):
        x, y = (DTYPES[k] for k in (first, second))
        graph = dlc.trace(lambda a, b: (a @ b, dlc.dot(a, b), dlc.inner(a, b.T), dlc.outer(a, b),
                                        dlc.einsum("ij,jk->ik", a, b), dlc.kron(a, b)),
                          x[2, 3], y[3, 2])
        assert {str(o.dtype) for o in graph.outputs} == {result}


@pytest.mark.parametrize("kind", [u8, i32], ids=str)
def test_updates_keep_the_dtype_of_what_they_write_into(kind: DType) -> None:
    x, twice = np.array([1, 100, 3], kind.numpy), np.array([1, 1])
    graph = dlc.trace(lambda x: (x.at[twice].multiply(3), x.at[twice].add(100), x * 3), kind[3])
    wanted = ([1, 900, 3], [1, 300, 3], [3, 300, 9])
    for found, want in zip(dlc.evaluate(graph, x).values(), wanted, strict=True):
        assert found.dtype == kind.numpy
        np.testing.assert_array_equal(found, np.array(want).astype(kind.numpy))


def test_means_of_segments_of_integers_are_f32() -> None:
    """They were sums and counts in the rows' own dtype: 29.3 for rows of 200."""
    rows = np.array([200, 200, 200], np.uint8)
    zeros = np.zeros(3, np.int32)
    graph = dlc.trace(lambda x, at: dlc.segment_mean(x, at, 1), u8[3], i32[3])
    for _, found in on_every_instruction_set(graph, rows, zeros):
        np.testing.assert_array_equal(found, np.array([200.0], np.float32))
