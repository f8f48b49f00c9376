"""Memory planning: an offset in one arena for every value, before anything runs.

    h: f32[64, 128] = fused_0(x, w)          h: f32[64, 128] @ 0x8000 = fused_0(x, w)
    y: f32[64, 128] = fused_1(h)        ->   y: f32[64, 128] @ 0x8000 = fused_1(h)     (h dies here)

Parameters and state lie first, at the same offsets in every entry of a program; above them each
entry places its own values by lifetime (greedy by size, Pisarchyk & Lee 2020).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dlc.graph import Kind, Node
from dlc.ops import higher, leaf
from dlc.passes.order import Schedule, launch_of, may_take_over
from dlc.types import DType, Type

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


@dataclass(eq=False)
class Span:
    """A place in the arena from launch `first` to launch `last`; several values may share it."""

    bytes: int
    first: int
    last: int
    values: list[Node | Scratch] = field(default_factory=list)
    offset: int = -1


@dataclass(frozen=True, eq=False)
class Plan:
    """Where everything lies. `offsets` are absolute; `lower_bound` is the most bytes live at once.
    """

    offsets: Mapping[Node | Scratch, int]
    spans: tuple[Span, ...]
    total: int
    lower_bound: int


def take_overs(schedule: Schedule) -> dict[Node, Node]:
    """value -> the dying operand whose place it takes (updates take over their input's)."""
    last = last_uses(schedule)
    outputs = set(schedule.graph.outputs)
    found: dict[Node, Node] = dict(schedule.home)
    for at, launch in enumerate(schedule.launches):
        free = [a for a in dict.fromkeys(launch.args) if last.get(a) == at and a not in outputs and
                a.op is not leaf.ARRAY and a.attrs.get("role", "data") == "data"]
        for value in values_of(schedule, launch):
            if value in found:
                continue
            taken = next((a for a in free if may_take_over(launch, value, a)), None)
            if taken is not None:
                found[value] = taken
                free = [a for a in free if a is not taken]
    return found


def values_of(schedule: Schedule, launch: Node) -> list[Node]:
    """The results of a launch as the nodes that others read."""
    if not hasattr(schedule, "_values"):
        table: dict[Node, list[Node]] = {n: [] for n in schedule.launches}
        for node in schedule.graph.nodes():
            if node.op is higher.ITEM:
                table[node.args[0]].append(node)
            elif node.op is higher.FUSED and not hasattr(node.type, "items"):
                table[node].append(node)
        object.__setattr__(schedule, "_values", table)
    found: dict[Node, list[Node]] = schedule._values  # type: ignore[attr-defined]
    return found[launch]


def last_uses(schedule: Schedule) -> dict[Node, int]:
    """The position of each value's last reader; outputs are read after the last launch."""
    last: dict[Node, int] = {}
    for at, launch in enumerate(schedule.launches):
        for a in launch.args:
            last[a] = at
    for out in schedule.graph.outputs:
        last[out] = len(schedule.launches)
    return last


def plan_memory(schedule: Schedule, persistent: Mapping[Node, int], base: int,
                scratch: Mapping[Node, Sequence[Scratch]], shared: Mapping[Node, Node]) -> Plan:
    """Offsets for every value of `schedule`; `persistent` inputs have theirs already, below `base`.

    `scratch` is what each launch needs while it runs, `shared` the take-overs of the schedule.
    """
    spans = collect_spans(schedule, persistent, scratch, shared)
    total = min((place(spans, key) for key in ORDERS), default=0)
    best = min(ORDERS, key=lambda key: place(spans, key))
    place(spans, best)
    offsets: dict[Any, int] = dict(persistent)
    for span in spans:
        for value in span.values:
            offsets[value] = base + span.offset
    for value, source in shared.items():
        if source in persistent:
            offsets[value] = persistent[source]
    return Plan(offsets, tuple(spans), base + total, base + most_live(spans))


def collect_spans(schedule: Schedule, persistent: Mapping[Node, int],
                  scratch: Mapping[Node, Sequence[Scratch]],
                  shared: Mapping[Node, Node]) -> list[Span]:
    last = last_uses(schedule)
    spans: dict[Node | Scratch, Span] = {}
    for node in schedule.graph.inputs:
        if node not in persistent:
            # an input is written before the first launch, also if nobody reads it
            spans[node] = Span(aligned(node.type.bytes), -1, last.get(node, -1), [node])
    for at, launch in enumerate(schedule.launches):
        for value in values_of(schedule, launch):
            end = last.get(value, at)
            source = shared.get(value)
            if source is not None and source in persistent:
                continue
            if source is not None and source in spans:
                span = spans[source]
                span.last = max(span.last, end)
                span.values.append(value)
                spans[value] = span
            elif value not in persistent:
                spans[value] = Span(aligned(value.type.bytes), at, end, [value])
        for need in scratch.get(launch, ()):
            spans[need] = Span(aligned(need.size * need.dtype.bytes), at, at, [need])
    return list(dict.fromkeys(spans.values()))


ORDERS = (
    lambda s: (-s.bytes, s.first),
    lambda s: (s.first - s.last, -s.bytes),
    lambda s: (s.first, -s.bytes),
    lambda s: (-s.bytes * (s.last - s.first + 1), s.first),
)


def place(spans: Sequence[Span], key: object) -> int:
    """Give each span the lowest offset free over its life, in the order of `key`; the top."""
    placed: list[Span] = []
    for span in sorted(spans, key=key):  # type: ignore[call-overload]
        busy = sorted((p.offset, p.offset + p.bytes) for p in placed
                      if p.first <= span.last and span.first <= p.last)
        at = 0
        for low, high in busy:
            if at + span.bytes <= low:
                break
            at = max(at, high)
        span.offset = at
        placed.append(span)
    return max((s.offset + s.bytes for s in spans), default=0)


def most_live(spans: Sequence[Span]) -> int:
    """The liveness lower bound: the most bytes that live at one launch."""
    steps = range(-1, max((s.last for s in spans), default=0) + 1)
    return max((sum(s.bytes for s in spans if s.first <= t <= s.last) for t in steps), default=0)


def category(node: Node) -> str:
    """The heading under which a value is listed."""
    if node.op is leaf.INPUT:
        role = node.attrs["role"]
        return {"param": "parameter", "state": "state"}.get(role, "input")
    return "constant" if node.op.kind is Kind.LEAF else "activation"


def launch_position(schedule: Schedule, value: Node) -> int:
    """The position of the launch that makes `value`; -1 for an input."""
    launch = launch_of(value)
    return next((at for at, n in enumerate(schedule.launches) if n is launch), -1)


def persistent_offsets(types: Mapping[str, Type], start: int = 0) -> tuple[dict[str, int], int]:
    """Offsets by name for values that live as long as the program, and the first free byte."""
    offsets: dict[str, int] = {}
    for name, type_ in types.items():
        offsets[name] = start
        start += aligned(type_.bytes)
    return offsets, start
