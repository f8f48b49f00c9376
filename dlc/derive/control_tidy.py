"""Cleanup of loops and branches after differentiation: merging equal ones, pruning unread results.

    f = scan(c, xs); g = scan(c, xs) with more results   ->   g alone
    scan(...)[1] that nobody reads                       ->   a loop that does not compute it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dlc.derive.control import COND, SCAN, Loop, Parts, make_scan, results
from dlc.ir.graph import Graph, Node, adopt, make, rebuild, serving, substitute, toposort
from dlc.ops import leaf
from dlc.ops.tuples import ITEM

BODIES = {SCAN: ("body",), COND: ("then", "otherwise")}


def tidy(outputs: Sequence[Node]) -> list[Node]:
    """`outputs` with loops merged and pruned, also those inside bodies."""
    if not holds_control(outputs):
        return list(outputs)
    return prune(merge(outputs))


def holds_control(outputs: Sequence[Node]) -> bool:
    """Whether a loop or a branch is below `outputs`."""
    return any(node.op in BODIES for node in toposort(outputs))


# --- merging --------------------------------------------------------------------------------------


def merge(outputs: Sequence[Node]) -> list[Node]:
    """Make one loop of two where one computes all that the other does, and more.

    A derivative runs the loop that it differentiates with further results; so does a second one.
    """
    found = list(outputs)
    while (pair := _mergeable(found)) is not None:
        found = _merged(found, *pair)
    return replace_bodies(found, merge)


def replace_bodies(outputs: Sequence[Node], change: Any) -> list[Node]:
    """`outputs` with `change` applied to the outputs of every body of a loop or branch."""
    done: dict[Node, Node] = {}
    for node in toposort(outputs):
        attrs = {k: v.with_outputs(new) for k in BODIES.get(node.op, ())
                 if holds_control((v := node.attrs[k]).outputs)
                 and _differ(new := change(v.outputs), v.outputs)}
        args = [done[a] for a in node.args]
        if attrs:
            with serving(node.locs):
                done[node] = make(node.op, args, node.name, **{**node.attrs, **attrs})
        else:
            done[node] = adopt(rebuild(node, args))
    return [done[o] for o in outputs]


def _differ(a: Sequence[Node], b: Sequence[Node]) -> bool:
    return len(a) != len(b) or any(x is not y for x, y in zip(a, b, strict=True))


# Per body of a pair of nodes: (what the large one gives, what the small one gives).
_Given = list[tuple[list[Node], list[Node]]]


def _mergeable(outputs: Sequence[Node]) -> tuple[Node, Node, _Given] | None:
    """(small, large, ...): a node whose work `large` does too, which does not need it itself."""
    nodes = [n for n in toposort(outputs) if n.op in BODIES]
    for small in nodes:
        for large in nodes:
            if small is not large and _same_inputs(large, small):
                given = _given(large, small)
                if _same_steps(large, small, given) and small not in set(toposort(large.args)):
                    return small, large, given
    return None


def _same_inputs(large: Node, small: Node) -> bool:
    """Whether every input of `small` is one of `large` and stands for the same operand there."""
    if large.op is not small.op:
        return False
    if small.op is COND:
        return large.args[0] is small.args[0] and all(
            _within(zip(small.attrs[k].inputs, small.args[1:], strict=True),
                    zip(large.attrs[k].inputs, large.args[1:], strict=True)) for k in BODIES[COND])
    if any(small.attrs[k] != large.attrs[k] for k in ("length", "reverse")):
        return False
    a, b = Loop.of(small), Loop.of(large)
    return (_within(a.carries, b.carries) and _within(a.sequences, b.sequences)
            and _within(a.invariants, b.invariants))


def _within(small: Any, large: Any) -> bool:
    known = dict(large)
    return all(x in known and known[x] is operand for x, operand in small)


def _given(large: Node, small: Node) -> _Given:
    """What the bodies of both give; loops inside them that are alike are one."""
    found = []
    for key in BODIES[large.op]:
        count = len(large.attrs[key].outputs)
        both = [*large.attrs[key].outputs, *small.attrs[key].outputs]
        if holds_control(both):
            both = merge(both)
        found.append((both[:count], both[count:]))
    return found


def _same_steps(large: Node, small: Node, given: _Given) -> bool:
    """Whether the carries of `small` change in `large` as they do in `small`."""
    if small.op is COND:
        return True
    (more, fewer), = given
    steps = dict(zip((x for x, _ in Loop.of(large).carries), more, strict=False))
    return all(steps[x] is new for (x, _), new in zip(Loop.of(small).carries, fewer, strict=False))


def _merged(outputs: Sequence[Node], small: Node, large: Node, given: _Given) -> list[Node]:
    """`outputs` reading `large`, which gets the results of `small` that it lacks."""
    have = list(zip(*(more for more, _ in given), strict=True))
    places = _places(small, large, have, list(zip(*(fewer for _, fewer in given), strict=True)))
    bodies = {k: large.attrs[k].with_outputs(tuple(row[j] for row in have))
              for j, k in enumerate(BODIES[large.op])}
    with serving((*large.locs, *(loc for loc in small.locs if loc not in large.locs))):
        wider = make(large.op, large.args, large.name or small.name,
                     **{**large.attrs, **bodies})
        new = results(wider)
    mapping: dict[Node, Node] = {}
    for node in toposort(outputs):
        if node.op is ITEM and node.args[0] is large:
            mapping[node] = new[node.attrs["index"]]
        elif node.op is ITEM and node.args[0] is small:
            mapping[node] = new[places[node.attrs["index"]]]
    return substitute(outputs, mapping)


def _places(small: Node, large: Node, have: list[tuple[Node, ...]],
            want: Sequence[tuple[Node, ...]]) -> list[int]:
    """For each result of `small` its number among `have`, to which missing ones are added."""
    first = 0
    places: list[int] = []
    if small.op is SCAN:
        first = large.attrs["carries"]
        inputs = {x: i for i, (x, _) in enumerate(Loop.of(large).carries)}
        places = [inputs[x] for x, _ in Loop.of(small).carries]
    for row in want[len(places):]:
        at = next((i for i in range(first, len(have)) if not _differ(have[i], row)), len(have))
        if at == len(have):
            have.append(row)
        places.append(at)
    return places


# --- pruning --------------------------------------------------------------------------------------


def prune(outputs: Sequence[Node]) -> list[Node]:
    """Drop the results of loops and branches that nobody reads, and what only they need.

    A carry that never changes becomes an invariant, a branch whose condition is known its graph.
    """
    read = _read_results(outputs)
    done: dict[Node, Any] = {}
    for node in toposort(outputs):
        if node.op in BODIES and node in read:
            with serving(node.locs):
                done[node] = _pruned(node, read[node], done)
        elif node.op is ITEM and isinstance(done.get(node.args[0]), dict):
            if node.attrs["index"] in done[node.args[0]]:
                done[node] = done[node.args[0]][node.attrs["index"]]
        elif all(a in done and isinstance(done[a], Node) for a in node.args):
            done[node] = adopt(rebuild(node, [done[a] for a in node.args]))
    return [done[o] for o in outputs]


def _read_results(outputs: Sequence[Node]) -> dict[Node, list[int]]:
    """The results of every loop and branch that the outputs need: consumers first."""
    needed = set(outputs)
    read: dict[Node, list[int]] = {}
    for node in reversed(toposort(outputs)):
        if node not in needed:
            continue
        if node.op is ITEM and node.args[0].op in BODIES:
            read.setdefault(node.args[0], []).append(node.attrs["index"])
        if node.op in BODIES:
            read[node] = sorted(set(read.get(node, [])))
            needed.update(_needed_operands(node, read[node]))
        else:
            needed.update(node.args)
    return read


def _needed_operands(node: Node, read: Sequence[int]) -> list[Node]:
    if node.op is COND:
        used = set(toposort([node.attrs[k].outputs[i] for k in BODIES[COND] for i in read]))
        pairs = zip(node.attrs["then"].inputs, node.attrs["otherwise"].inputs, node.args[1:],
                    strict=True)
        return [node.args[0], *(a for x, y, a in pairs if x in used or y in used)]
    loop = Loop.of(node)
    live = _live_outputs(loop, read)
    used = set(toposort([node.attrs["body"].outputs[i] for i in live]))
    carried = {loop.carries[i][0] for i in live if i < len(loop.carries)}
    return [a for x, a in (*loop.carries, *loop.sequences, *loop.invariants)
            if x in used or x in carried]


def _live_outputs(loop: Loop, read: Sequence[int]) -> list[int]:
    """The results to keep when those numbered `read` are read: the carries that they need too."""
    live = set(read)
    outputs = loop.node.attrs["body"].outputs
    while True:
        used = set(toposort([outputs[i] for i in live]))
        more = {i for i, (x, _) in enumerate(loop.carries) if x in used} - live
        if not more:
            return sorted(live)
        live |= more


def _pruned(node: Node, read: Sequence[int], done: Mapping[Node, Any]) -> dict[int, Node]:
    """The results numbered `read` of a smaller node over the new operands."""
    if node.op is COND:
        return _pruned_cond(node, read, done)
    loop = Loop.of(node)
    live = _live_outputs(loop, read)
    body = node.attrs["body"]
    inner = dict(zip(live, prune([body.outputs[i] for i in live]), strict=True))
    carries = [i for i in live if i < len(loop.carries)]
    rows = [i for i in live if i >= len(loop.carries)]
    used = set(toposort(list(inner.values())))
    finals, stacks = make_scan(Parts(
        body.name, [(loop.carries[i][0], done[loop.carries[i][1]]) for i in carries],
        [inner[i] for i in carries],
        [(x, done[a]) for x, a in loop.sequences if x in used],
        [(x, done[a]) for x, a in loop.invariants if x in used],
        [inner[i] for i in rows], loop.length, loop.reverse), node.name)
    return dict(zip([*carries, *rows], [*finals, *stacks], strict=True))


def _pruned_cond(node: Node, read: Sequence[int], done: Mapping[Node, Any]) -> dict[int, Node]:
    predicate = done[node.args[0]]
    branches = [node.attrs[k] for k in BODIES[COND]]
    inner = [prune([b.outputs[i] for i in read]) for b in branches]
    if predicate.op is leaf.CONSTANT:
        at = 0 if predicate.attrs["value"] else 1
        values = {x: done[a] for x, a in zip(branches[at].inputs, node.args[1:], strict=True)
                  if a in done}
        return dict(zip(read, substitute(inner[at], values), strict=True))
    used = set(toposort([*inner[0], *inner[1]]))
    kept = [i for i, pair in enumerate(zip(*(b.inputs for b in branches), strict=True))
            if any(x in used for x in pair)]
    graphs = [Graph(b.name, tuple(b.inputs[i] for i in kept), tuple(new))
              for b, new in zip(branches, inner, strict=True)]
    smaller = make(COND, (predicate, *(done[node.args[1 + i]] for i in kept)), node.name,
                   then=graphs[0], otherwise=graphs[1])
    return dict(zip(read, results(smaller), strict=True))
