"""Rounding: what an elementwise operator's record says of its errors.

`dlc/reference/rounding` makes intervals of it, in which a kernel's results must lie. A record that
says nothing is of a function within the bounds of the prelude (docs/design/math.md), whose values
lie between those at the ends of its operands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

# Unit roundoffs by dtype: twice the largest error in units in the last place, docs/design/math.md.
FUNCTIONS = MappingProxyType({"f32": 4.0, "f64": 10.0, "f16": 2.0, "bf16": 2.0})
ONCE = MappingProxyType(dict.fromkeys(FUNCTIONS, 1.0))  # rounded correctly


@dataclass(frozen=True, eq=False)
class Rounding:
    """How far the results of one operator may be from their meaning.

    units      the largest error by dtype, in unit roundoffs of the result
    exact      a result is one of the operands or a whole number: nothing is rounded
    whole      of whole numbers it is whole, and exact as far as the dtype holds it
    terms      in f64 the error is relative to the operands: a difference (f32 takes it in f64)
    even       it has an extremum at 0
    curvature  the largest second derivative at an extremum elsewhere
    jumps      (*operands as intervals) -> where an uncertain one reaches over a pole or a jump
    bits       it is a function of its operands' bits, which f64 does not stand for
    wide       its meaning in f64 where `eval` would round to the result's dtype
    chooses    the first operand says which of the others is the result
    """

    units: Mapping[str, float] = field(default_factory=lambda: FUNCTIONS)
    exact: bool = False
    whole: bool = False
    terms: bool = False
    even: bool = False
    curvature: float = 0.0
    jumps: Callable[..., Any] | None = None
    bits: bool = False
    wide: Callable[..., Any] | None = None
    chooses: bool = False


EXACT = Rounding(exact=True)
CORRECT = Rounding(ONCE)
EVEN = Rounding(even=True)
