"""ONNX's operators that make arrays of nothing: constants, ranges, windows, random numbers."""

from __future__ import annotations

import math

import numpy as np

import dlc
from dlc.errors import DlcError
from dlc.ir.graph import Node
from dlc.ir.types import f32, i64
from dlc.onnx.call import Call, Results, array, converts
from dlc.onnx.proto import dtype_of
from dlc.onnx.tensors import checked_dims


@converts("Constant")
def constant(call: Call) -> Results:
    """The one attribute that is given is the value."""
    given = {k: v for k, v in call.attributes.items() if v is not None}
    if len(given) != 1:
        raise DlcError(f"{len(given)} values")
    (name, value), = given.items()
    if name == "value":
        return array(value)
    kinds = {"value_float": f32, "value_floats": f32, "value_int": i64, "value_ints": i64}
    if name not in kinds:
        raise DlcError(f"a constant by {name!r}", None, "dlc holds numbers and bools")
    return array(value, kinds[name])


@converts("ConstantOfShape")
def constant_of_shape(call: Call) -> Results:
    dims = checked_dims(call.known_ints(0) or (), "shape")
    value = call.get("value")
    filling = array(0.0, f32) if value is None else array(value.reshape(()))
    return dlc.broadcast_to(filling, dims)


@converts("Range")
def range_(call: Call) -> Results:
    start, limit, delta = (call.scalar(i) for i in range(3))
    if delta == 0:
        raise DlcError("a step of 0")
    kind = call.x().dtype
    count = max(0, math.ceil((limit - start) / delta))
    checked_dims([count], "range")
    ramp = dlc.cast(dlc.iota((count,), 0, i64), kind)
    return ramp * array(delta, kind) + array(start, kind)


@converts("BlackmanWindow", "HannWindow", "HammingWindow")
def window(call: Call) -> Results:
    """Cosine windows of a known length."""
    size = int(call.scalar(0))
    kind = dtype_of(call.integer("output_datatype", 1), "output_datatype")
    call.walk.knows.spend(size, "a window")
    weights = {"BlackmanWindow": (0.42, 0.5, 0.08), "HannWindow": (0.5, 0.5, 0.0),
               "HammingWindow": (25 / 46, 21 / 46, 0.0)}[call.name]
    length = size if call.flag("periodic", True) else size - 1
    turn = 2 * math.pi * np.arange(size) / max(length, 1)
    values = weights[0] - weights[1] * np.cos(turn) + weights[2] * np.cos(2 * turn)
    return array(values, kind)


@converts("MelWeightMatrix")
def mel_weights(call: Call) -> Results:
    """Triangles over the spectrum, evenly spaced on the mel scale; everything is known."""
    bins, length, rate, low, high = (call.scalar(i) for i in range(5))
    kind = dtype_of(call.integer("output_datatype", 1), "output_datatype")
    spectrum = int(length) // 2 + 1
    call.walk.knows.spend(spectrum * (int(bins) + 2), "mel weights")
    step = (to_mel(high) - to_mel(low)) / (int(bins) + 2)
    hertz = 700 * (10 ** ((to_mel(low) + np.arange(int(bins) + 2) * step) / 2595) - 1)
    places = np.floor((int(length) + 1) * hertz / rate).astype(int)
    left, centre, right = places[:-2], places[1:-1], places[2:]
    at = np.arange(spectrum)[:, None]
    up = np.where(centre > left, (at - left) / np.maximum(centre - left, 1), at == centre)
    down = (right - at) / np.maximum(right - centre, 1)
    falling = (at >= centre) & (at < right)
    weights = np.where(falling, down, np.where((at >= left) & (at <= centre), up, 0.0))
    return array(weights, kind)


def to_mel(hertz: float) -> float:
    return 2595 * math.log10(1 + hertz / 700)


@converts("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")
def random(call: Call) -> Results:
    """Numbers of dlc's own generator: the seed of the run, not the file's."""
    like = call.name.endswith("Like")
    shape = tuple(call.x().shape) if like else checked_dims(call.integers("shape"), "shape")
    default = call.x().dtype if like else f32
    kind = dtype_of(call.integer("dtype"), "dtype") if call.get("dtype") else default
    if "Normal" in call.name:
        scale, mean = call.number("scale", 1.0), call.number("mean", 0.0)
        found: Node = dlc.random.normal(shape) * scale + mean
    else:
        low, high = call.number("low", 0.0), call.number("high", 1.0)
        found = dlc.random.uniform(shape) * (high - low) + low
    return dlc.cast(found, kind)
