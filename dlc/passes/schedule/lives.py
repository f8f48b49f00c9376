"""Live ranges: the launches during which each value needs its bytes, and which values share them.

Positions number the launches in program order, those in loops and branches once. Operands of a loop
are live until its last launch; its own values are live within one iteration. Values of a body that
stand for something outside (elements, carries, rows of results) have no storage of their own:
their location is derived from another value's, and moves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dlc.derive import higher
from dlc.derive.control import SCAN
from dlc.ir.graph import Node
from dlc.ir.types import DType
from dlc.ops import leaf, tuples
from dlc.passes.schedule.order import Schedule

ALIGN = 64  # a cache line: no two values share one, and vectors load aligned


def aligned(size: int) -> int:
    """`size` rounded up to whole cache lines; nothing is smaller than one."""
    return max(ALIGN, -(-size // ALIGN) * ALIGN)


@dataclass(frozen=True, eq=False)
class Scratch:
    """Workspace that one launch needs while it runs: `size` elements of `dtype`."""

    name: str
    dtype: DType
    size: int


@dataclass(frozen=True)
class Location:
    """An offset in the arena, and how the loops around move it: see Slot in dlc/program.py."""

    offset: int
    strides: tuple[int, ...] = ()
    swaps: tuple[int, ...] = ()

    def moved(self, depth: int, stride: int = 0, swap: int = 0, first: int = 0) -> Location:
        """The place `first` bytes on, which loop number `depth` moves."""
        return Location(self.offset + first, _with(self.strides, depth, stride),
                     _with(self.swaps, depth, swap))


def _with(values: tuple[int, ...], depth: int, value: int) -> tuple[int, ...]:
    if value == 0:
        return values
    return (*values, *[0] * (depth - len(values)), value)


@dataclass(eq=False)
class Span:
    """A place in the arena from launch `first` to launch `last`; several values may share it."""

    bytes: int
    first: int
    last: int
    values: list[Node | Scratch] = field(default_factory=list)
    offset: int = -1


Value = Node | Scratch
Rule = Callable[["Lives"], Location]  # how the place of a value follows from another's


class Lives:
    """The spans of one entry's values, and the rules for those that have none of their own.

    `persistent` values have their offsets, `scratch` is what launches need while they run, `shared`
    maps values to those whose place they take.
    """

    def __init__(self, schedule: Schedule, persistent: Mapping[Node, int],
                 scratch: Mapping[Node, Sequence[Scratch]], shared: Mapping[Node, Node]) -> None:
        self.persistent, self.scratch, self.shared = persistent, scratch, shared
        self.spans: dict[Value, Span] = {}
        self.rules: dict[Node, Rule] = {}
        self.sources: dict[Node, tuple[Value, ...]] = {}  # of a value with a rule: what it follows
        self.within: dict[Node, tuple[int, int]] = {}  # of a value with a rule: the loop's launches
        self.reach: dict[Node, tuple[int, int]] = {}  # first and last position of each launch
        self.count = self._number(schedule, 0)
        last = self._last_uses(schedule, self.count)
        for node in schedule.graph.inputs:
            if node not in persistent:
                # an input is written before the first launch, also if nobody reads it
                self.spans[node] = Span(aligned(node.type.bytes), -1, last.get(node, -1), [node])
        self._collect(schedule, 0, self.count)

    def _number(self, schedule: Schedule, at: int) -> int:
        for launch in schedule.launches:
            start = at
            for body in schedule.inner.get(launch, ()):
                at = self._number(body, at)
            at += launch.op is higher.FUSED
            self.reach[launch] = (start, max(start, at - 1))
        return at

    def _last_uses(self, schedule: Schedule, until: int) -> dict[Node, int]:
        """The last position at which each value is read; that of outputs is `until`."""
        last: dict[Node, int] = {}
        for launch in schedule.launches:
            for a in launch.args:
                last[a] = self.reach[launch][1]
        return {**last, **dict.fromkeys(schedule.graph.outputs, until)}

    # ---- collecting --------------------------------------------------------------------------

    def _collect(self, schedule: Schedule, depth: int, until: int) -> None:
        last = self._last_uses(schedule, until)
        items = {(n.args[0], n.attrs["index"]): n for made in schedule.values.values()
                 for n in made if n.op is tuples.ITEM}
        for launch in reversed(schedule.launches):  # where a loop ends is where it begins
            for i in range(launch.attrs["carries"]) if launch.op is SCAN else ():
                item = items.get((launch, i), launch)
                turned = _turned(schedule, launch, i)
                own = launch.args[i].op is not leaf.INPUT  # else it is the carry of the loop around
                if own and item in self.rules and not turned:
                    self._follow(launch.args[i], item)
        for launch in schedule.launches:
            if launch.op is higher.FUSED:
                self._fused(schedule, launch, last)
            elif launch.op is SCAN:
                self._scan(schedule, launch, items, last, depth)
            else:
                self._cond(schedule, launch, items, last, depth)

    def _own(self, value: Node, first: int, last: int) -> None:
        """A span for `value`, or its share of the one whose place it takes."""
        if value in self.rules:
            self.within.setdefault(value, (first, last))
            return
        if value in self.persistent:
            return
        source = self.shared.get(value)
        if source is None:
            self.spans[value] = Span(aligned(value.type.bytes), first, last, [value])
        else:
            self._join(value, source, last)

    def _join(self, value: Node, source: Node, last: int) -> None:
        """`value` lies where `source` lies."""
        if value in self.rules or value in self.spans:
            return
        if source not in self.spans:
            self._follow(value, source)
            return
        span = self.spans[value] = self.spans[source]
        span.last = max(span.last, last)
        span.values.append(value)

    def _follow(self, value: Node, source: Value) -> None:
        """`value` has a rule: it lies where `source` does."""
        self.sources[value] = (source,)
        self.rules[value] = lambda lives: lives.place(source)

    def _fused(self, schedule: Schedule, launch: Node, last: Mapping[Node, int]) -> None:
        at = self.reach[launch][0]
        for value in schedule.values[launch]:
            self._own(value, at, last.get(value, at))
        for need in self.scratch.get(launch, ()):
            self.spans[need] = Span(aligned(need.size * need.dtype.bytes), at, at, [need])

    def _scan(self, schedule: Schedule, launch: Node, items: Mapping[Any, Node],
              last: Mapping[Node, int], depth: int) -> None:
        (inner,) = schedule.inner[launch]
        first, end = self.reach[launch]
        body, carries = inner.graph, launch.attrs["carries"]
        for i in range(carries):
            start, item = launch.args[i], items.get((launch, i))
            final = last.get(item, end) if item is not None else end
            if i in inner.alternating:
                self._alternate(launch, inner, i, item, depth, final)
            else:
                if item is not None:
                    self._join(item, start, max(final, end))
                self._follow(body.inputs[i], start)
        for k in range(launch.attrs["sequences"]):
            self._row(body.inputs[carries + k], launch.args[carries + k], launch, depth)
        for x, a in list(zip(body.inputs, launch.args, strict=True))[
                carries + launch.attrs["sequences"]:]:
            self._follow(x, a)
        for k, out in enumerate(body.outputs):
            if k >= carries:
                self._own(items[launch, k], first, max(end, last.get(items[launch, k], end)))
                self._row(out, items[launch, k], launch, depth)
            elif k not in inner.alternating and out is not body.inputs[k]:
                self._follow(out, body.inputs[k])
        self._body(inner, launch, depth + 1)

    def _alternate(self, launch: Node, inner: Schedule, i: int, item: Node | None, depth: int,
                   final: int) -> None:
        """A carry in two places: even iterations read the one where it starts."""
        first, end = self.reach[launch]
        start = launch.args[i]
        size = aligned(start.type.bytes)
        beside: Value = Scratch(f"{inner.graph.inputs[i].name}_next", start.type.dtype,
                                start.type.size)
        if launch.attrs["length"] % 2 == 0:
            self.spans[beside] = Span(size, first, end, [beside])
            if item is not None:
                self._join(item, start, max(final, end))
        elif item is not None:
            beside = item
            self.spans[item] = Span(size, first, max(final, end), [item])
        else:
            self.spans[beside] = Span(size, first, end, [beside])

        def turn(even: Value, odd: Value) -> Rule:
            def rule(lives: Lives) -> Location:
                here = lives.place(even)
                return here.moved(depth, swap=lives.place(odd).offset - here.offset)
            return rule

        self.rules[inner.graph.inputs[i]] = turn(start, beside)
        self.rules[inner.graph.outputs[i]] = turn(beside, start)
        self.sources.update(dict.fromkeys((inner.graph.inputs[i], inner.graph.outputs[i]),
                                          (start, beside)))

    def _row(self, row: Node, whole: Node, launch: Node, depth: int) -> None:
        """`row` is the element of `whole` of the iteration that runs."""
        size, length = row.type.bytes, launch.attrs["length"]
        stride, first = (-size, size * (length - 1)) if launch.attrs["reverse"] else (size, 0)
        self.sources[row] = (whole,)
        self.rules[row] = lambda lives: lives.place(whole).moved(depth, stride, first=first)

    def _cond(self, schedule: Schedule, launch: Node, items: Mapping[Any, Node],
              last: Mapping[Node, int], depth: int) -> None:
        first, end = self.reach[launch]
        for i in range(len(launch.type.items)):
            item = items[launch, i]
            self._own(item, first, max(end, last.get(item, end)))
        for inner in schedule.inner[launch]:
            body = inner.graph
            for x, a in zip(body.inputs, launch.args[1:], strict=True):
                self._follow(x, a)
            for i, out in enumerate(body.outputs):
                if not any(out is x for x in body.inputs):
                    self._follow(out, items[launch, i])
            self._body(inner, launch, depth)

    def _body(self, inner: Schedule, launch: Node, depth: int) -> None:
        for value in (*inner.graph.inputs, *inner.graph.outputs):
            self.within[value] = self.reach[launch]
        self._collect(inner, depth, self.reach[launch][1])

    # ---- what comes of it --------------------------------------------------------------------

    def distinct_spans(self) -> list[Span]:
        return list(dict.fromkeys(self.spans.values()))

    def roots(self, value: Value) -> frozenset[object]:
        """The spans, or offsets of persistent values, in which `value` lies."""
        if value in self.spans:
            return frozenset((self.spans[value],))
        assert isinstance(value, Node)
        if value in self.persistent:
            return frozenset((self.persistent[value],))
        sources = self.sources.get(value) or (self.shared[value],)
        return frozenset().union(*map(self.roots, sources))

    def place(self, value: Value) -> Location:
        """Where `value` lies, above the persistent values; those lie below, at negative offsets."""
        if value in self.spans:
            return Location(self.spans[value].offset)
        if isinstance(value, Node) and value in self.persistent:
            return Location(self.persistent[value] - self._base)
        assert isinstance(value, Node)
        if value in self.rules:
            return self.rules[value](self)
        return self.place(self.shared[value])

    def places(self, base: int) -> dict[Value, Location]:
        """The place of every value, when the spans above `base` have theirs."""
        self._base = base
        known = dict.fromkeys((*self.persistent, *self.spans, *self.rules, *self.shared))
        found = {value: self.place(value) for value in known}
        return {value: replace(p, offset=p.offset + base) for value, p in found.items()}

    def ranges(self) -> dict[Value, tuple[int, int]]:
        """The launches between which each value is needed; persistent ones always are."""
        lives: dict[Value, tuple[int, int]] = {v: (s.first, s.last) for v, s in self.spans.items()}
        lives.update((v, reach) for v, reach in self.within.items() if v not in lives)
        return {**dict.fromkeys(self.persistent, (-1, self.count)), **lives}


def _turned(schedule: Schedule, launch: Node, i: int) -> bool:
    """Whether a carry ends in the other place than it starts in."""
    (inner,) = schedule.inner[launch]
    return i in inner.alternating and launch.attrs["length"] % 2 == 1
