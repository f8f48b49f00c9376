"""ONNX's reductions, positions of extremes, softmax and running sums."""

from __future__ import annotations

import math
from collections.abc import Callable

import dlc
from dlc.errors import DlcError
from dlc.ir.graph import Node
from dlc.ir.types import f32, i64
from dlc.onnx.call import CONVERTERS, Call, Converter, Results, array, axis_of, converts
from dlc.onnx.shape import edged, flattened
from dlc.ops.convert import widened

Fold = Callable[[Node, tuple[int, ...], bool], Node]
# From this opset on the axes are an operand; before, an attribute.
AXES_SINCE = {"ReduceSum": 13}


def axes_of(call: Call) -> tuple[int, ...] | None:
    """The axes to reduce; None: nothing is to be done."""
    rank = call.x().ndim
    axes = call.axes(1, AXES_SINCE.get(call.name, 18), rank)
    if axes:
        if len(set(axes)) != len(axes):
            raise DlcError(f"axes {axes} name one twice")
        return axes
    return None if call.flag("noop_with_empty_axes") else tuple(range(rank))


def reduction(fold: Fold, before: Callable[[Node], Node] | None = None,
              after: Callable[[Node], Node] | None = None) -> Converter:
    """The converter of a reduction: `before` each element, `after` the whole.

    Without axes and with noop_with_empty_axes nothing is folded, before and after still apply.
    """
    def convert(call: Call) -> Results:
        x, axes = call.x(), axes_of(call)
        y = before(widened(x)) if before else x
        y = y if axes is None else fold(y, axes, call.flag("keepdims", True))
        y = after(y) if after else y
        return dlc.cast(y, x.dtype)

    return convert


def total(x: Node, axes: tuple[int, ...], keep: bool) -> Node:
    return dlc.sum(x, axes, keep)


def average(x: Node, axes: tuple[int, ...], keep: bool) -> Node:
    """Of integers the mean is cut to an integer."""
    return dlc.mean(x, axes, keep)


def extreme(own: str) -> Fold:
    """The largest or smallest; of no elements the identity, of bools any or all."""
    def fold(x: Node, axes: tuple[int, ...], keep: bool) -> Node:
        if x.dtype.name == "bool":
            return dlc.any(x, axes, keep) if own == "max" else dlc.all(x, axes, keep)
        if math.prod(int(x.shape[a]) for a in axes) == 0:
            return dlc.broadcast_to(none_of(x, own), [
                1 if a in axes else d for a, d in enumerate(x.shape) if keep or a not in axes])
        found: Node = getattr(dlc, own)(x, axes, keep)
        return found

    return fold


def none_of(x: Node, own: str) -> Node:
    """What no element gives: what changes no other."""
    import numpy as np

    if x.dtype.is_float:
        return array(-math.inf if own == "max" else math.inf, x.dtype)
    info = np.iinfo(x.dtype.numpy)
    return array(info.min if own == "max" else info.max, x.dtype)


CONVERTERS.update({
    ("", "ReduceSum"): reduction(total),
    ("", "ReduceMean"): reduction(average),
    ("", "ReduceMax"): reduction(extreme("max")),
    ("", "ReduceMin"): reduction(extreme("min")),
    ("", "ReduceProd"): reduction(lambda x, axes, keep: dlc.prod(x, axes, keep)),
    ("", "ReduceL1"): reduction(total, before=lambda x: dlc.abs(x)),
    ("", "ReduceL2"): reduction(total, before=lambda x: x * x, after=lambda x: dlc.sqrt(x)),
    ("", "ReduceSumSquare"): reduction(total, before=lambda x: x * x),
    ("", "ReduceLogSum"): reduction(total, after=lambda x: dlc.log(x)),
})


@converts("ReduceLogSumExp")
def log_sum_exp(call: Call) -> Results:
    x, axes = call.x(), axes_of(call)
    wide = x if x.dtype.is_float else dlc.cast(x, f32)
    if axes is None:
        return x
    return dlc.cast(dlc.logsumexp(wide, axes, call.flag("keepdims", True)), x.dtype)


@converts("ArgMax", "ArgMin")
def position(call: Call) -> Results:
    """The first of equal elements, or the last."""
    x, axis = call.x(), axis_of(call.integer("axis"), call.x().ndim)
    find = dlc.argmax if call.name == "ArgMax" else dlc.argmin
    if not call.flag("select_last_index"):
        return dlc.cast(find(x, axis, call.flag("keepdims", True)), i64)
    found = find(dlc.flip(x, axis), axis, call.flag("keepdims", True))
    return dlc.cast(int(x.shape[axis]) - 1 - found, i64)


# --- softmax --------------------------------------------------------------------------------------


@converts("Softmax", "LogSoftmax", "Hardmax")
def softmax(call: Call) -> Results:
    """Over one axis; before opset 13 over all axes from `axis` on."""
    x = call.x()
    function = {"Softmax": dlc.nn.softmax, "LogSoftmax": dlc.nn.log_softmax,
                "Hardmax": hardmax}[call.name]
    if call.opset >= 13:
        return function(x, axis_of(call.integer("axis", -1), x.ndim))
    flat = flattened(x, call.integer("axis", 1))
    return dlc.reshape(function(flat, 1), x.shape)


def hardmax(x: Node, axis: int) -> Node:
    """1 at the first largest element, else 0."""
    at = dlc.argmax(x, axis, keepdims=True)
    return dlc.cast(dlc.iota(x.shape, axis, at.dtype) == at, x.dtype)


# --- running ------------------------------------------------------------------------------------


@converts("CumSum", "CumProd")
def cumulative(call: Call) -> Results:
    """Of all elements up to each; `exclusive` leaves it out, `reverse` starts at the end."""
    x, axis = call.x(), axis_of(int(call.scalar(1)), call.x().ndim)
    x = dlc.flip(x, axis) if call.flag("reverse") else x
    start = 0 if call.name == "CumSum" else 1
    function = dlc.cumsum if call.name == "CumSum" else dlc.cumprod
    y = dlc.cast(function(x, axis), x.dtype)
    if call.flag("exclusive"):
        low = [int(a == axis) for a in range(x.ndim)]
        y = edged(y, low, [-v for v in low], start)
    return dlc.flip(y, axis) if call.flag("reverse") else y
