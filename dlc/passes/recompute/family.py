"""The plans among which a memory limit chooses: which bytes each holds, and what it costs.

The family does not depend on the limit, so a smaller limit never chooses a cheaper plan.
"""

from __future__ import annotations

from dataclasses import dataclass

from dlc.passes.recompute.earlier import Mover
from dlc.passes.recompute.segments import Halves
from dlc.passes.recompute.sequence import Runs
from dlc.passes.recompute.table import Table, Unit

RATES = 5  # prices of work, each that at which another part of the units pays
SIZES = 8  # of segments, each a fraction of the one before
FRACTION = 0.55
COUNTS = 5  # how many of the segments compute again


@dataclass(frozen=True, eq=False)
class Candidate:
    """A sequence, the most bytes that it holds above what is persistent, and its further seconds.
    """

    runs: Runs
    peak: int
    seconds: float


def turn_of(table: Table) -> int:
    """The launch across which the most bytes of values lie."""
    change = [0] * (len(table.units) + 1)
    for value in table.values:
        if value.unit is not None and value.uses and not value.kept:
            change[value.unit.launch] += value.bytes
            change[value.uses[-1]] -= value.bytes
    held, best, at = 0, -1, 0
    for position, by in enumerate(change[:-1]):
        held += by
        if held > best:
            best, at = held, position
    return at


def rates_of(halves: Halves) -> list[float]:
    """The bytes that a second of work is worth: next to nothing, so that all runs again that can,
    and quantiles of what single units free for a second of theirs."""
    freed: dict[Unit, int] = {}
    for v in halves.wanted:
        value = halves.table.values[v]
        assert value.unit is not None
        freed[value.unit] = freed.get(value.unit, 0) + value.bytes
    found = sorted(size / unit.seconds for unit, size in freed.items())
    at = (found[len(found) * k // RATES] * 0.99 for k in range(RATES)) if found else ()
    # the outer ones first: where two agree, those between need no cut (segments.py)
    return list(dict.fromkeys([1.0, *sorted(at, reverse=True)]))


def family(table: Table, small: int) -> list[Candidate]:
    """Candidates of rising cost, each of which holds fewer bytes than those before it, in the order
    of the table and in that of earlier.py. `small`: see `table_of`."""
    found = in_order(table)
    table.put(Mover(table).rows(), small)
    return front([*found, *in_order(table)])


def in_order(table: Table) -> list[Candidate]:
    """The candidates that run in the order of the table; the first computes nothing again."""
    halves = Halves(table, turn_of(table))
    seen: dict[frozenset[Unit], Candidate] = {}
    total = sum(halves.dropped)
    rates = rates_of(halves)
    for ends in dict.fromkeys(halves.boundaries(max(1, int(total * FRACTION ** k)))
                              for k in range(SIZES)):
        counts = {max(1, round(len(ends) * k / COUNTS)) for k in range(1, COUNTS + 1)}
        for rate in rates:
            for count in sorted(counts):
                again = halves.again(ends, rate, count)
                if again not in seen:
                    made = halves.runs(again)
                    seen[again] = Candidate(made, made.peak, made.seconds)
    nothing = halves.runs(())
    return [Candidate(nothing, nothing.peak, 0.0), *seen.values()]


def front(candidates: list[Candidate]) -> list[Candidate]:
    """Those than which none is both cheaper and smaller, by rising cost."""
    found: list[Candidate] = []
    for one in sorted(candidates, key=lambda c: (c.seconds, c.peak)):
        if not found or one.peak < found[-1].peak:
            found.append(one)
    return found
