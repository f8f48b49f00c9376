"""Resizing along axes: nearest, linear, cubic and area, every corner rule, optional antialiasing.

Nearest picks elements: a view where the picks are regular, a gather elsewhere. The others are small
matrices, one an axis, so their gradients are matmuls too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe
from dlc.ir.types import f32
from dlc.lang.array.convolution import whole_numbers
from dlc.lang.array.linear_maps import along
from dlc.lang.array.pooling import adaptive_avg_pool, spatial_axes
from dlc.ops.convert import as_node, broadcast_to, cast
from dlc.ops.elementwise import where
from dlc.ops.gather import take
from dlc.ops.view import reshape, slice_

MODES = ("nearest", "linear", "cubic", "area")


@dataclass(frozen=True)
class Axis:
    """One axis being resized: sizes, the factor between them, and the part of it that is read."""

    size: int
    count: int
    scale: Fraction  # results per element
    roi: tuple[float, float] = (0.0, 1.0)


def _half_pixel(axis: Axis, o: int) -> Fraction:
    return (o + Fraction(1, 2)) / axis.scale - Fraction(1, 2)


def _half_pixel_symmetric(axis: Axis, o: int) -> Fraction:
    rounded_away = Fraction(axis.count) / (axis.scale * axis.size)
    return Fraction(axis.size, 2) * (1 - rounded_away) + _half_pixel(axis, o)


def _align_corners(axis: Axis, o: int) -> Fraction:
    return Fraction(o * (axis.size - 1), axis.count - 1) if axis.count > 1 else Fraction(0)


def _crop(axis: Axis, o: int) -> Fraction:
    low, high = map(Fraction, axis.roi)
    if axis.count == 1:
        return (low + high) / 2 * (axis.size - 1)
    return (axis.size - 1) * (low + o * (high - low) / (axis.count - 1))


# where result o of an axis stands between its elements (ONNX Resize 19, the same names)
COORDINATES: dict[str, Callable[[Axis, int], Fraction]] = {
    "half_pixel": _half_pixel,
    "half_pixel_symmetric": _half_pixel_symmetric,
    "pytorch_half_pixel": lambda a, o: _half_pixel(a, o) if a.count > 1 else Fraction(0),
    "align_corners": _align_corners,
    "asymmetric": lambda a, o: o / a.scale,
    "tf_crop_and_resize": _crop,
}
# which element is nearest to a place between two
ROUNDING: dict[str, Callable[[Fraction], int]] = {
    "floor": math.floor,
    "ceil": math.ceil,
    "round_prefer_floor": lambda x: math.ceil(x - Fraction(1, 2)),
    "round_prefer_ceil": lambda x: math.floor(x + Fraction(1, 2)),
}


def resize(x: Any, size: Any = None, scale: Any = None, mode: str = "linear",
           coordinates: str = "half_pixel", rounding: str = "round_prefer_floor",
           antialias: bool = False, cubic: float = -0.75, exclude_outside: bool = False,
           roi: Sequence[tuple[float, float]] | None = None, extrapolation: float = 0.0) -> Node:
    """x [..., S...] resampled to [..., size...], or to sizes floor(S * scale).

    `size` or `scale` is a number for all axes except the first two (batch, channels), or one for
    each of the last axes; None keeps one. `mode` is "nearest", "linear" (in each axis: bilinear,
    trilinear), "cubic" (Keys 1981 with coefficient `cubic`), or "area" (means over bins).

    `coordinates` maps results to positions in x: "half_pixel" (pixels are areas; PyTorch's
    align_corners=False), "align_corners", "asymmetric", "half_pixel_symmetric",
    "pytorch_half_pixel", or "tf_crop_and_resize" with `roi` (start, end) per axis and
    `extrapolation` outside of x. PyTorch's "nearest" is asymmetric with rounding="floor", its
    "nearest-exact" half_pixel with "round_prefer_ceil". `antialias` widens the filter when
    shrinking; `exclude_outside` leaves out neighbours beyond the border instead of repeating the
    border. Same meaning as ONNX's Resize. Integers give f32, except for "nearest". Raises DlcError
    for unknown options and sizes below 1.
    """
    node = as_node(x)
    _check_word("mode", mode, MODES)
    _check_word("coordinates", coordinates, COORDINATES)
    _check_word("rounding", rounding, ROUNDING)
    axes = _axes(node, size, scale, roi)
    if mode == "area":
        return adaptive_avg_pool(node, tuple(a.count for a in axes))
    first = node.ndim - len(axes)
    y = node if node.dtype.is_float or mode == "nearest" else cast(node, f32)
    kind = y.dtype
    # what shrinks goes first: less is left for the others
    for n in sorted(range(len(axes)), key=lambda n: axes[n].count / axes[n].size):
        axis = axes[n]
        at = [COORDINATES[coordinates](axis, o) for o in range(axis.count)]
        if axis.size == axis.count and at == list(range(axis.size)):
            continue
        y = (_nearest(y, first + n, at, rounding) if mode == "nearest" else
             along(y, first + n, filter_weights(axis, at, mode, antialias, cubic,
                                                exclude_outside)))
    y = cast(y, kind)
    return _extrapolated(y, axes, extrapolation) if coordinates == "tf_crop_and_resize" else y


def _nearest(y: Node, axis: int, at: Sequence[Fraction], rounding: str) -> Node:
    """The elements of y along `axis` nearest to the positions `at`."""
    last = int(y.shape[axis]) - 1
    return pick(y, axis, [min(max(ROUNDING[rounding](p), 0), last) for p in at])


def _check_word(name: str, word: Any, known: Any) -> None:
    if word not in known:
        raise DlcError(f"resize: {name}={word!r}", here(), f"one of {', '.join(known)}")


def _axes(x: Node, size: Any, scale: Any, roi: Any) -> list[Axis]:
    """The resized axes, checked."""
    if (size is None) == (scale is None):
        raise DlcError(f"resize({describe(x)}): give either size or scale", here(),
                       "size=(28, 28), or scale=2.0")
    given = scale if size is None else size
    n = spatial_axes("resize", x, 1 if isinstance(given, (int, float)) else given)
    own = tuple(map(int, x.shape[x.ndim - n:]))
    if 0 in own:
        raise DlcError(f"resize of {describe(x)}: an axis is empty", here())
    listed: tuple[Any, ...] = (given,) * n if isinstance(given, (int, float)) else tuple(given)
    if size is None:
        if not all(s is None or (isinstance(s, (int, float)) and 0 < s < math.inf) for s in listed):
            raise DlcError(f"resize: scale={scale!r}", here(), "factors are above 0")
        scales = [Fraction(1) if s is None else Fraction(s) for s in listed]
        counts = tuple(math.floor(d * s) for d, s in zip(own, scales, strict=True))
    else:
        counts = tuple(d if s is None else s for s, d in zip(listed, own, strict=True))
        scales = [Fraction(c, d) if isinstance(c, int) else Fraction(1)
                  for c, d in zip(counts, own, strict=True)]
    whole_numbers("resize", n, 1, size=counts)
    parts = tuple(roi) if roi is not None else ((0.0, 1.0),) * n
    if len(parts) != n:
        raise DlcError(f"resize: roi={roi!r}", here(), f"one (start, end) for each of {n} axes")
    return [Axis(d, c, s, (float(r[0]), float(r[1])))
            for d, c, s, r in zip(own, counts, scales, parts, strict=True)]


def _extrapolated(y: Node, axes: Sequence[Axis], value: float) -> Node:
    """y with `value` where a result stands outside of the elements."""
    first = y.ndim - len(axes)
    for n, axis in enumerate(axes):
        outside = np.array([not 0 <= _crop(axis, o) <= axis.size - 1 for o in range(axis.count)])
        if outside.any():
            mask = outside.reshape(-1, *(1,) * (y.ndim - first - n - 1))
            y = where(broadcast_to(as_node(mask), y.shape), value, y)
    return y


# --- nearest --------------------------------------------------------------------------------------


def pick(x: Node, axis: int, picks: Sequence[int]) -> Node:
    """x at indices `picks` of an axis: repeated or sliced by views where they are regular."""
    size, count = int(x.shape[axis]), len(picks)
    times = count // size
    if times > 1 and list(picks) == [i // times for i in range(count)] and count == size * times:
        before, after = x.shape[:axis], x.shape[axis + 1:]
        wide = broadcast_to(reshape(x, (*before, size, 1, *after)), (*before, size, times, *after))
        return reshape(wide, (*before, count, *after))
    step = picks[1] - picks[0] if count > 1 else 1
    if step > 0 and list(picks) == list(range(picks[0], picks[0] + count * step, step)):
        low, high, steps = [0] * x.ndim, [int(d) for d in x.shape], [1] * x.ndim
        low[axis], high[axis], steps[axis] = picks[0], picks[-1] + 1, step
        return slice_(x, low, high, steps)
    return take(x, np.asarray(picks, np.int32), axis)


# --- filters --------------------------------------------------------------------------------------


def _triangle(t: float, _: float) -> float:
    return max(0.0, 1.0 - abs(t))


def _keys(t: float, a: float) -> float:
    """The cubic convolution kernel (Keys 1981, equation 15)."""
    t = abs(t)
    if t <= 1:
        return ((a + 2) * t - (a + 3)) * t * t + 1
    return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a if t < 2 else 0.0


FILTERS: dict[str, tuple[Callable[[float, float], float], int]] = {
    "linear": (_triangle, 1), "cubic": (_keys, 2)}


def filter_weights(axis: Axis, at: Sequence[Fraction], mode: str, antialias: bool, cubic: float,
                   exclude_outside: bool) -> np.ndarray:
    """The matrix [count, size] of a filter around the places `at`; every row adds up to 1.

    With `antialias` the filter is stretched by the factor that the axis shrinks.
    """
    shape, support = FILTERS[mode]
    shrink = min(Fraction(1), axis.scale) if antialias else Fraction(1)
    radius = math.ceil(support / shrink)
    weights = np.zeros((axis.count, axis.size))
    for o, place in enumerate(at):
        base = math.floor(place)
        taps = range(base - radius, base + radius + 1)
        values = [shape(float((j - place) * shrink), cubic) for j in taps]
        if exclude_outside:
            values = [v if 0 <= j < axis.size else 0.0 for j, v in zip(taps, values, strict=True)]
        total = sum(values)
        for j, v in zip(taps, values, strict=True):
            weights[o, min(max(j, 0), axis.size - 1)] += v / total if total else 0.0
    return weights
