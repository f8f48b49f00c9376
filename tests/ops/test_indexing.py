"""x[key] and x.at[key] against NumPy, over keys of every kind; slices at computed places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, f64, i32
from dlc.errors import DlcError
from dlc.ir.types import Type

A = np.array([[0, -1], [1, 2]])
KEYS: dict[str, tuple[tuple[int, ...], Any]] = {
    "int": ((3, 4), 1),
    "negative": ((3, 4), (-1, -2)),
    "slice": ((5, 4), slice(1, 4)),
    "steps": ((7, 4), (slice(None, None, 3), slice(3, 0, -2))),
    "reverse": ((5,), slice(None, None, -1)),
    "reverse in steps": ((8,), slice(-2, 0, -3)),
    "nothing": ((5, 2), slice(4, 2)),
    "ellipsis": ((2, 3, 4), (..., 1)),
    "ellipsis in the middle": ((2, 3, 4), (1, ..., slice(1, 3))),
    "none": ((2, 3), (None, slice(None), None, 1)),
    "list": ((4, 3), [2, 0, -1]),
    "last": ((4, 3), [-1]),
    "array": ((4, 3), A),
    "array behind": ((2, 4), (slice(None), A)),
    "two arrays": ((4, 5), (np.array([0, 3, 1]), np.array([4, -1, 0]))),
    "broadcast": ((4, 5), (np.array([[0], [3]]), np.array([4, -1, 0]))),
    "adjacent": ((2, 4, 5, 3), (slice(None), np.array([0, 3]), np.array([4, 1]))),
    "apart": ((4, 2, 5), (np.array([0, 3]), slice(None), np.array([4, 1]))),
    "int apart": ((4, 2, 5), (1, slice(None), np.array([4, 1]))),
    "int beside": ((2, 4, 5), (slice(None), 3, np.array([4, 1, 1]))),
    "int before none": ((4, 5), (1, None, np.array([4, 1]))),
    "with none": ((4, 5, 2), (None, np.array([0, 3]), np.array([4, 1]), None)),
    "with slices": ((6, 4, 5), (slice(4, 0, -2), np.array([0, 3]), slice(1, 4, 2))),
    "three": ((3, 4, 5), (A % 3, A % 4, A % 5)),
    "bytes": ((4,), np.array([1, 2], np.uint8)),
    "empty": ((4, 2), []),
    "empty array": ((4, 2), np.zeros((2, 0), np.int64)),
}


@pytest.mark.parametrize("name", KEYS)
def test_reads_as_numpy(name: str) -> None:
    shape, key = KEYS[name]
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    graph = dlc.trace(lambda x: x[key], Type(f32, shape))
    want = x[key]
    assert graph.outputs[0].shape == want.shape
    np.testing.assert_array_equal(dlc.evaluate(graph, x), want)


FOLDS: dict[str, Callable[[Any, Any, Any], None]] = {
    "set": lambda y, key, v: y.__setitem__(key, v),
    "add": np.add.at, "subtract": np.subtract.at, "multiply": np.multiply.at,
    "max": np.maximum.at, "min": np.minimum.at, "divide": np.divide.at, "power": np.power.at}


@pytest.mark.swept(3)
@pytest.mark.parametrize("mode", FOLDS)
@pytest.mark.parametrize("name", KEYS)
def test_writes_as_numpy(name: str, mode: str) -> None:
    shape, key = KEYS[name]
    rng = np.random.default_rng(3)
    x = rng.normal(size=shape).astype(np.float32)
    v = rng.normal(size=x[key].shape).astype(np.float32)
    x = np.abs(x) if mode == "power" else x
    want = x.copy()
    FOLDS[mode](want, key, v)
    graph = dlc.trace(lambda x, v: getattr(x.at[key], mode)(v), Type(f32, shape),
                      Type(f32, v.shape))
    np.testing.assert_allclose(dlc.evaluate(graph, x, v), want, rtol=1e-5)


INTEGERS = ["set", "add", "subtract", "multiply", "max", "min"]


@pytest.mark.parametrize("kind, mode", [
    *((k, m) for k in ("i32", "i64", "u32", "u8") for m in INTEGERS),
    ("bool", "set"), ("bool", "max"), ("bool", "min")])
@pytest.mark.parametrize("name", ["steps", "array", "two arrays", "int apart", "empty"])
def test_integers_and_bools(name: str, kind: str, mode: str) -> None:
    """Products and sums wrap around; max and min of bools are any and all."""
    shape, key = KEYS[name]
    type_ = Type(dlc.ir.types.dtype(kind), shape)
    rng = np.random.default_rng(5)
    x = rng.integers(0, 2 if kind == "bool" else 200, shape).astype(type_.dtype.numpy)
    v = rng.integers(0, 2 if kind == "bool" else 200, x[key].shape).astype(type_.dtype.numpy)
    want = x.copy()
    FOLDS[mode](want, key, v)
    graph = dlc.trace(lambda x, v: getattr(x.at[key], mode)(v), type_,
                      type_.with_(shape=v.shape))
    np.testing.assert_array_equal(dlc.evaluate(graph, x, v), want)


def test_products_of_integers_compiled() -> None:
    """Five wrapping products in two places, and segments of bytes."""
    def both(x: Any, v: Any, b: Any) -> Any:
        at = np.array([0, 2, 2, 0, 2])
        return {"big": x.at[at].multiply(v), "small": dlc.segment_prod(b, at, 4)}

    x, v = np.full((3, 2), 7, np.int32), np.arange(65536, 65546, dtype=np.int32).reshape(5, 2)
    b = np.arange(250, 255, dtype=np.uint8)
    graph = dlc.trace(both, i32[3, 2], i32[5, 2], dlc.u8[5])
    want = dlc.evaluate(graph, x, v, b)
    np.multiply.at(x_after := x.copy(), np.array([0, 2, 2, 0, 2]), v)
    np.testing.assert_array_equal(want["big"], x_after)
    with dlc.compile(graph, name="products").load(threads=1) as program:
        found = program(x, v, b)
    for name, value in want.items():
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize("name", ["steps", "apart", "with slices", "broadcast"])
def test_compiled(name: str) -> None:
    shape, key = KEYS[name]
    x = np.random.default_rng(4).normal(size=shape).astype(np.float32)
    want = x.copy()
    want[key] = 5
    graph = dlc.trace(lambda x: (x[key], x.at[key].set(5)), Type(f32, shape))
    with dlc.compile(graph).load(threads=2) as program:
        read, written = program(x).values()
    np.testing.assert_array_equal(read, x[key])
    np.testing.assert_array_equal(written, want)


def test_computed_indices() -> None:
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    i, j = np.array([0, 2], np.int32), np.array([[3], [1]], np.int32)
    graph = dlc.trace(lambda x, i, j: (x[i, j], x[:, j], x.at[i].add(1), x[i[0]]),
                      f32[3, 4], i32[2], i32[2, 1])
    both, columns, added, row = list(dlc.evaluate(graph, x, i, j).values())[:4]
    np.testing.assert_array_equal(both, x[i, j])
    np.testing.assert_array_equal(columns, x[:, j])
    np.testing.assert_array_equal(added[[0, 2]], x[[0, 2]] + 1)
    np.testing.assert_array_equal(row, x[0])


def test_the_last_of_equal_places_wins_and_gets_the_gradient() -> None:
    def f(x: Any, v: Any) -> Any:
        return (x.at[[1, 1, 0]].set(v) * np.array([1.0, 10.0, 100.0])).sum()

    graph = dlc.trace(dlc.grad(f, wrt=(0, 1)), f64[3], f64[3])
    dx, dv = dlc.evaluate(graph, np.ones(3), np.ones(3)).values()
    np.testing.assert_array_equal(dx, [0, 0, 100])
    np.testing.assert_array_equal(dv, [0, 10, 1])


@pytest.mark.parametrize("start", [-3, 0, 2, 9])
def test_dynamic_slices(start: int) -> None:
    x = np.arange(20, dtype=np.float32).reshape(5, 4)
    v = -np.ones((2, 3), np.float32)
    graph = dlc.trace(lambda x, v, s: (dlc.dynamic_slice(x, (s, 1), (2, 3)),
                                       dlc.dynamic_update_slice(x, v, (s, 1))),
                      f32[5, 4], f32[2, 3], i32[()])
    low = min(max(start, 0), 3)
    want = x.copy()
    want[low:low + 2, 1:4] = v
    for run in (dlc.evaluate, lambda g, *a: dlc.compile(g).load(threads=2)(*a)):
        part, whole = run(graph, x, v, np.int32(start)).values()
        np.testing.assert_array_equal(part, x[low:low + 2, 1:4])
        np.testing.assert_array_equal(whole, want)


def test_gradients_of_dynamic_slices() -> None:
    def f(x: Any, v: Any, s: Any) -> Any:
        y = dlc.dynamic_update_slice(x, v, (s,))
        return (dlc.dynamic_slice(y, (s + 1,), (2,)) * np.array([3.0, 5.0])).sum()

    graph = dlc.trace(dlc.grad(f, wrt=(0, 1)), f64[5], f64[2], i32[()])
    dx, dv = dlc.evaluate(graph, np.ones(5), np.ones(2), np.int32(1)).values()
    np.testing.assert_array_equal(dx, [0, 0, 0, 5, 0])
    np.testing.assert_array_equal(dv, [0, 3])


@pytest.mark.parametrize(("function", "says"), [
    (lambda x: x[4], "index 4 on axis 0"),
    (lambda x: x[0, 0, 0], "3 indices"),
    (lambda x: x[::0], "step 0"),
    (lambda x: x[..., ...], "two '...'"),
    (lambda x: x[x > 0], "dlc.where"),
    (lambda x: x[True], "dlc.where"),
    (lambda x: x[np.array([True, False, True, True, False])], "a mask of shape"),
    (lambda x: x[[0.5]], "an index is i32 or i64"),
    (lambda x: x["name"], "is not an array or number"),
    (lambda x: x[[0, 3]], "index 3 is out of range"),
    (lambda x: x[[0, -4]], "index -4 is out of range"),
    (lambda x: x[[0, 1], [0, 1, 2]], "do not broadcast"),
    (lambda x: x[x[0, 0]:], "dlc.dynamic_slice"),
    (lambda x: x.at[0].set(np.ones(3, np.float32)), "the place has shape"),
    (lambda x: x.at[[0, 1]].add(np.ones((3, 4), np.float32)), "the place has shape"),
    (lambda x: x.at[5].set(0), "index 5"),
    (lambda x: dlc.dynamic_slice(x, (0,), (1, 1)), "one of each for 2 axes"),
    (lambda x: dlc.dynamic_slice(x, (0, 0), (4, 1)), "sizes are 0 .. 3"),
    (lambda x: dlc.dynamic_slice(x, (0.5, 0), (1, 1)), "a start is an i32"),
    (lambda x: dlc.dynamic_update_slice(x, x[0], (0, 0)), "one rank"),
])
def test_refusals(function: Callable[[Any], Any], says: str) -> None:
    with pytest.raises(DlcError, match=says):
        dlc.trace(lambda x: function(x), f32[3, 4])


@pytest.mark.parametrize("key", [
    (np.array([True, False, True, False]),),
    (..., [True, False]),
    (np.eye(4, 3, dtype=bool),),
    (np.eye(4, 3, dtype=bool), 1),
    (slice(None), [True, False, True]),
    (np.zeros(4, bool), None),
], ids=range(6))
def test_masks_that_are_known_select(key: tuple[Any, ...]) -> None:
    """A mask of NumPy's is the places where it holds; its shape is that of the axes it stands for.
    """
    x = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    graph = dlc.trace(lambda v: v[key], f32[4, 3, 2])
    np.testing.assert_array_equal(dlc.evaluate(graph, x), x[key])


def test_a_mask_of_another_shape() -> None:
    with pytest.raises(DlcError, match=r"mask of shape \(2,\) at axis 0"):
        dlc.trace(lambda v: v[np.array([True, False])], f32[4, 3])
