"""Scatters as kernels: each element of the result belongs to one position of the parallel axes.

These are the axes before the scattered one, and blocks of the columns behind it: each position
reads every index and folds its own part of the updates, in the order of the index array.
"""

from __future__ import annotations

import math

from dlc.backend.cpu.limits import Limits
from dlc.backend.cpu.mapping import Cuts, rows_per_chunk
from dlc.backend.emit.emitter import Emitter, flat
from dlc.backend.ir import Expression, Load, Store, computing
from dlc.backend.ir.index import Sum, Var, least, sum_of
from dlc.ir.access import unravel
from dlc.ir.graph import Node
from dlc.ir.types import Type


def write_scatter(node: Node, e: Emitter, limits: Limits, sums: str | None = None) -> Cuts:
    """Write `node`; returns how its parallel axes are to be cut. Half precisions are folded in the
    workspace `sums`, of the dtype that computes them."""
    return ScatterWriter(node, e, limits, sums).write()


class ScatterWriter:
    """Writes one scatter: the first values of a position's part, the updates, the rounding."""

    def __init__(self, node: Node, e: Emitter, limits: Limits, sums: str | None) -> None:
        self.node, self.e, self.limits, self.sums = node, e, limits, sums
        self.place = sums or e.stores[node]
        self.type: Type = node.type.with_(dtype=computing(node.type.dtype))
        self.axis, self.batch = node.attrs["axis"], node.attrs["batch"]
        self.shape = [int(d) for d in node.type.shape]
        self.tail = self.shape[self.axis + 1:]
        self.columns = math.prod(self.tail)
        # the operand that is written onto lies where the result does: its elements are there
        self.there = sums is None and len(node.args) > 2 and (
            e.loads.get(node.args[2]) == self.place)
        width = limits.column
        self.blocks = -(-self.columns // width) if self.columns >= 2 * width else 1

    def write(self) -> Cuts:
        e, rows = self.e, math.prod(self.shape[:self.axis])
        if self.blocks > 1:
            row, width = e.axis("b", rows), self.limits.column
            low = e.named("j0", e.axis("block", self.blocks) * width, 0, self.columns - 1)
            end = e.named("j1", least(low + width, self.columns), 1, self.columns)
            self.column_bounds = low, end
            self._row(row)
            return dict.fromkeys(e.axes, 1)
        work = (self.node.args[1].type.size + self.node.type.size) // max(rows, 1)
        if rows == 1:
            self._row(Sum())
            return {}
        var = e.open_axis("b", rows)
        self._row(sum_of(var))
        e.close_axis(var, rows)
        per_chunk = rows_per_chunk(rows, max(work, 1), self.limits)
        return {var.name: per_chunk} if per_chunk < rows else {}

    def _row(self, position: Sum) -> None:
        lead = unravel(position, self.shape[:self.axis])
        if not self.there:
            self._begin(lead)
        if self.node.args[1].type.size:  # of no update, nothing may be read in front of its loops
            self._fold(lead)
        if self.sums is not None:
            self._give_out(lead)

    def _open_columns(self) -> Var | None:
        return self.e.open("j", 0, self.columns) if self.columns != 1 else None

    def _close_columns(self, var: Var | None) -> None:
        if var is None:
            return
        if self.blocks > 1:
            self.e.close(var, *self.column_bounds)
        else:
            self.e.close(var)

    def _column(self, var: Var | None) -> tuple[Sum, ...]:
        """The index of a column in the axes behind the scattered one."""
        return unravel(sum_of(var) if var is not None else Sum(), self.tail)

    def _begin(self, lead: tuple[Sum, ...]) -> None:
        """Zeros, or the operand that the updates are folded into."""
        e = self.e
        r = e.open("r", 0, self.shape[self.axis])
        j = self._open_columns()
        index = (*lead, sum_of(r), *self._column(j))
        value = (e.value(self.node.args[2], index) if len(self.node.args) > 2
                 else e.k.number(0, self.type.dtype))
        self._store(flat(index, self.type), value)
        self._close_columns(j)
        e.close(r)

    def _fold(self, lead: tuple[Sum, ...]) -> None:
        e, (index, updates) = self.e, self.node.args[:2]
        # the index's axes are the outer loops: each address is loaded once
        inner = [e.open("i", 0, int(d)) for d in index.type.shape[self.batch:]]
        at = e.value(index, (*lead[:self.batch], *map(sum_of, inner)))
        chosen = e.clamped(at, self.shape[self.axis])
        j = self._open_columns()
        column = self._column(j)
        value = e.value(updates, (*lead, *map(sum_of, inner), *column))
        target = flat((*lead, chosen, *column), self.type)
        old = Load(self.place, target, self.type.dtype, len(e.stack) - 1)
        self._store(target, self._folded(old, value))
        self._close_columns(j)
        for var in reversed(inner):
            e.close(var)

    def _folded(self, old: Expression, value: Expression) -> Expression:
        fold = self.node.attrs.get("fold") or self.node.op.fold
        if fold == "set":
            return value
        return self.e.k.binary("+", old, value) if fold == "add" else self.e.k.call(
            fold, old, value)

    def _store(self, at: Sum, value: Expression) -> None:
        self.e.stack[-1].statements.append(Store(self.place, at, value, self.type.dtype))

    def _give_out(self, lead: tuple[Sum, ...]) -> None:
        """Round the finished folds into the result."""
        e, sums = self.e, self.sums or ""
        r = e.open("r", 0, self.shape[self.axis])
        j = self._open_columns()
        index = (*lead, sum_of(r), *self._column(j))
        at = flat(index, self.node.type)
        e.store(self.node, index, Load(sums, at, self.type.dtype, len(e.stack) - 1))
        self._close_columns(j)
        e.close(r)
