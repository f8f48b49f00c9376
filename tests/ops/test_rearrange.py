"""Rearranging functions against NumPy's of the same name, and their refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32
from dlc.errors import DlcError
from dlc.ir.types import Type

Pair = tuple[tuple[int, ...], Callable[[Any, Any], Any]]

# each is called with dlc and a graph value, then with numpy and an array
SAME: dict[str, Pair] = {
    "stack": ((2, 3), lambda m, x: m.stack([x, x + 1], 1)),
    "stack last": ((2, 3), lambda m, x: m.stack([x, x * 2, x], -1)),
    "split": ((2, 6), lambda m, x: m.stack(m.split(x, 3, 1), 0)),
    "array_split": ((7, 2), lambda m, x: m.concatenate(m.array_split(x, 3)[::-1], 0)),
    "unstack": ((3, 2), lambda m, x: m.stack(m.unstack(x, axis=1)[::-1], 0)),
    "roll": ((3, 4), lambda m, x: m.roll(x, 5, 1)),
    "roll flat": ((3, 4), lambda m, x: m.roll(x, -2)),
    "roll axes": ((3, 4), lambda m, x: m.roll(x, (1, -1), (0, 1))),
    "roll twice": ((3, 4), lambda m, x: m.roll(x, 2, (0, 1))),
    "tile": ((2, 3), lambda m, x: m.tile(x, (2, 1, 3))),
    "tile one": ((2, 3), lambda m, x: m.tile(x, 2)),
    "tile none": ((2, 3), lambda m, x: m.tile(x, (0, 2))),
    "repeat": ((2, 3), lambda m, x: m.repeat(x, 3, 1)),
    "repeat flat": ((2, 3), lambda m, x: m.repeat(x, 2)),
    "repeat counts": ((2, 3), lambda m, x: m.repeat(x, [2, 0, 1], 1)),
    "expand_dims": ((2, 3), lambda m, x: m.expand_dims(x, (0, -1))),
    "squeeze": ((1, 3, 1), lambda m, x: m.squeeze(x)),
    "squeeze axis": ((1, 3, 1), lambda m, x: m.squeeze(x, -1)),
    "moveaxis": ((2, 3, 4), lambda m, x: m.moveaxis(x, 0, -1)),
    "moveaxes": ((2, 3, 4, 5), lambda m, x: m.moveaxis(x, (0, 3), (2, 0))),
    "swapaxes": ((2, 3, 4), lambda m, x: m.swapaxes(x, 0, -1)),
    "ravel": ((2, 3), lambda m, x: m.ravel(x)),
    "rot90": ((2, 3), lambda m, x: m.rot90(x)),
    "rot180": ((2, 3), lambda m, x: m.rot90(x, 2)),
    "rot270": ((2, 3, 4), lambda m, x: m.rot90(x, -1, (1, 2))),
    "flip": ((2, 3), lambda m, x: m.flip(x, -1)),
    "diagonal": ((3, 4), lambda m, x: m.diagonal(x)),
    "diagonal above": ((3, 4), lambda m, x: m.diagonal(x, 2)),
    "diagonal below": ((2, 4, 3), lambda m, x: m.diagonal(x, -1, 1, 2)),
    "diagonal axes": ((3, 2, 4), lambda m, x: m.diagonal(x, 0, 2, 0)),
    "diagonal of none": ((3, 4), lambda m, x: m.diagonal(x, 4)),
    "diag": ((4,), lambda m, x: m.diag(x)),
    "diag above": ((3,), lambda m, x: m.diag(x, 2)),
    "diag below": ((3,), lambda m, x: m.diag(x, -1)),
    "diag of a matrix": ((3, 4), lambda m, x: m.diag(x, 1)),
    "trace": ((3, 4), lambda m, x: x.trace(1)),
    "triu": ((3, 4), lambda m, x: m.triu(x)),
    "triu above": ((2, 3, 4), lambda m, x: m.triu(x, 1)),
    "tril": ((3, 4), lambda m, x: m.tril(x, -1)),
    "tri": ((3,), lambda m, x: x * m.tri(4, 3, 1)),
    "eye": ((3,), lambda m, x: x * m.eye(4, 3, -1)),
    "identity": ((3,), lambda m, x: x * m.identity(3)),
    "ones": ((3,), lambda m, x: x + m.ones((2, 3)) + m.zeros((1, 3)) + m.full((3,), 2)),
    "likes": ((3,), lambda m, x: m.ones_like(x) + m.zeros_like(x) + m.full_like(x, 0.5)),
    "arange": ((3,), lambda m, x: x * m.arange(3)),
    "arange step": ((3,), lambda m, x: x * m.arange(5, -1, -2)),
    "linspace": ((3,), lambda m, x: x * m.linspace(-1, 2, 3)),
    "linspace open": ((3,), lambda m, x: x * m.linspace(-1, 2, 3, endpoint=False)),
    "transpose": ((2, 3, 4), lambda m, x: x.transpose(2, 0, 1) + x.transpose((2, 0, 1))),
    "reshape": ((2, 3), lambda m, x: x.reshape(np.int64(3), -1)),
    "concat promotes": ((2, 3), lambda m, x: m.concatenate([x, np.ones((1, 3), np.int32)], 0)),
    "negative axes": ((2, 3), lambda m, x: x.sum(np.int64(-1)) + x.sum((-1,))),
    "meshgrid": ((3,), lambda m, x: m.stack(m.meshgrid(x, x * 2, indexing="ij"), 0)),
    "meshgrid xy": ((3,), lambda m, x: m.stack(m.meshgrid(x, x[:2]), -1)),
    "meshgrid of three": ((3,), lambda m, x: m.stack(m.meshgrid(x, x[:2], x), 0)),
}


def run(function: Callable[[Any, Any], Any], x: np.ndarray) -> Any:
    """The function of a graph value, evaluated."""
    class Names:
        """dlc with NumPy's names for what differs."""

        concatenate = staticmethod(dlc.concat)

        def __getattr__(self, name: str) -> Any:
            return getattr(dlc, name)

    graph = dlc.trace(lambda x: function(Names(), x), f32[x.shape])
    return dlc.evaluate(graph, x)


