"""vmap of loops and branches: one loop over all examples, or both branches and a select."""

from __future__ import annotations

from collections.abc import Sequence

from dlc.derive.autodiff import inline
from dlc.derive.batching import Batched, batch, with_examples
from dlc.derive.control import COND, Bound, Fresh, Loop, Parts, make_scan, results
from dlc.ir.graph import Graph, Node, make, substitute
from dlc.ops import elementwise
from dlc.ops.batch_rules import Flags, along_examples, examples_at
from dlc.ops.convert import broadcast_to
from dlc.ops.view import reshape, transpose

Pairs = list[tuple[Node, bool]]


def _batched_body(loop: Loop, body: Graph, mapped: Flags, size: int) -> tuple[
        dict[Node, bool], dict[Node, Node], Sequence[Batched]]:
    """Which inputs of the body have examples once carries have what an iteration makes of them, its
    new inputs, and its outputs over all examples."""
    flags = dict(zip(body.inputs, mapped, strict=True))
    while True:
        fresh = Fresh(())
        inner = {x: fresh.input("", x.attrs["label"], with_examples(x.type, size) if m else x.type)
                 for x, m in flags.items()}
        outputs = batch(
            substitute(body.outputs, {x: y for x, y in inner.items() if not flags[x]}),
            {x: Batched(y, True) for x, y in inner.items() if flags[x]}, size)
        more = [x for (x, _), o in zip(loop.carries, outputs, strict=False)
                if o.mapped and not flags[x]]
        if not more:
            return flags, inner, outputs
        flags.update(dict.fromkeys(more, True))


def batch_scan(node: Node, args: Sequence[Node], mapped: Flags, size: int) -> Pairs:
    """A loop over all examples: carries and elements [size, ...], sequences [length, size, ...].

    A carry that no example changes stays one value.
    """
    loop = Loop.of(node)
    body, count = node.attrs["body"], len(loop.carries)
    flags, inner, outputs = _batched_body(loop, body, mapped, size)
    operands = dict(zip(body.inputs, args, strict=True))
    given = dict(zip(body.inputs, mapped, strict=True))
    finals, rows = make_scan(Parts(
        f"vmap_{body.name}",
        [(inner[x], along_examples(operands[x], size, given[x]) if flags[x] else operands[x])
         for x, _ in loop.carries],
        [along_examples(o.node, size, o.mapped) if flags[x] else o.node
         for (x, _), o in zip(loop.carries, outputs, strict=False)],
        [_sequence(inner[x], operands[x], flags[x]) for x, _ in loop.sequences],
        [(inner[x], operands[x]) for x, _ in loop.invariants],
        [o.node for o in outputs[count:]], loop.length, loop.reverse))
    return [*((final, flags[x]) for (x, _), final in zip(loop.carries, finals, strict=True)),
            *((examples_at(row, 1) if o.mapped else row, o.mapped)
              for row, o in zip(rows, outputs[count:], strict=True))]


def _sequence(x: Node, operand: Node, mapped: bool) -> Bound:
    if not mapped:
        return x, operand
    return x, transpose(operand, (1, 0, *range(2, operand.ndim)))


def batch_cond(node: Node, args: Sequence[Node], mapped: Flags, size: int) -> Pairs:
    """One branch for all examples; where they differ in the predicate, both and a choice."""
    then, otherwise = (_branch(node.attrs[k], mapped[1:], size) for k in ("then", "otherwise"))
    if not mapped[0]:
        return [(r, True) for r in results(make(COND, args, then=then, otherwise=otherwise))]
    chosen = []
    for a, b in zip(inline(then, args[1:]), inline(otherwise, args[1:]), strict=True):
        ones = (size, *(1 for _ in a.shape[1:]))
        chosen.append(elementwise.where(broadcast_to(reshape(args[0], ones), a.shape), a, b))
    return [(c, True) for c in chosen]


def _branch(branch: Graph, mapped: Flags, size: int) -> Graph:
    fresh = Fresh(())
    inner = {x: fresh.input("", x.attrs["label"], with_examples(x.type, size) if m else x.type)
             for x, m in zip(branch.inputs, mapped, strict=True)}
    outputs = batch(substitute(branch.outputs, {x: y for (x, y), m in zip(
        inner.items(), mapped, strict=True) if not m}),
        {x: Batched(y, True) for (x, y), m in zip(inner.items(), mapped, strict=True) if m}, size)
    return Graph(f"vmap_{branch.name}", tuple(inner.values()),
                 tuple(along_examples(o.node, size, o.mapped) for o in outputs))
