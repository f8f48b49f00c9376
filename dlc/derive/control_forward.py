"""Forward mode of loops and branches: one loop carries values and tangents side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlc.derive.autodiff import forward
from dlc.derive.control import COND, Bound, Fresh, Loop, Parts, make_scan, results
from dlc.ir.dependence import depends_on
from dlc.ir.graph import Graph, Node, make
from dlc.ops import leaf


def push_scan(node: Node, tangents: Sequence[Any]) -> list[Node]:
    """The tangents of a loop's results: (c, t) -> (f(c), f'(c) t) in every step.

    The values are computed along; `merge` makes one loop of this and the one without tangents.
    """
    loop = Loop.of(node)
    fresh = Fresh(node.attrs["body"].inputs)
    given = {x: t for (x, _), t in zip((*loop.carries, *loop.sequences, *loop.invariants),
                                       tangents, strict=True) if t is not None}
    moving = _moving(loop, list(given))
    inner = {x: fresh.input("t", x.attrs["label"], x.type)
             for x in dict.fromkeys((*moving, *given))}
    pushed = forward([*loop.new, *loop.ys], inner)
    starts = [given[x] if x in given else leaf.constant(0.0, inner[x].type) for x in moving]
    step = [p for p, (x, _) in zip(pushed, loop.carries, strict=False) if x in set(moving)]
    finals, rows = make_scan(Parts(
        f"{node.attrs['body'].name}_tangent",
        [*loop.carries, *((inner[x], t) for x, t in zip(moving, starts, strict=True))],
        [*loop.new, *step],
        [*loop.sequences, *_with_tangents(loop.sequences, inner, given)],
        [*loop.invariants, *_with_tangents(loop.invariants, inner, given)],
        pushed[len(loop.carries):], loop.length, loop.reverse))
    after = dict(zip(moving, finals[len(loop.carries):], strict=True))
    return [*(after[x] if x in after else leaf.constant(0, x.type) for x, _ in loop.carries),
            *rows]


def _moving(loop: Loop, given: Sequence[Node]) -> list[Node]:
    """The inputs of the carries that have a tangent in some step."""
    sources = list(given)
    while True:
        reach = depends_on(loop.new, sources)
        more = [x for (x, _), new in zip(loop.carries, loop.new, strict=True)
                if new in reach and x.dtype.is_float and x not in set(sources)]
        if not more:
            break
        sources += more
    kept = set(sources)
    return [x for x, _ in loop.carries if x in kept]


def _with_tangents(bound: Sequence[Bound], inner: dict[Node, Node],
                   given: dict[Node, Node]) -> list[Bound]:
    return [(inner[x], given[x]) for x, _ in bound if x in given]


def push_cond(node: Node, tangents: Sequence[Any]) -> list[Node]:
    """The tangents of a branch's results: those of the branch that runs."""
    operands = node.args[1:]
    at = [i for i, t in enumerate(tangents[1:]) if t is not None]
    branches = [_pushed_branch(node.attrs[key], at) for key in ("then", "otherwise")]
    moved = [tangents[1 + i] for i in at]
    pushed = make(COND, (node.args[0], *operands, *moved), then=branches[0], otherwise=branches[1])
    return results(pushed)


def _pushed_branch(branch: Graph, at: Sequence[int]) -> Graph:
    fresh = Fresh(branch.inputs)
    inner = {branch.inputs[i]: fresh.input("t", branch.inputs[i].attrs["label"],
                                           branch.inputs[i].type) for i in at}
    pushed = forward(branch.outputs, inner)
    return Graph(f"{branch.name}_tangent", (*branch.inputs, *inner.values()), tuple(pushed))
