"""Pools against plain loops over windows, their gradients by hand, and what they refuse."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.errors import DlcError
from dlc.ir.types import Type, dtype
from dlc.lang.array.pooling import bins

Array = np.ndarray


def evaluated(function: Callable[..., Any], *arrays: Array) -> Any:
    graph = dlc.trace(lambda *a: function(*a), *(Type(dtype(a.dtype), a.shape) for a in arrays))
    found = dlc.evaluate(graph, *arrays)
    return list(found.values()) if isinstance(found, dict) else found


def windows_of(x: Array, size: Any, stride: Any, low: Any, dilation: Any, counts: Any) -> Any:
    """(output index, coordinates of the elements inside the input) of every window of x[0, 0]."""
    for at in itertools.product(*map(range, counts)):
        axes = [[o * s - p + j * d for j in range(k)] for o, s, p, d, k in
                zip(at, stride, low, dilation, size, strict=True)]
        inside = [[i for i in axis if 0 <= i < n] for axis, n in
                  zip(axes, x.shape[2:], strict=True)]
        yield at, list(itertools.product(*inside))


CASES = [  # size, stride, padding, dilation, ceil_mode, counts for a plane of 7 x 8
    ((2, 3), (2, 3), (0, 0), (1, 1), False, (3, 2)),
    ((2, 3), (2, 3), (0, 0), (1, 1), True, (4, 3)),
    ((3, 3), (1, 2), (1, 1), (1, 1), False, (7, 4)),
    ((3, 2), (2, 2), (1, 0), (2, 3), False, (3, 3)),
    ((3, 3), (3, 3), (1, 1), (1, 1), True, (3, 3)),
]


def image(whole: bool = False) -> Array:
    x = np.random.default_rng(3).uniform(-2, 2, (2, 2, 7, 8))
    return np.rint(x) if whole else x


@pytest.mark.parametrize(("size", "stride", "padding", "dilation", "ceil", "counts"), CASES)
def test_max_pool(size: Any, stride: Any, padding: Any, dilation: Any, ceil: bool,
                  counts: Any) -> None:
    """Values, positions (the first of equals), and all of the gradient at that position."""
    x = image(whole=True)
    values, places = evaluated(lambda a: dlc.max_pool_with_indices(
        a, size, stride, padding, dilation, ceil), x)
    slope = evaluated(dlc.grad(lambda a: dlc.sum(dlc.max_pool(
        a, size, stride, padding, dilation, ceil))), x)
    want = np.zeros_like(x[0, 0])
    assert values.shape == (2, 2, *counts)
    for at, inside in windows_of(x, size, stride, padding, dilation, counts):
        best = max(inside, key=lambda i: x[0, 0][i])  # max() gives the first
        assert values[0, 0][at] == x[0, 0][best]
        assert places[0, 0][at] == best[0] * 8 + best[1]
        want[best] += 1
    np.testing.assert_array_equal(slope[0, 0], want)


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize(("size", "stride", "padding", "dilation", "ceil", "counts"),
                         [c for c in CASES if c[3] == (1, 1)])
def test_avg_pool(size: Any, stride: Any, padding: Any, dilation: Any, ceil: bool, counts: Any,
                  padded: bool) -> None:
    """Padding counts or not, what rounding up adds never; the gradient is the shares."""
    x = image()
    found = evaluated(lambda a: dlc.avg_pool(a, size, stride, padding, ceil, padded), x)
    slope = evaluated(dlc.grad(lambda a: dlc.sum(dlc.avg_pool(
        a, size, stride, padding, ceil, padded))), x)
    want = np.zeros_like(x[0, 0])
    for at, inside in windows_of(x, size, stride, padding, dilation, counts):
        whole = math.prod(min(o * s - p + k, n + p) - (o * s - p) for o, s, p, k, n in
                          zip(at, stride, padding, size, (7, 8), strict=True))
        count = whole if padded else len(inside)
        np.testing.assert_allclose(found[0, 0][at], sum(x[0, 0][i] for i in inside) / count)
        for i in inside:
            want[i] += 1 / count
    np.testing.assert_allclose(slope[0, 0], want)


@pytest.mark.parametrize(("rule", "shape"), [("same", (4, 3)), ("same_lower", (4, 3)),
                                             ("valid", (3, 2)), (((1, 0), (0, 2)), (4, 3))])
def test_padding_rules(rule: Any, shape: tuple[int, int]) -> None:
    x = image()
    found = evaluated(lambda a: dlc.max_pool(a, (2, 3), padding=rule), x)
    assert found.shape == (2, 2, *shape)


def test_same_puts_the_odd_element_after_and_same_lower_before() -> None:
    x = np.arange(1.0, 5.0).reshape(1, 1, 4)
    upper = evaluated(lambda a: dlc.avg_pool(a, 2, 1, "same", count_include_pad=False), x)
    lower = evaluated(lambda a: dlc.avg_pool(a, 2, 1, "same_lower", count_include_pad=False), x)
    np.testing.assert_array_equal(upper[0, 0], [1.5, 2.5, 3.5, 4.0])
    np.testing.assert_array_equal(lower[0, 0], [1.0, 1.5, 2.5, 3.5])


@pytest.mark.parametrize("p", [1, 2, 2.5, math.inf])
def test_lp_pool(p: float) -> None:
    x = image()
    found = evaluated(lambda a: dlc.lp_pool(a, p, 2), x)
    for at, inside in windows_of(x, (2, 2), (2, 2), (0, 0), (1, 1), (3, 4)):
        norm = np.linalg.norm([x[0, 0][i] for i in inside], p)
        np.testing.assert_allclose(found[0, 0][at], norm)


def test_lp_pool_of_zeros_has_no_slope() -> None:
    x = np.zeros((1, 1, 4))
    assert not np.any(evaluated(dlc.grad(lambda a: dlc.sum(dlc.lp_pool(a, 2.0, 2))), x))


@pytest.mark.parametrize("size", [(3, 3), (7, 5), (1, 8), (10, 2), (None, 4)])
def test_adaptive(size: Any) -> None:
    x = image(whole=True)
    wanted = tuple(d if s is None else s for s, d in zip(size, (7, 8), strict=True))
    means = evaluated(lambda a: dlc.adaptive_avg_pool(a, size), x)
    values, places = evaluated(lambda a: dlc.adaptive_max_pool_with_indices(a, size), x)
    rows, cols = bins(7, wanted[0]), bins(8, wanted[1])
    for i, j in np.ndindex(*wanted):
        part = x[:, :, slice(*rows[i]), slice(*cols[j])]
        np.testing.assert_allclose(means[:, :, i, j], part.mean((2, 3)))
        np.testing.assert_array_equal(values[:, :, i, j], part.max((2, 3)))
        first = np.argmax(part.reshape(2, 2, -1), -1)
        row, col = np.divmod(first, part.shape[3])
        np.testing.assert_array_equal(places[:, :, i, j],
                                      (rows[i][0] + row) * 8 + cols[j][0] + col)


def test_global() -> None:
    x = image()
    np.testing.assert_allclose(evaluated(dlc.global_avg_pool, x), x.mean((2, 3), keepdims=True))
    np.testing.assert_array_equal(evaluated(lambda a: dlc.global_max_pool(a, False), x),
                                  x.max((2, 3)))


@pytest.mark.parametrize("stride", [2, 1])
def test_unpool_puts_maxima_back(stride: int) -> None:
    x = image()

    def both(a: Any) -> Any:
        values, places = dlc.max_pool_with_indices(a, 2, stride)
        return dlc.max_unpool(values, places, 2, stride, output_size=(7, 8)), values

    back, values, fault = evaluated(both, x)
    assert fault == 0
    kept = back != 0
    np.testing.assert_allclose(back[kept], x[kept], rtol=1e-15)
    assert set(np.unique(values)) <= set(np.unique(x[kept]))


def test_a_max_pool_is_one_launch() -> None:
    graph = dlc.trace(lambda x: dlc.max_pool(x * 2.0, 3, 2, 1) + 1.0,
                      Type(dtype(np.float32), (4, 8, 20, 20)))
    assert len(dlc.compile(graph, name="pool").program.entries["main"].launches) == 1


@pytest.mark.parametrize(("call", "says"), [
    (lambda x: dlc.max_pool(x, 0), "size=0 is too small"),
    (lambda x: dlc.max_pool(x, 2, 0), "stride=0 is too small"),
    (lambda x: dlc.max_pool(x, 2, dilation=-1), "dilation=-1 is too small"),
    (lambda x: dlc.max_pool(x, (2, 2, 2, 2, 2)), "for 5 spatial axes"),
    (lambda x: dlc.max_pool(x, 9), "a window of 9 does not fit into 7"),
    (lambda x: dlc.max_pool(x, 2, padding=2), "hides a whole window of 2"),
    (lambda x: dlc.max_pool(x, 2, padding=-1), "is negative"),
    (lambda x: dlc.max_pool(x, 2, padding="full"), "padding='full' does not match 2 spatial axes"),
    (lambda x: dlc.avg_pool(x, (2, 2.5)), "no whole number"),
    (lambda x: dlc.avg_pool(x, 2, divisor=0), "divisor=0"),
    (lambda x: dlc.lp_pool(x, 0.5, 2), "p=0.5"),
    (lambda x: dlc.adaptive_avg_pool(x, 0), "size=.* is too small"),
    (lambda x: dlc.adaptive_max_pool(x, (2, 2, 2, 2, 2)), "for 5 spatial axes"),
    (lambda x: dlc.max_unpool(x, x, 2), "can't index"),
    (lambda x: dlc.global_avg_pool(x[0, 0]), "global_avg_pool"),
])
def test_refused(call: Callable[..., Any], says: str) -> None:
    with pytest.raises(DlcError, match=says):
        evaluated(call, image())
