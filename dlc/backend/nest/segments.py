"""Where a loop is cut so that what its rounds ask of their number is known in each of its pieces.

    for r in range(512):                                    for r in range(256):
        a = x[r] if r < 256 else 0              ->              out[r] = x[r] + 0
        b = y[r - 256] if r >= 256 else 0                   for r in range(256, 512):
        out[r] = a + b                                          out[r] = 0 + y[r - 256]

Concatenations, padding and the gradients of slices read so. Undivided, every round makes all of the
pieces' values, through loads under masks, and drops all but one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from dlc.backend.ir import Compare, Expression, For, Load, Truth
from dlc.backend.ir.index import Var
from dlc.backend.ir.walks import expressions, flattened

MOST = 8  # pieces: each is a text of its own


def segments(loop: For, least: int) -> list[tuple[int, int]]:
    """The bounds of the pieces of a loop between two numbers; none where it is one piece, or where
    there would be many, or one of less than `least` rounds."""
    low, high = loop.low.const, loop.high.const
    places = {place for s in flattened(loop.body) for value in expressions(s)
              for c in conditions(value) for place in changes(c, loop.var)}
    edges = [low, *sorted(p for p in places if low < p < high), high]
    pieces = list(itertools.pairwise(edges))
    short = any(b - a < least for a, b in pieces)
    return [] if short or not 1 < len(pieces) <= MOST else pieces


def conditions(value: Expression) -> tuple[Compare, ...]:
    """What an expression itself compares."""
    match value:
        case Load():
            return value.guard
        case Truth():
            return value.condition
    return ()


def changes(c: Compare, var: str) -> Iterator[int]:
    """The value of `var` from which on a comparison of it, and of nothing else, is otherwise."""
    match c.value.terms:
        case ((Var(name=name), by),) if name == var and c.sign != "==":
            bound = c.bound - c.value.const
            # by * r >= bound from its quotient up on; where it falls, as long as -by * r <= -bound
            yield -(-bound // by) if by > 0 else bound // by + 1
