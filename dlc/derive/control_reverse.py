"""Reverse mode of loops and branches: the reversed loop over residuals of the forward one.

The derivative of a loop is two loops: the same one, which also stacks what the other reads, and
one that runs backwards and carries the cotangents of the carries. Gradients by invariants are sums
over the steps: contractions after the loop where that is possible, else carried along.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

from dlc.derive.autodiff import reverse
from dlc.derive.control import (
    COND,
    SCAN,
    Bound,
    Fresh,
    Loop,
    Parts,
    make_scan,
    results,
)
from dlc.derive.control_residuals import kept_of_branch, kept_values, read_by
from dlc.derive.control_sums import factors, summed
from dlc.ir.dependence import depends_on
from dlc.ir.graph import Given, Graph, Node, make, substitute, toposort
from dlc.ir.types import accumulator
from dlc.ops import elementwise, leaf
from dlc.ops.convert import cast

# Whether reverse mode is in the step of a loop: what a branch keeps there is stacked.
_in_a_loop: ContextVar[bool] = ContextVar("in_a_loop", default=False)


@dataclass
class _Backward:
    """One step backwards, over the forward body's values and the cotangents `carried`, `arriving`.

    `pulled` are the cotangents of inputs of the body; those in `after` are summed after the loop
    from the values `stacked`.
    """

    loop: Loop
    carried: dict[Node, Node]
    arriving: dict[int, Node]
    pulled: dict[Node, Node]
    after: dict[Node, Node] = field(default_factory=dict)
    stacked: set[Node] = field(default_factory=set)

    @property
    def sources(self) -> list[Node]:
        return [*self.carried.values(), *self.arriving.values()]


def pull_scan(node: Node, given: Given) -> list[Node | None]:
    """The cotangents of a loop's operands, at the positions that are wanted."""
    loop = Loop.of(node)
    step = _step_backwards(loop, given)
    _sums_after(step)
    made = depends_on(list(step.pulled.values()), step.sources) - set(step.arriving.values())
    emitted = _in_order(step.stacked & made, step)
    kept = _kept(step, emitted)
    forward = _keeping(loop, kept)
    accumulated = [x for x, _ in loop.invariants if x in step.pulled and x not in step.after]
    finals, rows = _run_backwards(step, given, kept, forward, accumulated, emitted)
    totals = {x: cast(total, x.dtype) for x, total in zip(
        accumulated, finals[len(step.carried):], strict=True)}
    stacks = {**forward, **dict(loop.sequences), **dict(zip(emitted, rows, strict=False)),
              **{g: given[i] for i, g in step.arriving.items()}}
    totals |= {x: summed(value, stacks, loop.length) for x, value in step.after.items()}
    totals |= dict(zip(step.carried, finals, strict=False))
    totals |= dict(zip((x for x, _ in loop.sequences if x in step.pulled), rows[len(emitted):],
                       strict=True))
    inputs = node.attrs["body"].inputs
    return [totals.get(x) if i in given.wanted else None for i, x in enumerate(inputs)]


# --- one step -------------------------------------------------------------------------------------


def _step_backwards(loop: Loop, given: Given) -> _Backward:
    """Reverse mode of the body, for the carries through which a cotangent flows."""
    body, count = loop.node.attrs["body"], len(loop.carries)
    wanted = [body.inputs[i] for i in sorted(given.wanted) if body.inputs[i].dtype.is_float]
    rows = {i: g for i, g in given.items() if i >= count}
    moving = _moving(loop, wanted, [i for i in given if i < count], list(rows))
    fresh = Fresh(body.inputs)
    carried = {x: fresh.input("d", x.attrs["label"], x.type) for x in moving}
    arriving = {i: fresh.input("dy", str(i - count), body.outputs[i].type) for i in rows}
    cotangents: dict[Node, Node] = {}
    pairs = [(new, carried[x]) for (x, _), new in zip(loop.carries, loop.new, strict=True)
             if x in carried] + [(body.outputs[i], g) for i, g in arriving.items()]
    for value, g in pairs:
        have = cotangents.get(value)
        cotangents[value] = g if have is None else elementwise.add(have, g)
    others = [x for x in wanted if all(x is not c for c, _ in loop.carries)]
    inside = _in_a_loop.set(True)
    try:
        gradients = reverse(cotangents, [*moving, *others])
    finally:
        _in_a_loop.reset(inside)
    pulled = dict(zip([*moving, *others], gradients, strict=True))
    touched = depends_on(list(pulled.values()), [*carried.values(), *arriving.values()])
    return _Backward(loop, carried, arriving,
                     {x: g for x, g in pulled.items() if x in carried or g in touched})


