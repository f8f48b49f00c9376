"""Loops and branches: invariants are hoisted, unused carries and results removed.

    c = scan(c0, xs, w, body=c + x * exp(w))   ->   e = exp(w); c = scan(c0, xs, e, body=c + x * e)

Values that depend on no carry and no element are hoisted; constants and views, which cost nothing,
move inside. Carries that never change become invariants, unread carries and results are dropped. A
loop of no iterations becomes its initial carry, one of a single iteration its body, a branch on a
constant that branch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlc.derive.control import COND, SCAN, Fresh, Loop, results
from dlc.ir.dependence import depends_on
from dlc.ir.graph import (
    Build,
    Graph,
    Kind,
    Node,
    adopt,
    building,
    make,
    rebuild,
    serving,
    substitute,
    toposort,
)
from dlc.ops import leaf, tuples, view
from dlc.passes.loops.bodies import bodies_of, is_control
from dlc.passes.loops.products import products_outside
from dlc.passes.loops.writes import writes_onto_carries
from dlc.passes.rules.simplify import simplify
from dlc.reference.rewrite import Grade, keeps

ROUNDS = 6  # beside one for each loop or branch of a chain
# Views that are read in place; others (pad, concat) are made once, before the loop.
FREE_VIEWS = (view.RESHAPE, view.TRANSPOSE, view.BROADCAST, view.SLICE)


# products that leave a loop are one of all steps
@keeps(Grade.ROUNDING)
def loops(graph: Graph) -> Graph:
    """Move what does not change out of loops, drop what nobody reads (see the module)."""
    chain = sum(is_control(n) for n in graph.nodes())
    # what a loop no longer reads empties the one before it, which the next round sees
    for _ in range(ROUNDS + chain if chain else 0):
        with building(Build()):
            changed, after = _once(graph)
        if not changed:
            return graph
        graph = simplify(after)  # what came out of loops
    return graph


def _once(graph: Graph) -> tuple[bool, Graph]:
    """One walk over the graph; whether a loop or a branch changed."""
    used = used_results(graph)
    done: dict[Node, Node] = {}
    parts: dict[Node, Sequence[Node]] = {}
    changed = False
    for node in graph.nodes():
        args = tuple(done.get(a, a) for a in node.args)
        if node.op is tuples.ITEM and node.args[0] in parts:
            done[node] = new = parts[node.args[0]][node.attrs["index"]]
            if new.op.kind is not Kind.LEAF:
                new.name = new.name or node.name
            continue
        done[node] = new = adopt(rebuild(node, args))
        if is_control(node):
            with serving(node.locs):
                found = (_scan if node.op is SCAN else _cond)(new, used[node])
            if found is not None:
                parts[node], changed = found, True
    return changed, graph.with_outputs([done[o] for o in graph.outputs])


def used_results(graph: Graph) -> dict[Node, set[int]]:
    """Which results of each node with several somebody reads."""
    used: dict[Node, set[int]] = {n: set() for n in graph.nodes() if is_control(n)}
    for node in graph.nodes():
        if node.op is tuples.ITEM and node.args[0] in used:
            used[node.args[0]].add(node.attrs["index"])
    return used


# --- loops ----------------------------------------------------------------------------------------


def _scan(node: Node, used: set[int]) -> Sequence[Node] | None:
    """The results of a loop as it should be, or None if it is so already."""
    loop = Loop.of(node)
    if loop.length == 0:
        return [*(init for _, init in loop.carries),
                *(leaf.constant(0, t) for t in node.type.items[len(loop.carries):])]
    if loop.length == 1:
        return _only_iteration(loop)
    live = live_results(loop, used)
    if not live:  # carries that never change are all that is read
        return [*(init for _, init in loop.carries),
                *(leaf.constant(0, t) for t in node.type.items[len(loop.carries):])]
    steady = steady_inputs(loop)
    outer = substitute([loop.node.attrs["body"].outputs[i] for i in live], steady)
    moving = [x for x in (*dict(loop.carries), *dict(loop.sequences)) if x not in steady]
    new = _close(loop, live, outer, moving)
    if new is None:
        return products_outside(loop) or writes_onto_carries(loop)
    kept = iter(results(new))
    return [next(kept) if i in live else loop.carries[i][1] if i < len(loop.carries)
            else leaf.constant(0, t) for i, t in enumerate(node.type.items)]


def _only_iteration(loop: Loop) -> Sequence[Node]:
    """The body itself, on the first elements."""
    bound = {**dict(loop.carries), **dict(loop.invariants)}
    for x, s in loop.sequences:
        bound[x] = make(view.RESHAPE, (s,), shape=tuple(x.type.shape))
    outputs = substitute((*loop.new, *loop.ys), bound)
    ys = [make(view.RESHAPE, (y,), shape=(1, *y.type.shape)) for y in outputs[len(loop.new):]]
    return [*outputs[:len(loop.new)], *ys]


def live_results(loop: Loop, used: set[int]) -> list[int]:
    """The carries and results that are read outside, and the carries that those depend on."""
    outputs, fixed = (*loop.new, *loop.ys), {x for (x, _), new in zip(
        loop.carries, loop.new, strict=True) if new is x}
    live = {i for i in used if i >= len(loop.carries) or loop.carries[i][0] not in fixed}
    while True:
        below = set(toposort([outputs[i] for i in live]))
        more = {i for i, (x, _) in enumerate(loop.carries) if x in below and x not in fixed}
        if more <= live:
            return sorted(live)
        live |= more


def steady_inputs(loop: Loop) -> dict[Node, Node]:
    """The inputs of the body that are the same in every iteration, and what they are outside."""
    steady = dict(loop.invariants)
    steady.update((x, init) for (x, init), new in zip(loop.carries, loop.new, strict=True)
                  if new is x)
    for x, sequence in loop.sequences:
        element = repeated_element(sequence, x)
        if element is not None:
            steady[x] = element
    return steady


def repeated_element(sequence: Node, x: Node) -> Node | None:
    """What every element of a sequence is, if they are all the same."""
    if sequence.op is leaf.CONSTANT:
        return leaf.constant(sequence.attrs["value"], x.type)
    if sequence.op is not view.BROADCAST or sequence.args[0].ndim == sequence.ndim:
        return None
    return make(view.BROADCAST, sequence.args, shape=tuple(x.type.shape)) if (
        tuple(sequence.args[0].shape) != tuple(x.type.shape)) else sequence.args[0]


def _close(loop: Loop, live: Sequence[int], outer: Sequence[Node],
           moving: Sequence[Node]) -> Node | None:
    """The loop over `outer`, values of the body in terms of moving inputs and values outside; None
    where it is as before."""
    count = sum(i < len(loop.carries) for i in live)
    inside = depends_on(outer, moving)
    held = held_values(outer, inside)
    carries = [loop.carries[i] for i in live if i < len(loop.carries)]
    read = set(toposort(outer))
    sequences = [(x, s) for x, s in loop.sequences if x in read and x in inside]
    same = len(outer) == len(loop.new) + len(loop.ys) and len(sequences) == len(loop.sequences)
    if same and {id(a) for _, a in loop.invariants} == {id(v) for v in held} and (
            len(loop.invariants) == len(held)):
        return None
    bound = [*carries, *sequences, *((v, v) for v in held)]
    swap = fresh_inputs([x for x, _ in bound])
    # results that are not read any more may leave a loop inside with results that nobody reads
    body = loops(simplify(Graph(loop.node.attrs["body"].name, tuple(swap.values()),
                                tuple(substitute(outer, swap)))))
    return make(SCAN, [a for _, a in bound], loop.node.name, body=body, carries=count,
                sequences=len(sequences), length=loop.length, reverse=loop.reverse)


def fresh_inputs(values: Sequence[Node]) -> dict[Node, Node]:
    """An input for each value, under a label of its own."""
    fresh = Fresh(())
    found = {v: fresh.input("", v.name or v.op.name, v.type) for v in values}
    for value, x in found.items():
        x.locs = value.locs
    return found


def held_values(outer: Sequence[Node], inside: set[Node]) -> list[Node]:
    """The values outside that the loop reads: beneath constants and views that move in."""
    found: dict[Node, None] = {}
    stack = [a for node in reversed(toposort(outer)) if node in inside for a in node.args]
    stack = [v for v in (*outer, *reversed(stack)) if v not in inside]
    seen: set[Node] = set()
    while stack:
        value = stack.pop()
        if value in seen or value in inside:
            continue
        seen.add(value)
        if value.op in (leaf.CONSTANT, leaf.IOTA):
            continue
        if any(value.op is free for free in FREE_VIEWS):
            stack.extend(value.args)
            continue
        found[value] = None
    return list(found)


# --- branches -------------------------------------------------------------------------------------


def _cond(node: Node, used: set[int]) -> Sequence[Node] | None:
    """The results of a branch as it should be, or None if it is so already."""
    predicate, operands = node.args[0], node.args[1:]
    if predicate.op is leaf.CONSTANT:
        body = bodies_of(node)[0 if predicate.attrs["value"] else 1]
        return substitute(body.outputs, dict(zip(body.inputs, operands, strict=True)))
    live = sorted(used)
    outputs = [[g.outputs[i] for i in live] for g in bodies_of(node)]
    read = {n for outs in outputs for n in toposort(outs)}
    first: dict[Node, int] = {}  # an operand that is given twice is read at its first place
    places: dict[int, int] = {}
    for at, operand in enumerate(operands):
        inputs = [g.inputs[at] for g in bodies_of(node)]
        if operand.op is not leaf.CONSTANT and any(x in read for x in inputs):
            places[at] = first.setdefault(operand, at)
    kept = sorted(set(places.values()))
    if len(kept) == len(operands) and len(live) == len(node.type.items):
        return None
    if not live:
        return [leaf.constant(0, t) for t in node.type.items]
    bodies = [_branch(g, outs, operands, places, kept)
              for g, outs in zip(bodies_of(node), outputs, strict=True)]
    new = iter(results(make(COND, (predicate, *(operands[at] for at in kept)), node.name,
                            then=bodies[0], otherwise=bodies[1])))
    return [next(new) if i in live else leaf.constant(0, t)
            for i, t in enumerate(node.type.items)]


def _branch(body: Graph, outputs: Sequence[Node], operands: Sequence[Node],
            places: Mapping[int, int], kept: Sequence[int]) -> Graph:
    """A branch over the operands `kept`, with constants in it."""
    swap: dict[Node, Node] = {}
    for at, operand in enumerate(operands):
        if operand.op is leaf.CONSTANT:
            swap[body.inputs[at]] = operand
        elif at in places and places[at] != at:
            swap[body.inputs[at]] = body.inputs[places[at]]
    return loops(simplify(Graph(body.name, tuple(body.inputs[at] for at in kept),
                                tuple(substitute(outputs, swap)))))


