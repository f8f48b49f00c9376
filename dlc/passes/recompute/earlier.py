"""A better order under a limit: components that free more than they make run as early as they can.

    g1 = ...; g2 = f(g1); ...; p = pack(x); w = product(p, g1)
        ->   g1 = ...; g2 = f(g1); p = pack(x); w = product(p, g1); ...

List scheduling looks one launch ahead, and never below the peak: gradients of weights wait to the
end of the step, and all cotangents with them. Here a component moves forward with what only it
needs (the packing of an operand), out of its launch if that has others, to behind the last launch
that makes or else reads what dies with it.
"""

from __future__ import annotations

from dlc.passes.recompute.table import Table, Unit

PASSES = 2
LITTLE = 8  # times as many bytes as the results of a reader that may follow


class Mover:
    """Moves units forward, one after the other in their order."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.order = [u for units in table.units for u in units]
        self.at = {u: at for at, u in enumerate(self.order)}
        self.readers: dict[int, list[Unit]] = {}
        for units in table.units:
            for u in units:
                for v in u.reads:
                    self.readers.setdefault(v, []).append(u)
        self.old = {table.number[new]: table.number[old]
                    for new, old in table.schedule.home.items()}

    def rows(self) -> list[list[Unit]]:
        """The rows in the new order; a component that moved is a row of its own."""
        moved: set[Unit] = set()
        for u in (u for _ in range(PASSES) for units in self.table.units for u in units):
            moved |= self._move(u)
        rows = [[u for u in units if u not in moved] for units in self.table.units]
        rows = [r for r in rows if r] + [[u] for u in moved]
        return sorted(rows, key=lambda r: self.at[r[0]])

    def _move(self, unit: Unit) -> set[Unit]:
        """Move `unit` and what only it needs, if that frees bytes; what has moved."""
        group = self._needed_alone(unit)
        inside = set(group)
        reads = {v for u in group for v in u.reads}
        freed = {v for v in reads if not self.table.values[v].kept and self.table.values[v].bytes
                 and all(self.at[r] <= self.at[unit] or self._follows(r, v)
                         for r in self.readers[v])}
        dying = sum(self.table.values[v].bytes for v in freed if self._maker(v) not in inside)
        lasting = sum(self.table.values[v].bytes for v in unit.makes)
        behind = self._behind(group, inside, reads, freed)
        if dying <= lasting or behind + 1 >= min(self.at[u] for u in group):
            return set()
        left = [u for u in self.order if u not in inside]
        self.order = [*left[:behind + 1], *group, *left[behind + 1:]]
        self.at = {u: at for at, u in enumerate(self.order)}
        return inside

    def _follows(self, reader: Unit, v: int) -> bool:
        """Whether a reader of `v` makes so little of it that it can move behind, in the next pass:
        a bias's gradient."""
        values = self.table.values
        return LITTLE * sum(values[m].bytes for m in reader.makes) <= values[v].bytes

    def _needed_alone(self, unit: Unit) -> list[Unit]:
        """`unit` behind the units whose results only it reads, first ones first."""
        found = [unit]
        for v in unit.reads:
            maker = self._maker(v)
            if maker is not None and maker not in found and all(
                    self.readers.get(m) == [unit] and not self.table.values[m].kept
                    for m in maker.makes) and self.table.values[v].bytes:
                found.insert(0, maker)
        return found

    def _behind(self, group: list[Unit], inside: set[Unit], reads: set[int],
                freed: set[int]) -> int:
        """The last position at which another unit makes what `group` reads, or reads what dies with
        it or what it overwrites."""
        makers = [self._maker(v) for v in reads]
        others = [r for v in freed for r in self.readers[v] if not self._follows(r, v)]
        others += [r for u in group for v in u.makes if v in self.old
                   for r in self.readers.get(self.old[v], ())]
        return max((self.at[u] for u in (*makers, *others) if u is not None and u not in inside),
                   default=-1)

    def _maker(self, v: int) -> Unit | None:
        return self.table.values[v].unit