def _moving(loop: Loop, wanted: Sequence[Node], finals: Sequence[int],
            rows: Sequence[int]) -> list[Node]:
    """Inputs of the carries that depend on what is wanted, and on which a given result depends."""
    carries = [(x, new) for (x, _), new in zip(loop.carries, loop.new, strict=True)
               if x.dtype.is_float]
    active = set(wanted)
    while True:
        reach = depends_on(loop.new, list(active))
        more = {x for x, new in carries if new in reach} - active
        if not more:
            break
        active |= more
    ends = {loop.carries[i][0] for i in finals}
    while True:
        below = set(toposort([*(loop.node.attrs["body"].outputs[i] for i in rows),
                              *(new for x, new in carries if x in ends)]))
        more = {x for x, _ in carries if x in below} - ends
        if not more:
            break
        ends |= more
    return [x for x, _ in carries if x in active and x in ends]


def _sums_after(step: _Backward) -> None:
    """Decide which gradients by invariants are summed after the loop."""
    loop = step.loop
    if loop.length == 0:
        return
    varying = [*(x for x, _ in loop.carries), *(x for x, _ in loop.sequences), *step.sources]
    inside = depends_on(list(step.pulled.values()), varying)
    # twice: what one sum needs stacked may let another be taken after the loop too
    for _ in range(2):
        for x, _ in loop.invariants:
            value = step.pulled.get(x)
            needed = None if value is None else factors(value, inside, step.stacked)
            if value is not None and needed is not None:
                step.after[x] = value
                step.stacked |= needed


def _in_order(values: set[Node], step: _Backward) -> list[Node]:
    """`values` in the order of the body's text: sets have none."""
    return [v for v in toposort(list(step.pulled.values())) if v in values]


# --- the two loops --------------------------------------------------------------------------------


def _loop_outputs(step: _Backward) -> list[Node]:
    """What the backward loop computes from the step's cotangents in every step."""
    return [g for x, g in step.pulled.items() if x not in step.after]


def _kept(step: _Backward, emitted: Sequence[Node]) -> list[Node]:
    """The forward values to stack."""
    outputs = [*_loop_outputs(step), *emitted]
    read = read_by(outputs, step.sources)
    there = {*emitted, *step.arriving.values()}
    whole = [v for v in _in_order(step.stacked, step) if v not in there]
    return kept_values(step.loop, read, whole)


def _keeping(loop: Loop, kept: Sequence[Node]) -> dict[Node, Node]:
    """The stacks of `kept`, as results of the same loop with more of them."""
    node, body = loop.node, loop.node.attrs["body"]
    more = [v for v in kept if all(v is not y for y in loop.ys)]
    if more:
        wider = body.with_outputs((*body.outputs, *more))
        node = make(SCAN, node.args, node.name, **{**node.attrs, "body": wider})
    found = dict(zip([*loop.ys, *more], results(node)[len(loop.carries):], strict=True))
    return {v: found[v] for v in kept}


def _run_backwards(step: _Backward, given: Given, kept: Sequence[Node],
                   forward: Mapping[Node, Node], accumulated: Sequence[Node],
                   emitted: Sequence[Node]) -> tuple[list[Node], list[Node]]:
    """(final cotangents of the carries and totals, stacks of `emitted` and of the elements')."""
    loop, body = step.loop, step.loop.node.attrs["body"]
    fresh = Fresh([*body.inputs, *step.sources])
    held = {v: fresh.input("kept", v.name or v.op.name, v.type) for v in kept}
    totals = {x: fresh.input("sum", x.attrs["label"], x.type.with_(
        dtype=accumulator(x.dtype))) for x in accumulated}
    news = [*(step.pulled[x] for x in step.carried), *(
        elementwise.add(t, cast(step.pulled[x], t.dtype)) for x, t in totals.items())]
    rows = [*emitted, *(step.pulled[x] for x, _ in loop.sequences if x in step.pulled)]
    outputs = substitute([*news, *rows], held)
    place = {x: i for i, (x, _) in enumerate(loop.carries)}
    starts = [given[place[x]] if place[x] in given else leaf.constant(0.0, g.type)
              for x, g in step.carried.items()]
    carries: list[Bound] = [
        *zip(step.carried.values(), starts, strict=True),
        *((t, leaf.constant(0.0, t.type)) for t in totals.values())]
    sequences = [*((g, given[i]) for i, g in step.arriving.items()),
                 *((held[v], forward[v]) for v in kept), *loop.sequences]
    return make_scan(Parts(f"{body.name}_backward", carries, outputs[:len(carries)], sequences,
                           loop.invariants, outputs[len(carries):], loop.length,
                           not loop.reverse))


# --- branches -------------------------------------------------------------------------------------


