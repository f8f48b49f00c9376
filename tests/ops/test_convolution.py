"""Convolutions of any rank and their transposes: against definitions, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import nn
from dlc.errors import DlcError
from dlc.ir.types import Type, dtype, f32

Array = np.ndarray


def traced(function: Callable[..., Any], *arrays: Array) -> Any:
    return dlc.trace(lambda *a: function(*a), *(Type(dtype(a.dtype), a.shape) for a in arrays))


def evaluated(function: Callable[..., Any], *arrays: Array) -> Any:
    return dlc.evaluate(traced(function, *arrays), *arrays)


def arrays(*shapes: tuple[int, ...]) -> list[Array]:
    rng = np.random.default_rng(8)
    return [rng.uniform(-1, 1, s) for s in shapes]


# image, kernel [C, O / groups, K...], stride, padding, output_padding, dilation, groups
TRANSPOSED = [
    ((2, 4, 7), (4, 3, 3), 2, 1, 1, 1, 1),
    ((2, 4, 5, 6), (4, 2, 3, 2), (2, 3), (1, 0), (0, 2), 1, 2),
    ((1, 3, 4, 4), (3, 2, 2, 3), 1, ((0, 1), (2, 1)), 0, (3, 2), 1),
    ((1, 2, 3, 2, 3), (2, 2, 2, 2, 1), (3, 1, 2), 0, (1, 0, 1), 1, 1),
    ((1, 2, 5, 5), (2, 2, 1, 1), 2, 0, 1, 1, 1),
]


@pytest.mark.parametrize("case", TRANSPOSED)
def test_transpose_is_the_gradient_by_the_input(case: Any) -> None:
    """<conv(z, w), x> and <z, conv_transpose(x, w)> are one number, for any z."""
    shape, kernel, stride, padding, extra, holes, groups = case
    x, w = arrays(shape, kernel)
    y = evaluated(lambda a, b: dlc.conv_transpose(a, b, stride, padding, extra, holes, groups),
                  x, w)
    z = np.random.default_rng(9).uniform(-1, 1, y.shape)
    forward = evaluated(lambda a, b: dlc.conv(a, b, stride, padding, holes, groups), z, w)
    assert forward.shape == x.shape
    np.testing.assert_allclose(np.vdot(forward, x), np.vdot(z, y))


@pytest.mark.parametrize("rule", ["same", "same_lower"])
@pytest.mark.parametrize(("stride", "kernel"), [(1, 3), (2, 3), (3, 4), (3, 2)])
def test_transpose_of_same_multiplies_the_size(rule: str, stride: int, kernel: int) -> None:
    x, w = arrays((1, 2, 5, 6), (2, 3, kernel, kernel))
    y = evaluated(lambda a, b: dlc.conv_transpose(a, b, stride, rule), x, w)
    assert y.shape == (1, 3, 5 * stride, 6 * stride)


def test_same_and_same_lower() -> None:
    x, w = np.arange(1.0, 5.0).reshape(1, 1, 4), np.ones((1, 1, 2))
    same, lower = (evaluated(lambda a, b, r=r: dlc.conv(a, b, padding=r), x, w)[0, 0]
                   for r in ("same", "same_lower"))
    np.testing.assert_array_equal(same, [3, 5, 7, 4])
    np.testing.assert_array_equal(lower, [1, 3, 5, 7])


def test_depthwise_with_multiplier() -> None:
    """Result c * m + i is channel c by its i-th kernel."""
    x, w = arrays((1, 3, 6), (6, 1, 3))
    y = evaluated(lambda a, b: dlc.conv(a, b, groups=3), x, w)
    for o in range(6):
        np.testing.assert_allclose(y[0, o], np.correlate(x[0, o // 2], w[o, 0], "valid"))


def test_numbers_of_numpy() -> None:
    x, w = arrays((1, 2, 6), (3, 2, 3))
    two = np.int64(2)
    graph = traced(lambda a, b: dlc.conv(a, b, two, (np.int64(1),), [two]), x, w)
    assert graph.outputs[0].shape == (1, 3, 2)


def test_operands_of_two_dtypes() -> None:
    graph = dlc.trace(lambda a, b: dlc.conv(a, b), f32[1, 2, 5],
                      Type(dtype(np.float64), (3, 2, 2)))
    assert graph.outputs[0].dtype is dtype(np.float64)


LAYERS: dict[str, tuple[Any, tuple[int, ...], tuple[int, ...], int]] = {
    "depthwise": (nn.depthwise_conv(3, multiplier=2, padding=1), (2, 4, 8, 8), (2, 8, 8, 8),
                  8 * 9 + 8),
    "separable": (nn.separable_conv(5, 3, stride=2, padding="same"), (2, 4, 9, 8), (2, 5, 5, 4),
                  4 * 9 + 5 * 4 + 5),
    "transposed": (nn.conv_transpose(6, 4, stride=2, padding=1), (2, 4, 8, 8), (2, 6, 16, 16),
                   4 * 6 * 16 + 6),
    "transposed groups": (nn.conv_transpose(6, 3, groups=2, bias=False), (2, 4, 8), (2, 6, 10),
                          4 * 3 * 3),
    "volume": (nn.conv(3, (1, 2, 3)), (1, 2, 4, 4, 4), (1, 3, 4, 3, 2), 3 * 2 * 6 + 3),
    "adaptive": (nn.adaptive_avg_pool((3, None)), (2, 4, 8, 5), (2, 4, 3, 5), 0),
    "adaptive maxima": (nn.adaptive_max_pool(1), (2, 4, 8, 5), (2, 4, 1, 1), 0),
    "norms": (nn.lp_pool(2, 2), (2, 4, 8), (2, 4, 4), 0),
    "rounded up": (nn.max_pool(2, ceil_mode=True), (2, 4, 7), (2, 4, 4), 0),
    "global": (nn.chain(nn.global_avg_pool, nn.flatten), (2, 4, 7, 3), (2, 4), 0),
    "upsample": (nn.upsample(2, "linear"), (2, 4, 7, 3), (2, 4, 14, 6), 0),
    "resize": (nn.resize(5), (2, 4, 7, 3), (2, 4, 5, 5), 0),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str) -> None:
    layer, given, gives, parameters = LAYERS[name]
    graph = dlc.trace(layer, f32[given])
    assert tuple(graph.outputs[0].shape) == gives
    assert sum(n.type.size for n in graph.inputs if n.attrs["role"] == "param") == parameters


@pytest.mark.parametrize(("call", "says"), [
    (lambda x, w: dlc.conv(x, w, stride=0), "stride=0 is too small"),
    (lambda x, w: dlc.conv(x, w, dilation=-1), "dilation=-1 is too small"),
    (lambda x, w: dlc.conv(x, w, groups=0), "groups=0 is too small"),
    (lambda x, w: dlc.conv(x, w, groups=3), "groups=3 does not divide 4 input channels"),
    (lambda x, w: dlc.conv(x, w, groups=2), "the kernel takes 4 each"),
    (lambda x, w: dlc.conv(x, w, stride=(1, 2, 3)), "has 3 entries"),
    (lambda x, w: dlc.conv(x, w, stride=1.5), "no whole number"),
    (lambda x, w: dlc.conv(x, w, padding="full"), "padding='full' does not match 2 spatial axes"),
    (lambda x, w: dlc.conv(x, w, padding=(1,)), "fits no 2 spatial axes"),
    (lambda x, w: dlc.conv(x, w, dilation=4), "a kernel of 9 does not fit into 5"),
    (lambda x, w: dlc.conv(x[0], w), "ranks 3 and 4"),
    (lambda x, w: dlc.conv_transpose(x, w, stride=0), "stride=0 is too small"),
    (lambda x, w: dlc.conv_transpose(x, w), "4 input channels in 1 groups, the kernel takes 6"),
    (lambda x, w: dlc.conv_transpose(x, w[:4], output_padding=1), "smaller than the stride"),
    (lambda x, w: dlc.conv_transpose(x, w[:4], padding=9), "the result would have sizes"),
    (lambda x, w: dlc.conv_transpose(x, w[:4], padding="full"), "fits no 2 spatial axes"),
])
def test_refused(call: Callable[..., Any], says: str) -> None:
    with pytest.raises(DlcError, match=says):
        traced(call, *arrays((2, 4, 5, 6), (6, 4, 3, 3)))
