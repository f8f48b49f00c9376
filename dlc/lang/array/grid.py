"""Sampling an image at computed positions: grid_sample and affine_grid (Jaderberg et al. 2015)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe, make
from dlc.ir.types import accumulator, i32
from dlc.ops.convert import as_node, as_nodes, broadcast_to, cast, common_type
from dlc.ops.elementwise import abs_, clip, floor, round_, where
from dlc.ops.gather import GATHER
from dlc.ops.leaf import iota
from dlc.ops.view import concat, reshape, slice_

MODES = ("linear", "nearest", "cubic")
PADDINGS = ("zeros", "border", "reflection")
CUBIC = -0.75  # the coefficient of Keys' kernel that PyTorch and OpenCV take


def grid_sample(x: Any, grid: Any, mode: str = "linear", padding: str = "zeros",
                align_corners: bool = False) -> Node:
    """x [N, C, S...] read at grid [N, S'..., n]: [N, C, S'...], for n spatial axes.

    A grid position has n coordinates in -1 .. 1, the one of the last axis (x) first; -1 and 1 are
    the centres of the outer elements with `align_corners`, their outer edges without. `mode` is
    "linear", "nearest" (halves to even) or "cubic" (Keys 1981); positions outside read "zeros", the
    "border" element, or the "reflection". Differentiable in x and, except for "nearest", the grid.
    Same meaning as PyTorch's grid_sample. Raises DlcError for wrong shapes and unknown options.
    """
    a, b = _operands(x, grid)
    for name, word, known in (("mode", mode, MODES), ("padding", padding, PADDINGS)):
        if word not in known:
            raise DlcError(f"grid_sample: {name}={word!r}", here(), f"one of {', '.join(known)}")
    n = a.ndim - 2
    sizes = tuple(map(int, a.shape[2:]))
    kind = accumulator(a.dtype)
    wide = cast(b, kind)
    places = [_place(wide, n - 1 - axis, d, align_corners) for axis, d in enumerate(sizes)]
    if mode != "cubic":
        places = [_inside(p, d, padding, align_corners)
                  for p, d in zip(places, sizes, strict=True)]
    taps = [_taps(p, d, mode, padding, align_corners) for p, d in zip(places, sizes, strict=True)]
    flat = reshape(a, (*a.shape[:2], math.prod(sizes)))
    total: Node | None = None
    for chosen in itertools.product(*taps):
        part = _corner(flat, chosen, sizes)
        total = part if total is None else total + part
    assert total is not None
    return cast(total, a.dtype)


def _operands(x: Any, grid: Any) -> tuple[Node, Node]:
    a, b = as_nodes(x, grid)
    n = a.ndim - 2
    if n < 1 or b.ndim != a.ndim or b.shape[0] != a.shape[0] or b.shape[-1] != n:
        raise DlcError(f"grid_sample({describe(a)}, {describe(b)})", here(),
                       "an image [N, C, S...] takes a grid [N, S'..., number of spatial axes]")
    if not a.dtype.is_float or not b.dtype.is_float or 0 in a.shape[2:]:
        raise DlcError(f"grid_sample({describe(a)}, {describe(b)})", here(),
                       "both hold floats, and the image has elements")
    a, b = common_type("grid_sample", a, b)
    return a, b


def _place(grid: Node, component: int, size: int, align_corners: bool) -> Node:
    """A coordinate in -1 .. 1 as a position between elements: [N, S'...]."""
    low, high = [0] * grid.ndim, [int(d) for d in grid.shape]
    low[-1], high[-1] = component, component + 1
    g = reshape(slice_(grid, low, high), grid.shape[:-1])
    if align_corners:
        return (g + 1.0) * ((size - 1) / 2)
    return ((g + 1.0) * size - 1.0) * 0.5


def _inside(at: Node, size: int, padding: str, align_corners: bool) -> Node:
    """Positions moved into the image where its padding says how."""
    if padding == "zeros":
        return at
    if padding == "border":
        return clip(at, 0.0, float(size - 1))
    low, span = (0.0, float(size - 1)) if align_corners else (-0.5, float(size))
    if span == 0:
        return at * 0.0
    away = abs_(at - low)
    flips = floor(away / span)
    rest = away - flips * span
    back = flips - floor(flips * 0.5) * 2.0 > 0.5
    return clip(where(back, span - rest, rest) + low, 0.0, float(size - 1))


def _taps(at: Node, size: int, mode: str, padding: str,
          align_corners: bool) -> list[tuple[Node, Node | None]]:
    """(position, weight) of the elements that a place is made of; no weight is 1."""
    if mode == "nearest":
        return [_tap(round_(at), None, size, padding == "zeros")]
    base = floor(at)
    t = at - base
    if mode == "linear":
        return [_tap(base, 1.0 - t, size, padding == "zeros"),
                _tap(base + 1.0, t, size, padding == "zeros")]
    found = []
    for k, weight in zip((-1.0, 0.0, 1.0, 2.0), _cubic(t), strict=True):
        position = _inside(base + k, size, padding, align_corners)
        found.append(_tap(position, weight, size, padding == "zeros"))
    return found


def _cubic(t: Node) -> Sequence[Node]:
    """Keys' weights of the elements at -1, 0, 1 and 2 for a place at t in 0 .. 1."""
    def near(s: Node) -> Node:
        return ((CUBIC + 2) * s - (CUBIC + 3)) * s * s + 1.0

    def far(s: Node) -> Node:
        return ((CUBIC * s - 5 * CUBIC) * s + 8 * CUBIC) * s - 4 * CUBIC

    return far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)