def pull_cond(node: Node, given: Given) -> list[Node | None]:
    """The cotangents of a branch's operands, from what the branch that ran has kept.

    Both branches give what either keeps, the other one zeros. In the step of a loop they keep
    nothing, and the branch is computed again: what is kept there is stacked for all steps.
    """
    operands = node.args[1:]
    at = [i - 1 for i in sorted(given.wanted)
          if i > 0 and node.args[i].dtype.is_float]
    if not at:
        return [None] * len(node.args)
    sides = [_BranchBackward.of(node.attrs[key], at, given) for key in BRANCHES]
    slots = _slots(sides)
    forward = _keeping_branches(node, sides, slots)
    graphs = [side.graph(list(slots.values()), number) for number, side in enumerate(sides)]
    pulled = make(COND, (node.args[0], *operands, *forward, *given.values()), then=graphs[0],
                  otherwise=graphs[1])
    found = dict(zip((i + 1 for i in at), results(pulled), strict=True))
    return [found.get(i) for i in range(len(node.args))]


BRANCHES = ("then", "otherwise")
# What each branch keeps in a place that both share, None where only the other one does.
_Slot = tuple[Node | None, Node | None]


@dataclass(frozen=True)
class _BranchBackward:
    """Reverse mode of one branch: its cotangents, and what it keeps for them."""

    branch: Graph
    arriving: tuple[Node, ...]
    pulled: tuple[Node, ...]
    kept: tuple[Node, ...]

    @staticmethod
    def of(branch: Graph, at: Sequence[int], given: Given) -> _BranchBackward:
        fresh = Fresh(branch.inputs)
        gs = {i: fresh.input("dy", str(i), branch.outputs[i].type) for i in given}
        cotangents: dict[Node, Node] = {}
        for i, g in gs.items():
            have = cotangents.get(branch.outputs[i])
            cotangents[branch.outputs[i]] = g if have is None else elementwise.add(have, g)
        pulled = reverse(cotangents, [branch.inputs[i] for i in at])
        kept = [] if _in_a_loop.get() else kept_of_branch(
            branch, read_by(pulled, list(gs.values())))
        return _BranchBackward(branch, tuple(gs.values()), tuple(pulled), tuple(kept))

    def graph(self, slots: Sequence[_Slot], number: int) -> Graph:
        """The branch backwards, over the operands, the slots and the cotangents."""
        fresh = Fresh([*self.branch.inputs, *self.arriving])
        values = [_held(slot) for slot in slots]
        held = [fresh.input("kept", v.name or v.op.name, v.type) for v in values]
        mine = {slot[number]: x for slot, x in zip(slots, held, strict=True)
                if slot[number] is not None}
        outputs = substitute(self.pulled, {v: x for v, x in mine.items() if v is not None})
        return Graph(f"{self.branch.name}_backward",
                     (*self.branch.inputs, *held, *self.arriving), tuple(outputs))


def _slots(sides: Sequence[_BranchBackward]) -> dict[int, _Slot]:
    """What the branches keep, by the number of the result: results that are there already, then
    more of them, in which values of one type share a place."""
    count = len(sides[0].branch.outputs)
    there: dict[int, list[Node | None]] = {}
    left: list[list[Node]] = [[], []]
    for number, side in enumerate(sides):
        for value in side.kept:
            at = next((i for i, o in enumerate(side.branch.outputs) if o is value), None)
            if at is None:
                left[number].append(value)
            else:
                there.setdefault(at, [None, None])[number] = value
    slots: dict[int, _Slot] = {at: (pair[0], pair[1]) for at, pair in sorted(there.items())}
    for value in left[0]:
        other = next((v for v in left[1] if v.dtype is value.dtype and tuple(v.shape) == tuple(
            value.shape)), None)
        left[1] = [v for v in left[1] if v is not other]
        slots[max([count - 1, *slots]) + 1] = value, other
    for value in left[1]:
        slots[max([count - 1, *slots]) + 1] = None, value
    return slots


def _held(slot: _Slot) -> Node:
    """One of the values that a slot is for."""
    value = slot[0] if slot[0] is not None else slot[1]
    assert value is not None
    return value


def _keeping_branches(node: Node, sides: Sequence[_BranchBackward],
                      slots: Mapping[int, _Slot]) -> list[Node]:
    """What the slots hold, as results of the same branches with more of them."""
    wider, count = {}, len(sides[0].branch.outputs)
    for number, (key, side) in enumerate(zip(BRANCHES, sides, strict=True)):
        more = [leaf.constant(0, _held(slot).type.with_(layout=None))
                if (value := slot[number]) is None else value
                for at, slot in slots.items() if at >= count]
        wider[key] = side.branch.with_outputs((*side.branch.outputs, *more))
    if max(slots, default=0) >= count:
        node = make(COND, node.args, node.name, **wider)
    found = results(node)
    return [found[at] for at in slots]