@pytest.mark.parametrize("name", SAME)
def test_as_numpy(name: str) -> None:
    shape, function = SAME[name]
    x = np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape)
    found, want = run(function, x), np.asarray(function(np, x))
    assert found.shape == want.shape
    np.testing.assert_allclose(found, want, rtol=1e-6)


def test_broadcast_arrays_and_atleast() -> None:
    a, b = np.arange(3, dtype=np.float32), np.ones((2, 1), np.float32)
    graph = dlc.trace(lambda a, b: dlc.stack(dlc.broadcast_arrays(a, b), 0), f32[3], f32[2, 1])
    np.testing.assert_array_equal(dlc.evaluate(graph, a, b), np.stack(np.broadcast_arrays(a, b)))
    assert dlc.trace(lambda a: dlc.atleast_nd(a, 3), f32[3]).outputs[0].shape == (1, 1, 3)


def test_unfold_and_columns() -> None:
    torch_unfold = np.array([[0, 1, 2], [2, 3, 4], [4, 5, 6]], np.float32)
    x = np.arange(7, dtype=np.float32)
    np.testing.assert_array_equal(run(lambda m, x: m.unfold(x, 0, 3, 2), x), torch_unfold)
    image = np.random.default_rng(0).normal(size=(2, 3, 5, 6)).astype(np.float32)
    columns = run(lambda m, x: m.im2col(x, (2, 3), (2, 1), (1, 0), (1, 2)), image)
    assert columns.shape == (2, 18, 6)
    wide = np.pad(image, [(0, 0), (0, 0), (1, 1), (0, 0)])
    want = wide[:, :, 2:4, 1:6:2].reshape(2, 18)
    np.testing.assert_array_equal(columns[:, :, 3], want)
    # the sum over windows counts how many windows hold each element
    back = run(lambda m, x: m.col2im(m.im2col(x, (2, 2), 1, 1), (5, 6), (2, 2), 1, 1), image)
    np.testing.assert_allclose(back, 4 * image, rtol=1e-6)


def test_pixel_shuffle() -> None:
    x = np.arange(2 * 8 * 2 * 3, dtype=np.float32).reshape(2, 8, 2, 3)
    y = run(lambda m, x: m.nn.pixel_shuffle(x, 2), x)
    assert y.shape == (2, 2, 4, 6)
    assert y[1, 1, 3, 2] == x[1, 4 + 2, 1, 1]
    np.testing.assert_array_equal(run(lambda m, x: m.nn.pixel_unshuffle(x, 2), y), x)


@pytest.mark.parametrize(("function", "says"), [
    (lambda x: dlc.stack([]), "stack of no arrays"),
    (lambda x: dlc.stack([x, x[0]]), "shapes must be equal"),
    (lambda x: dlc.stack([x, x], 4), "axes are -3 .. 2"),
    (lambda x: dlc.split(x, 3, 1), "4 along axis 1 into 3"),
    (lambda x: dlc.split(x, [1, 2], 1), "must add up to 4"),
    (lambda x: dlc.squeeze(x, 0), "axis 0 has size 2"),
    (lambda x: dlc.squeeze(x, 5), "axes are -2 .. 1"),
    (lambda x: dlc.moveaxis(x, (0, 0), (0, 1)), "names one axis twice"),
    (lambda x: dlc.moveaxis(x, 0, (0, 1)), "1 axes to 2 places"),
    (lambda x: dlc.roll(x, (1, 2), 0), "one shift for each axis"),
    (lambda x: dlc.tile(x, -1), "counts are 0, 1, 2"),
    (lambda x: dlc.repeat(x, [1, 2, 3], 0), "one count, or 2 for axis 0"),
    (lambda x: dlc.rot90(x, 1, (0, 0)), "names one axis twice"),
    (lambda x: dlc.diagonal(x, 0, 1, 1), "names one axis twice"),
    (lambda x: dlc.diag(x[None]), "a vector or a matrix"),
    (lambda x: dlc.triu(x[0]), "at least two axes"),
    (lambda x: dlc.unfold(x, 0, 3), "does not fit"),
    (lambda x: dlc.col2im(x[None], (3, 3), (2, 2)), "columns are"),
    (lambda x: dlc.nn.pixel_shuffle(x[None], 2), "C a multiple of 4"),
    (lambda x: dlc.arange(0, 3, 0), "step 0"),
    (lambda x: dlc.meshgrid(x), "takes vectors"),
    (lambda x: dlc.linspace(x, 1), "takes Python numbers"),
    (lambda x: x.reshape(2.0, 4), "whole numbers"),
    (lambda x: x.transpose(0.5, 1), "axes \\(0.5, 1\\)\n.*whole number"),
    (lambda x: x.transpose(0, 0), "no permutation"),
    (lambda x: x.sum(0.5), "an axis is a whole number"),
    (lambda x: dlc.concat([x, x[0]]), "differ beside axis"),
])
def test_refusals(function: Callable[[Any], Any], says: str) -> None:
    with pytest.raises(DlcError, match=says):
        dlc.trace(lambda x: function(x), Type(f32, (2, 4)))