def _tap(at: Node, weight: Node | None, size: int, zeros: bool) -> tuple[Node, Node | None]:
    """The element at `at`, a whole number as a float: as an index, with weight 0 outside."""
    if zeros:
        inside = (at >= 0.0) & (at <= float(size - 1))
        weight = cast(inside, at.dtype) if weight is None else where(inside, weight, 0.0)
    return cast(clip(at, 0.0, float(size - 1)), i32), weight


def _corner(flat: Node, chosen: Sequence[tuple[Node, Node | None]],
            sizes: Sequence[int]) -> Node:
    """The elements at one tap per axis, times their weights: [N, C, S'...]."""
    index, weight = chosen[0]
    for (at, w), d in zip(chosen[1:], sizes[1:], strict=True):
        index = index * d + at
        weight = w if weight is None else weight if w is None else weight * w
    kind = accumulator(flat.dtype)
    value = cast(make(GATHER, (flat, index), axis=2, batch=1), kind)
    if weight is None:
        return value
    wide = reshape(weight, (weight.shape[0], 1, *weight.shape[1:]))
    return value * broadcast_to(wide, value.shape)


def affine_grid(theta: Any, size: Sequence[int], align_corners: bool = False) -> Node:
    """The grid [N, S..., n] of the affine maps theta [N, n, n + 1] over an image of `size`
    (N, C, S...): the position that each result is sampled from, for `grid_sample`.

    Same meaning as PyTorch's affine_grid. Raises DlcError for wrong shapes.
    """
    maps, n = as_node(theta), len(size) - 2
    if n < 1 or not maps.dtype.is_float or tuple(maps.shape) != (size[0], n, n + 1):
        raise DlcError(f"affine_grid({describe(maps)}, {tuple(size)})", here(),
                       "maps [N, n, n + 1] and a size (N, C, S...) with n spatial axes")
    spatial = tuple(map(int, size[2:]))
    shape = (int(size[0]), *spatial)
    rows = []
    for j in range(n):
        terms = [_column(maps, j, k, shape) * _centres(shape, n - k, spatial[n - 1 - k], maps,
                                                       align_corners) for k in range(n)]
        row = _column(maps, j, n, shape)
        for term in terms:
            row = row + term
        rows.append(reshape(row, (*shape, 1)))
    return concat(rows, n + 1)


def _column(maps: Node, j: int, k: int, shape: Sequence[int]) -> Node:
    """theta[:, j, k] for every place of a grid."""
    part = slice_(maps, (0, j, k), (int(maps.shape[0]), j + 1, k + 1))
    return broadcast_to(reshape(part, (shape[0], *(1,) * (len(shape) - 1))), shape)


def _centres(shape: Sequence[int], axis: int, size: int, maps: Node,
             align_corners: bool) -> Node:
    """The coordinate of each element's centre along an axis of the grid, in -1 .. 1."""
    position = cast(iota(tuple(shape), axis), maps.dtype)
    if align_corners:
        return position * (2.0 / (size - 1)) - 1.0 if size > 1 else position * 0.0
    return position * (2.0 / size) + (1.0 / size - 1.0)
