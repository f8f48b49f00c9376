"""torch's random operators in dlc's DSL: other numbers of the same distributions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dlc
from dlc import random
from dlc.ir.graph import Node
from tests.conformance.adapters.registry import kind, number

RANDOM: dict[str, Callable[..., Node]] = {}


def draws(names: str) -> Callable[[Callable[..., Node]], Callable[..., Node]]:
    """Decorator: the function draws as the operators `names` (blanks between them)."""
    def enter(function: Callable[..., Node]) -> Callable[..., Node]:
        RANDOM.update(dict.fromkeys(names.split(), function))
        return function

    return enter


@draws("bernoulli")
def bernoulli(p: Node, *, generator: Any = None) -> Node:
    return dlc.cast(random.bernoulli(None, p), p.dtype)


@draws("uniform")
def uniform(x: Node, low: float = 0.0, high: float = 1.0) -> Node:
    return random.uniform(x.shape, low, high, dtype=x.dtype)


@draws("normal/in_place")
def normal_like(x: Node, mean: float = 0.0, std: float = 1.0) -> Node:
    return random.normal(x.shape, mean, std, dtype=x.dtype)


@draws("normal normal/number_mean")
def normal(mean: Any, std: Any = 1.0, size: Any = None, *, dtype: Any = None, **_: Any) -> Node:
    """Of `size`, or as large as mean and std."""
    shape = tuple(size) if size is not None else None
    if shape is None and number(mean) and number(std):
        shape = ()
    return random.normal(shape, mean, std, dtype=kind(dtype))


@draws("rand_like")
def rand_like(x: Node, *, dtype: Any = None, **_: Any) -> Node:
    return random.uniform(x.shape, dtype=kind(dtype, x.dtype))


@draws("randn_like")
def randn_like(x: Node, *, dtype: Any = None, **_: Any) -> Node:
    return random.normal(x.shape, dtype=kind(dtype, x.dtype))
