"""Argument and input checks of layers, with their messages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe


def at_least(layer: str, low: int, **values: Any) -> None:
    """Each value is an int of at least `low`; raises DlcError at the user's line."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise DlcError(f"nn.{layer}: {name}={value!r} is not a whole number", here(),
                           f"{name} is an int of at least {low}")
        if value < low:
            raise DlcError(f"nn.{layer}: {name}={value} is too small", here(),
                           f"it must be at least {low}")


def truth(layer: str, **values: Any) -> None:
    """Each value is True or False."""
    for name, value in values.items():
        if not isinstance(value, (bool, np.bool_)):
            raise DlcError(f"nn.{layer}: {name}={value!r} is not True or False", here(),
                           f"{name}=True or {name}=False")


def fraction(layer: str, **values: float) -> None:
    """Each value lies in [0, 1); raises DlcError at the user's line."""
    for name, value in values.items():
        if not isinstance(value, (int, float)) or not 0 <= value < 1:
            raise DlcError(f"nn.{layer}: {name}={value!r} is out of range", here(),
                           f"0 <= {name} < 1")


def share(layer: str, **values: float) -> None:
    """Each value lies in [0, 1]; raises DlcError at the user's line."""
    for name, value in values.items():
        if not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise DlcError(f"nn.{layer}: {name}={value!r} is out of range", here(),
                           f"0 <= {name} <= 1")


def per_axis(layer: str, name: str, value: Any, low: int) -> int | tuple[int, ...]:
    """An int, or one a spatial axis, each at least `low`."""
    listed = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    for part in listed:
        at_least(layer, low, **{name: part})
    return listed if isinstance(value, (tuple, list)) else int(value)


def floating(x: Node) -> None:
    """x holds floats; raises DlcError otherwise."""
    if not x.dtype.is_float:
        raise DlcError(f"the input is {describe(x)}", here(),
                       "it must hold floats: cast first, e.g. x.cast(f32)")


def rank(x: Node, low: int, layout: str, high: int | None = None) -> None:
    """x has at least `low` axes (and at most `high`); `layout` names them."""
    if x.ndim < low or (high is not None and x.ndim > high):
        raise DlcError(f"the input is {describe(x)}, which has {x.ndim} axes", here(),
                       f"it takes {layout}")


def spatial_axes(x: Node, window: int | tuple[int, ...]) -> int:
    """How many spatial axes x has; raises DlcError when a window of `window` does not fit them."""
    if isinstance(window, int):
        rank(x, 3, "[batch, channels, size, ...]")
        return x.ndim - 2
    n = len(window)
    rank(x, n + 2, f"[batch, channels, {', '.join(['size'] * n)}]", n + 2)
    return n


def labels(name: str, label: Node, logits: Node) -> None:
    """`label` holds one class number for each row of `logits` [..., classes]."""
    if not label.dtype.is_integer or label.dtype.category == "uint":
        raise DlcError(f"{name}: the labels are {describe(label)}", here(),
                       "labels are class numbers in i32 or i64; cast them: label.cast(i32)")
    if logits.ndim < 1 or tuple(label.shape) != tuple(logits.shape[:-1]):
        raise DlcError(f"{name}: logits {describe(logits)} and labels {describe(label)} do not fit",
                       here(), "logits are [..., classes], labels [...] without the last axis")


def same_shape(name: str, a: Node, b: Node) -> None:
    """a and b have the same shape: a loss that broadcasts is nearly always a mistake."""
    if tuple(a.shape) != tuple(b.shape):
        raise DlcError(f"{name}: {describe(a)} and {describe(b)} differ in shape", here(),
                       "both must have one shape; use reshape or x[:, None]")


def number(layer: str, low: float | None = None, /, **values: Any) -> None:
    """Each value is a finite number, above `low` if that is given."""
    for name, value in values.items():
        told = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not told or not math.isfinite(value) or (low is not None and value <= low):
            shown = describe(value) if isinstance(value, Node) else repr(value)
            raise DlcError(f"nn.{layer}: {name}={shown} is out of range", here(),
                           "it is a finite number" + (f" above {low}" if low is not None else ""))


def one_of(layer: str, name: str, value: Any, words: Sequence[str]) -> None:
    """`value` is one of `words`."""
    if not isinstance(value, str) or value not in words:
        raise DlcError(f"nn.{layer}: {name}={value!r} is not known", here(),
                       f"{name} is one of {', '.join(map(repr, words))}")


def per_class(name: str, what: str, values: Node, classes: int) -> None:
    """`values` [classes] holds one float a class."""
    if tuple(map(int, values.shape)) != (classes,) or not values.dtype.is_float:
        raise DlcError(f"{name}: {what} is {describe(values)}", here(),
                       f"one float for each of the {classes} classes")
