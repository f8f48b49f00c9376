"""ONNX's Resize: each axis by a matrix of weights, or for nearest by constant places."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

import dlc
from dlc.errors import DlcError
from dlc.ir.graph import Node
from dlc.ir.types import i64
from dlc.onnx.call import Call, Results, array, axis_of, chosen, converts
from dlc.onnx.tensors import checked_dims

COORDINATES = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners",
               "asymmetric", "tf_crop_and_resize", "tf_half_pixel_for_nn")
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


@dataclass(frozen=True)
class Axis:
    """One axis to resize: sizes, the scale, and the part of it that is read (roi, relative)."""

    size: int
    out: int
    scale: float
    roi: tuple[float, float]

    def places(self, mode: str) -> np.ndarray:
        """Where each output element reads, as a coordinate of the input: f64 [out]."""
        x, length = np.arange(self.out, dtype=np.float64), self.scale * self.size
        if mode == "align_corners":
            return x * (self.size - 1) / (length - 1) if length != 1 else x * 0
        if mode == "asymmetric":
            return x / self.scale
        if mode == "tf_crop_and_resize":
            low, high = self.roi
            if length == 1:
                return x * 0 + (high + low) * (self.size - 1) / 2
            return low * (self.size - 1) + x * (high - low) * (self.size - 1) / (length - 1)
        if mode == "tf_half_pixel_for_nn":
            return (x + 0.5) / self.scale
        if mode == "pytorch_half_pixel" and length == 1:
            return x * 0 - 0.5
        shift = self.size / 2 * (1 - self.out / length) if mode == "half_pixel_symmetric" else 0.0
        return shift + (x + 0.5) / self.scale - 0.5


@converts("Resize")
def resize(call: Call) -> Results:
    x = call.x()
    if call.opset < 11:
        return by_scales(call, x, call.known(1).reshape(-1).tolist(), "asymmetric", "floor")
    places = chosen("coordinate_transformation_mode",
                    call.text("coordinate_transformation_mode", "half_pixel"), COORDINATES)
    nearest = chosen("nearest_mode", call.text("nearest_mode", "round_prefer_floor"), NEAREST)
    axes = [axis_of(a, x.ndim) for a in call.integers("axes")] or list(range(x.ndim))
    return resized(call, x, geometry(call, x, axes, places), places, nearest)


@converts("Upsample")
def upsample(call: Call) -> Results:
    x = call.x()
    scales = call.known(1).reshape(-1) if call.opset >= 9 else call.get("scales")
    return by_scales(call, x, [float(s) for s in scales], "asymmetric", "floor")


def by_scales(call: Call, x: Node, scales: Sequence[float], places: str, nearest: str) -> Node:
    """All axes by their scales, as before opset 11."""
    if len(scales) != x.ndim:
        raise DlcError(f"{len(scales)} scales of {x.type}")
    found = {a: Axis(int(x.shape[a]), out_size(int(x.shape[a]), s), s, (0.0, 1.0))
             for a, s in enumerate(scales)}
    return resized(call, x, found, places, nearest)


def out_size(size: int, scale: float) -> int:
    """floor(size * scale). Raises DlcError for a scale that is not a size."""
    if not (math.isfinite(scale) and scale > 0):
        raise DlcError(f"scale {scale}")
    return checked_dims([math.floor(size * scale)], "resize")[0]


def geometry(call: Call, x: Node, axes: Sequence[int], places: str) -> dict[int, Axis]:
    """Each axis with its sizes, from the operands `scales` or `sizes`."""
    roi = call.known(1).reshape(-1).tolist() if places == "tf_crop_and_resize" else []
    part = {a: (roi[i], roi[i + len(axes)]) for i, a in enumerate(axes)} if roi else {}
    scales = call.known(2).reshape(-1).tolist() if call.has(2) else []
    if scales:
        outs = [out_size(int(x.shape[a]), s) for a, s in zip(axes, scales, strict=True)]
    else:
        outs = list(checked_dims(call.known_ints(3) or [], "resize"))
        if len(outs) != len(axes):
            raise DlcError(f"{len(outs)} sizes for {len(axes)} axes")
        outs, scales = kept_aspect(call, [int(x.shape[a]) for a in axes], outs)
    return {a: Axis(int(x.shape[a]), o, s, part.get(a, (0.0, 1.0)))
            for a, o, s in zip(axes, outs, scales, strict=True)}


def kept_aspect(call: Call, sizes: list[int], outs: list[int]) -> tuple[list[int], list[float]]:
    """Sizes and scales by keep_aspect_ratio_policy."""
    policy = chosen("keep_aspect_ratio_policy", call.text("keep_aspect_ratio_policy", "stretch"),
                    ("stretch", "not_larger", "not_smaller"))
    scales = [o / d for o, d in zip(outs, sizes, strict=True)]
    if policy == "stretch":
        return outs, scales
    one = min(scales) if policy == "not_larger" else max(scales)
    return [math.floor(one * d + 0.5) for d in sizes], [one] * len(sizes)


def resized(call: Call, x: Node, axes: dict[int, Axis], places: str, nearest: str) -> Node:
    """x with each axis resized in turn; outside a crop everything is the extrapolation value."""
    mode = chosen("mode", call.text("mode", "nearest"), ("nearest", "linear", "cubic"))
    y, kept = x, None
    for a, axis in axes.items():
        if axis.size < 1:
            raise DlcError(f"axis {a} of {x.type} is empty")
        call.walk.knows.spend(axis.out, "a resized axis")
        at = axis.places(places)
        if places == "tf_crop_and_resize":
            covered = math.prod(axes[i].out for i in axes if i <= a)
            call.walk.knows.spend(covered, "the mask of a crop")
            inside = (at >= 0) & (at <= axis.size - 1)
            column = np.reshape(inside, [-1 if i == a else 1 for i in range(x.ndim)])
            kept = column if kept is None else kept & column
        if axis.size == axis.out and axis.scale == 1 and np.array_equal(at, np.arange(axis.size)):
            continue
        if mode == "nearest":
            y = dlc.take(y, array(rounded(at, nearest, axis.size), i64), a)
        else:
            y = weighted(y, weights(call, axis, at, mode), a)
    if kept is None or kept.all():
        return y
    return dlc.where(array(kept), y, call.number("extrapolation_value", 0.0))


def rounded(at: np.ndarray, mode: str, size: int) -> np.ndarray:
    """The nearest element of each place."""
    rounds: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "floor": np.floor, "ceil": np.ceil,
        "round_prefer_floor": lambda v: np.ceil(v - 0.5),
        "round_prefer_ceil": lambda v: np.floor(v + 0.5)}
    found: np.ndarray = np.clip(rounds[mode](at), 0, size - 1).astype(np.int64)
    return found


def weighted(x: Node, matrix: np.ndarray, axis: int) -> Node:
    """Sums of x along an axis with the rows of `matrix` [out, in]."""
    order = [*(a for a in range(x.ndim) if a != axis), axis]
    y = dlc.matmul(dlc.transpose(x, order), array(matrix.T, x.dtype))
    return dlc.transpose(y, np.argsort(order).tolist())


def weights(call: Call, axis: Axis, at: np.ndarray, mode: str) -> np.ndarray:
    """[out, in]: what each output element takes of each input element.

    Triangles for linear; for cubic Keys 1981 with the coefficient a. Antialiasing stretches the
    kernel when the result is smaller. Taps outside fall on the edge, or are left out.
    """
    a = call.number("cubic_coeff_a", -0.75)
    stretch = min(axis.scale, 1.0) if call.flag("antialias") else 1.0
    radius = (1.0 if mode == "linear" else 2.0) / stretch
    most = max(axis.size, 2 * math.ceil(radius) + 1)
    call.walk.knows.spend(axis.out * most, "an axis resized by a matrix", axis.out)
    matrix = np.zeros((axis.out, axis.size))
    for row, place in enumerate(at):
        taps = np.arange(math.floor(place - radius) + 1, math.ceil(place + radius))
        taps = taps if len(taps) else np.array([round(place)])
        distance = np.abs(taps - place) * stretch
        values = np.maximum(0.0, 1 - distance) if mode == "linear" else keys(distance, a)
        if call.flag("exclude_outside"):
            values = np.where((taps >= 0) & (taps < axis.size), values, 0.0)
        np.add.at(matrix[row], np.clip(taps, 0, axis.size - 1), values / values.sum())
    return matrix


def keys(d: np.ndarray, a: float) -> np.ndarray:
    """Keys' cubic convolution kernel at distances d."""
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))
