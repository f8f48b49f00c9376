"""Operators and methods of Node: arithmetic, comparison, indexing, NumPy's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe
from dlc.lang.array import (
    diagonals,
    elementwise_functions,
    indexing,
    order,
    rearrange,
    statistics,
)
from dlc.lang.array.at import At
from dlc.ops import (
    argsort,
    contract,
    convert,
    cumulative,
    elementwise,
    elementwise_bits,
    reduce,
    view,
)
from dlc.words import answering, attributes, unknown


def _swapped(function: Callable[..., Any]) -> Callable[[Node, Any], Any]:
    return lambda self, other: function(other, self)


def _power(x: Any, y: Any) -> Node:
    """x ** y; a small integer power is a product."""
    if isinstance(x, Node) and isinstance(y, int) and not isinstance(y, bool) and 1 <= y <= 4:
        result = x
        for _ in range(y - 1):
            result = result * x
        return result
    return elementwise.power(x, y)


def install() -> None:
    """Give Node its operators; the graph module itself knows no operator."""
    e = elementwise
    pairs = {"add": e.add, "sub": e.sub, "mul": e.mul, "truediv": e.div, "floordiv": e.floordiv,
             "mod": e.rem, "pow": _power, "and": e.and_, "or": e.or_, "xor": e.xor,
             "lshift": e.shl, "rshift": e.shr, "matmul": contract.matmul}
    for name, function in pairs.items():
        setattr(Node, f"__{name}__", lambda self, other, f=function: f(self, other))
        setattr(Node, f"__r{name}__", _swapped(function))
    # hashing stays by identity: two live nodes never share a hash, so dicts of nodes are safe
    comparisons = {"eq": e.eq, "ne": e.ne, "lt": e.lt, "le": e.le, "gt": e.gt, "ge": e.ge}
    for name, function in comparisons.items():
        setattr(Node, f"__{name}__", lambda self, other, f=function: f(self, other))
    functions: dict[str, Callable[..., Any]] = {
        "__neg__": e.neg, "__abs__": e.abs_, "__invert__": elementwise_functions.invert,
        "__pos__": convert.as_node, "__divmod__": elementwise_functions.divmod_,
        "__rdivmod__": _swapped(elementwise_functions.divmod_), "__round__": _rounded,
        "__floor__": e.floor, "__ceil__": e.ceil, "__trunc__": elementwise_bits.trunc,
        "__getitem__": indexing.index,
        "__len__": _length, "__iter__": _iterate,
        "sum": reduce.sum_, "mean": reduce.mean, "max": reduce.max_, "min": reduce.min_,
        "prod": reduce.prod, "argmax": reduce.argmax, "argmin": reduce.argmin,
        "reshape": view.reshape, "transpose": view.transpose,
        "flatten": rearrange.ravel, "ravel": rearrange.ravel, "squeeze": rearrange.squeeze,
        "swapaxes": rearrange.swapaxes, "repeat": rearrange.repeat,
        "diagonal": diagonals.diagonal, "trace": diagonals.matrix_trace,
        "cumsum": cumulative.cumsum, "cumprod": cumulative.cumprod,
        "argsort": argsort.argsort, "sort": order.sort,
        "var": reduce.variance, "std": statistics.std, "any": reduce.any_, "all": reduce.all_,
        "cast": convert.cast, "astype": convert.cast,
    }
    for name, function in functions.items():
        public = not name.startswith("_")
        method = answering(function, f"x.{name}") if public else function
        setattr(Node, name, lambda self, *a, f=method, **k: f(self, *a, **k))
    for name, read in (("T", view.transpose), ("size", lambda x: Count(x.type.size)),
                       ("at", At)):
        setattr(Node, name, property(read))
    attributes("x")(Node)


class Count(int):
    """How many elements a value has: an int that is not called."""

    def __call__(self, *_: Any) -> NoReturn:
        raise unknown("x", "size", [])


def _length(x: Node) -> int:
    if x.ndim == 0:
        raise DlcError(f"{describe(x)} has no length", here())
    return int(x.shape[0])


def _rounded(x: Node, digits: Any = None) -> Node:
    """round(x): the nearest whole numbers, as floats. Raises DlcError for a number of digits."""
    if digits is not None:
        raise DlcError(f"round(x, {digits}): a graph value is rounded to whole numbers", here(),
                       "e.g. dlc.round(x * 100.0) / 100.0 for two digits")
    return elementwise.round_(x)


def _iterate(x: Node) -> Any:
    return (indexing.index(x, i) for i in range(_length(x)))
