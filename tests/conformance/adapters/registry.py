"""The table torch operator -> adapter: the same call, written in dlc's DSL."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import dlc
from dlc.ir.graph import Node
from dlc.ir.types import DTYPES, DType

Function = Callable[..., Any]


class Excluded(Exception):
    """A sample that dlc has no way to say; the reason is one that the adapter declares."""


@dataclass(frozen=True)
class Adapter:
    """`function` takes what torch's operator takes, tensors as nodes, and gives nodes.

    `excludes` are the reasons why some samples are left out; `scale` widens the tolerance (by
    this factor) where rounding is known to be larger; `refuses` says why a run-time check may
    refuse a sample.
    """

    name: str
    function: Function
    dtypes: tuple[str, ...] = ("float32",)
    excludes: tuple[str, ...] = ()
    scale: float = 1.0
    refuses: str = ""


TABLE: dict[str, Adapter] = {}


def add(names: str | Iterable[str], function: Function, **more: Any) -> Function:
    """Enter `function` as the adapter of one or several operators (blanks between names)."""
    for name in names.split() if isinstance(names, str) else names:
        if name in TABLE:
            raise ValueError(f"{name} has two adapters")
        TABLE[name] = Adapter(name, function, **more)
    return function


def covers(names: str, **more: Any) -> Callable[[Function], Function]:
    """Decorator: the function is the adapter of the operators `names` (blanks between them)."""
    return lambda function: add(names, function, **more)


def kind(dtype: Any, default: DType = dlc.f32) -> DType:
    """dlc's dtype for torch's, `default` for None. Raises Excluded where dlc has none."""
    if dtype is None:
        return default
    words = {"float64": "f64", "float32": "f32", "float16": "f16", "bfloat16": "bf16",
             "int64": "i64", "int32": "i32", "uint8": "u8", "bool": "bool"}
    word = words.get(str(dtype).removeprefix("torch."))
    if word is None:
        raise Excluded(NO_DTYPE)
    return DTYPES[word]


NO_DTYPE = "complex numbers, and results of int8 and int16, for which the adapters have no word"


REDUCTION_WORD = "reduction= is torch's way to say what follows; dlc writes mean(x) or sum(x)"


def cast_to(x: Node, dtype: Any) -> Node:
    """x in torch's `dtype`; None leaves it."""
    return x if dtype is None else dlc.cast(x, kind(dtype))


def axes(x: Node, dim: Any) -> Any:
    """torch's `dim` as dlc's axis: no axes named is all of them, and a scalar has axis 0 and -1."""
    if dim is None or dim == () or dim == []:
        return None
    listed = (dim,) if isinstance(dim, int) else tuple(dim)
    if x.ndim == 0 and all(d in (0, -1) for d in listed):
        return None
    return dim if isinstance(dim, int) else listed


def axis_of(x: Node, dim: int) -> int:
    """`dim` as a non-negative axis, unchecked."""
    return dim + x.ndim if dim < 0 else dim


def reduced(values: Node, reduction: str) -> Node:
    """A loss's `reduction`: none, mean or sum. Raises Excluded for another word."""
    if reduction not in ("none", "mean", "sum"):
        raise Excluded(REDUCTION_WORD)
    if reduction == "none":
        return values
    return dlc.mean(values) if reduction == "mean" else dlc.sum(values)


def number(x: Any) -> bool:
    """Whether x is a Python number."""
    return isinstance(x, (bool, int, float))
