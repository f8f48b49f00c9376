"""Several positions of a product to a thread: what they all load is loaded once.

    sum = f32(0.0)                               sum, sum2 = f32(0.0), f32(0.0)
    for k in range(100):                         for k in range(100):
        sum = fma(x[..], w[..], sum)        ->       sum = fma(x[..], w[..], sum)
    y[chunk] = sum                                   sum2 = fma(x[.. + 3200], w[..], sum2)
                                                 y[chunk] = sum
                                                 y[chunk + 16384] = sum2

A thread takes positions that lie a quarter of the grid apart, so neighbouring threads still read
and write neighbouring elements. Positions may run in any order and side by side, so the statements
of several may take turns. Every result is folded as before: the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dlc.backend.ir import Call, Expression, For, Function, Let, Ref, Statement, Store
from dlc.backend.ir.index import Sum, Var, sum_of
from dlc.backend.ir.names import Names
from dlc.backend.ir.substitute import substituted
from dlc.backend.ir.walks import expressions, flattened, indices, names_of, with_operands
from dlc.backend.ir.whole import with_scalars

POSITIONS = 4
"""Positions of a thread: a product then takes 1.25 loads in place of 2."""
LEAST_THREADS = 16384
"""Threads that must be left: 128 for each of the 132 processors of an H200, almost."""


def jammed(kernel: Function, threads: int) -> tuple[Function, int]:
    """The kernel with several positions to a thread, where it adds up products and has enough of
    them; else as it is. How many threads there are."""
    apart, rest = divmod(threads, POSITIONS)
    if rest or apart < LEAST_THREADS or not is_product(kernel):
        return kernel, threads
    names = Names(names_of(kernel))
    given = {s.name for s in flattened(kernel.body) if isinstance(s, Let)}
    copies = []
    for number in range(POSITIONS):
        place = sum_of(Var("chunk", 0, apart - 1)) + number * apart
        table = {n: names.new(n) for n in sorted(given)} if number else {}
        copies.append(moved(kernel.body, place, table))
    body = in_turns(copies)
    return (kernel, threads) if body is None else (
        replace(kernel, body=tuple(with_scalars(body))), apart)


def is_product(kernel: Function) -> bool:
    """Whether a kernel consists of values, loops and stores, and adds products up by fma."""
    every = list(flattened(kernel.body))
    if not all(isinstance(s, (Let, Store, For)) for s in every):
        return False
    return any(isinstance(e, Call) and e.function == "fma" and isinstance(e.args[2], Ref)
               and isinstance(s, Let) and e.args[2].name == s.name
               for s in every for e in expressions(s))


def moved(body: Sequence[Statement], place: Sum,
           names: Mapping[str, str]) -> tuple[Statement, ...]:
    """A position's statements at `place`, with names of its own."""
    places = {old: sum_of(Var(new, *_range(body, old))) for old, new in names.items()}
    return tuple(_renamed(s, names) for s in substituted(body, {"chunk": place, **places}))


def _range(body: Sequence[Statement], name: str) -> tuple[int, int]:
    """What is known of an index by this name, where it is one."""
    for s in flattened(body):
        for index in (i for e in (s, *expressions(s)) for i in indices(e)):
            for atom, _ in index.terms:
                if isinstance(atom, Var) and atom.name == name:
                    return atom.low, atom.high
    return 0, 0


def _renamed(s: Statement, names: Mapping[str, str]) -> Statement:
    def value(e: Expression) -> Expression:
        if isinstance(e, Ref):
            return replace(e, name=names.get(e.name, e.name))
        return with_operands(e, value)

    if isinstance(s, For):
        return replace(s, body=tuple(_renamed(b, names) for b in s.body))
    if isinstance(s, Store):
        return replace(s, value=value(s.value))
    assert isinstance(s, Let)
    return Let(names.get(s.name, s.name), value(s.value))


def in_turns(copies: Sequence[Sequence[Statement]]) -> tuple[Statement, ...] | None:
    """The statements of several positions, each after its twins; None where their loops differ."""
    found: list[Statement] = []
    for twins in zip(*copies, strict=True):
        first = twins[0]
        if not isinstance(first, For):
            found += twins
            continue
        loops = [t for t in twins if isinstance(t, For)]
        if any((t.low, t.high, t.step) != (first.low, first.high, first.step) for t in loops):
            return None
        body = in_turns([t.body for t in loops])
        if body is None:
            return None
        found.append(replace(first, body=body))
    return tuple(found)
