"""Memory planning: an offset in one arena for every value, before anything runs.

    h: f32[64, 128] = fused_0(x, w)          h: f32[64, 128] @ 0x8000 = fused_0(x, w)
    y: f32[64, 128] = fused_1(h)        ->   y: f32[64, 128] @ 0x8000 = fused_1(h)     (h dies here)

Parameters and state lie first, at the same offsets in every entry of a program; above them each
entry places its own values by lifetime (greedy by size, Pisarchyk & Lee 2020).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dlc.graph import Kind, Node
from dlc.ops import higher, leaf
from dlc.passes.in_place import may_take_over
from dlc.passes.lives import Lives, Place, Scratch, Span, aligned
from dlc.passes.order import Level, Schedule, fixed_values
from dlc.types import Type


@dataclass(frozen=True, eq=False)
class Plan:
    """Where everything lies. `slots` hold how values in loops move, `offsets` where they lie in the
    first iteration; `lives` are the first and last launch that needs a value. `lower_bound` is the
    most bytes live at once.
    """

    slots: Mapping[Node | Scratch, Place]
    spans: tuple[Span, ...]
    lives: Mapping[Node | Scratch, tuple[int, int]]
    total: int
    lower_bound: int

    @property
    def offsets(self) -> Mapping[Node | Scratch, int]:
        return {value: place.offset for value, place in self.slots.items()}


def take_overs(schedule: Schedule) -> dict[Node, Node]:
    """value -> the dying operand whose place it takes (updates take over their input's), in loops
    and branches too."""
    last = last_uses(schedule)
    outputs = set(schedule.graph.outputs)
    entry = schedule.level is Level.ENTRY
    fixed = fixed_values(schedule.graph, schedule.launches, schedule.home, schedule.level)
    found: dict[Node, Node] = {**schedule.taken, **schedule.home}
    for at, launch in enumerate(schedule.launches):
        for body in schedule.inner.get(launch, ()):
            found.update(take_overs(body))
        if launch.op is not higher.FUSED:
            continue
        free = [a for a in dict.fromkeys(launch.args) if last.get(a) == at and a not in outputs and
                a.op is not leaf.ARRAY and a.attrs.get("role", "data") == "data" and
                (entry or a.op is not leaf.INPUT)]
        for value in values_of(schedule, launch):
            if value in found or value in fixed:
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
    """The position of each value's last reader among the schedule's own launches; outputs are read
    after the last one."""
    last: dict[Node, int] = {}
    for at, launch in enumerate(schedule.launches):
        for a in launch.args:
            last[a] = at
    for out in schedule.graph.outputs:
        last[out] = len(schedule.launches)
    return last


def plan_memory(schedule: Schedule, persistent: Mapping[Node, int], base: int,
                scratch: Mapping[Node, Sequence[Scratch]], shared: Mapping[Node, Node]) -> Plan:
    """Places for every value of `schedule`; `persistent` inputs have theirs already, below `base`.

    `scratch` is what each launch needs while it runs, `shared` the take-overs of the schedule.
    """
    lives = Lives(schedule, persistent, scratch, shared)
    spans = lives.distinct_spans()
    best = min(ORDERS, key=lambda key: place(spans, key))
    total = place(spans, best)
    return Plan(lives.places(base), tuple(spans), lives.ranges(), base + total,
                base + most_live(spans))


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


def persistent_offsets(types: Mapping[str, Type], start: int = 0) -> tuple[dict[str, int], int]:
    """Offsets by name for values that live as long as the program, and the first free byte."""
    offsets: dict[str, int] = {}
    for name, type_ in types.items():
        offsets[name] = start
        start += aligned(type_.bytes)
    return offsets, start
