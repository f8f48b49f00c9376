"""Loops of a kernel before chunking have the kind they declare: "vector" and "reduce".

Iterations of a vector loop carry no name, and access no element that another one stores. Those of a
reduction carry only the names it lists, which start at a number, the identity of its combine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dlc.backend.ir import For, Function, Let, Load, Number, Store
from dlc.backend.ir.index import Sum
from dlc.backend.ir.walks import expressions
from dlc.checks.kernels.spots import Spot, spots_in


def check_kinds(function: Function) -> list[str]:
    """What is wrong with the kinds of a kernel's loops; empty if nothing is."""
    return list(_block(spots_in(function), set()))


def _block(spots: Sequence[Spot], begun: set[str]) -> Iterator[str]:
    """`begun`: names that hold a number, or are folded into by a loop around."""
    begun = set(begun)
    for spot in spots:
        s = spot.statement
        if isinstance(s, Let):
            (begun.add if isinstance(s.value, Number) else begun.discard)(s.name)
        if isinstance(s, For) and s.kind == "vector":
            yield from _of_vector(spot, s)
        if isinstance(s, For) and s.kind == "reduce":
            names = [n for n in spot.carried if n != s.var]
            yield from (f"the reduction over {s.var} leaves {n} to its next round, and does not "
                        "name it" for n in names if n not in s.into)
            if len(s.by) != len(s.into):
                yield f"the reduction over {s.var} does not say how results are combined"
            yield from (f"the reduction over {s.var} begins with a {n} that is not a number"
                        for n in names if n in s.into and n not in begun)
        for inner in spot.blocks:
            yield from _block(inner, begun)


def _of_vector(spot: Spot, loop: For) -> Iterator[str]:
    yield from (f"the vector loop over {loop.var} leaves {n} to its next round"
                for n in spot.carried if n != loop.var)
    touched: dict[str, set[Sum]] = {}
    stored = set()
    for s in loop.body:
        if not isinstance(s, (Let, Store)):
            yield f"the vector loop over {loop.var} holds more than values and stores"
        if isinstance(s, Store):
            stored.add(s.buffer)
            touched.setdefault(s.buffer, set()).add(s.index)
        for e in expressions(s):
            if isinstance(e, Load):
                touched.setdefault(e.buffer, set()).add(e.index)
    for name in sorted(stored):
        if len(touched[name]) > 1 or not all(i.coefficient(loop.var) for i in touched[name]):
            yield f"rounds of the vector loop over {loop.var} may meet in {name}"
