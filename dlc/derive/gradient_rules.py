"""Nodes that change how their body is differentiated, and nothing else: a gradient of the user's
own, and checkpoint, which recomputes. Until derivatives are taken they hold their body; then the
differentiate pass puts the body in their place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dlc.derive import higher
from dlc.derive.autodiff import inline, pull_body, push_body, zeros
from dlc.derive.batching import batched_graph
from dlc.errors import DlcError
from dlc.ir.access import Access, Index, Piece
from dlc.ir.graph import (
    Given,
    Graph,
    Kind,
    Node,
    Op,
    OpError,
    adopt,
    describe,
    intern,
    make,
    rebuild,
    serving,
    toposort,
)
from dlc.ir.registry import register
from dlc.ir.types import TupleType, Type
from dlc.ops import tuples
from dlc.ops.leaf import ARRAY, CONSTANT
from dlc.ops.reduce import sum_
from dlc.ops.samples import spread

Flags = tuple[bool, ...]


def _eval_body(run: higher.Run, *args: Any, body: Graph, **_: Any) -> Any:
    return tuple(run(body, args))


def _results(body: Graph) -> TupleType:
    return TupleType(tuple(o.type for o in body.outputs))


# --- a gradient of the user's own -----------------------------------------------------------------


def _infer_custom(*types: Any, body: Graph, pullback: Graph, count: int) -> TupleType:
    """`pullback` takes the body's inputs and a cotangent for each of its last inputs' results."""
    higher.check_body(body, types)
    results = len(pullback.inputs) - len(body.inputs)
    if not 0 < results <= len(body.outputs) or len(pullback.outputs) != count:
        raise OpError(f"pullback {pullback.name} of {len(pullback.inputs)} inputs and "
                      f"{len(pullback.outputs)} results for body {body.name}")
    higher.check_body(pullback, [*types, *(o.type for o in body.outputs[:results])])
    return _results(body)


def _pull_custom(node: Node, given: Given) -> list[Node | None]:
    """The user's cotangents of the arguments. Raises DlcError for what the function captured."""
    pullback, count = node.attrs["pullback"], node.attrs["count"]
    captured = [node.args[i] for i in sorted(given.wanted)
                if i >= count and node.args[i].dtype.is_float]
    if captured:
        name = node.attrs["body"].name
        raise DlcError(f"custom gradient of {name}: its rule gives none for "
                       f"{describe(captured[0])}, which it takes from outside", node.loc,
                       f"make it an argument of {name}, or wrap it in dlc.stop_gradient")
    fresh = pullback.inputs[len(node.args):]
    cotangents = [given[i] if i in given else zeros(g.type) for i, g in enumerate(fresh)]
    return [*inline(pullback, [*node.args, *cotangents]), *(None for _ in node.args[count:])]


def _batch_custom(node: Node, args: Sequence[Node], mapped: Flags, size: int) -> Node:
    """The rule over all examples; an argument that is the same for all gets the sum."""
    body, pullback, count = node.attrs["body"], node.attrs["pullback"], node.attrs["count"]
    results = len(pullback.inputs) - len(args)
    whole = batched_graph(pullback, (*mapped, *(True,) * results), size)
    parts = [o if m else sum_(o, 0) for o, m in zip(whole.outputs, mapped[:count], strict=True)]
    return make(node.op, args, body=batched_graph(body, mapped, size),
                pullback=whole.with_outputs(parts), count=count)


CUSTOM_GRADIENT = register(Op(
    "custom_gradient", Kind.HIGHER, _infer_custom, _eval_body, samples=list, gradient="none",
    pull=_pull_custom, batch=_batch_custom,
    doc="results of a body whose first `count` inputs get their cotangents from `pullback`: a "
        "function of the body's inputs and the cotangents of its results"))


# --- checkpoint -----------------------------------------------------------------------------------


def _infer_checkpoint(*types: Any, body: Graph) -> TupleType:
    higher.check_body(body, types)
    return _results(body)


def _pull_checkpoint(node: Node, given: Given) -> list[Node | None]:
    """Compute the body again, from operands that are there only once the cotangents are."""
    after = list(given.values())
    return pull_body(node.attrs["body"], [barrier(a, after) for a in node.args], given)


def _push_checkpoint(node: Node, tangents: Sequence[Any]) -> list[Node]:
    return push_body(node.attrs["body"], node.args, tangents)


def _batch_checkpoint(node: Node, args: Sequence[Node], mapped: Flags, size: int) -> Node:
    return make(node.op, args, body=batched_graph(node.attrs["body"], mapped, size))


CHECKPOINT = register(Op(
    "checkpoint", Kind.HIGHER, _infer_checkpoint, _eval_body, samples=list, gradient="none",
    pull=_pull_checkpoint, push=_push_checkpoint, batch=_batch_checkpoint,
    doc="results of a body that reverse mode computes again instead of keeping its inner values"))


# --- barrier --------------------------------------------------------------------------------------


def _infer_barrier(x: Type, *after: Type) -> Type:
    if not after:
        raise OpError(f"barrier of {x.describe()} after nothing", "it takes at least two operands")
    return x.with_(layout=None)


def _batch_barrier(node: Node, args: Sequence[Node], mapped: Flags, size: int) -> Any:
    """It passes the first operand on, whatever the others are."""
    return [(make(node.op, args), mapped[0])]


def _sample_barrier() -> Iterator[Any]:
    rng = np.random.default_rng(31)
    yield (spread(rng, (3, 5), -2, 2), spread(rng, (2,), -2, 2)), {}
    yield (spread(rng, (4,), -2, 2), spread(rng, (4,), -2, 2), spread(rng, (), -2, 2)), {}


def _first_piece(index: Index, y: Node) -> Access:
    return Access((Piece(0, index),))


BARRIER = register(Op(
    "barrier", Kind.VIEW, _infer_barrier, lambda x, *after: x,
    lambda g, y, x, *after: (g, *(None for _ in after)), _first_piece, _sample_barrier,
    batch=_batch_barrier, axes=lambda y, x: [],
    doc="the first operand, once the others are computed: not the same value to any pass"))


def barrier(x: Node, after: Sequence[Node]) -> Node:
    """`x`, not before `after` is computed; a constant stays one."""
    return x if x.op in (CONSTANT, ARRAY) else make(BARRIER, (x, *after))


# --- after differentiation ------------------------------------------------------------------------


def settled(outputs: Sequence[Node]) -> list[Node]:
    """`outputs` with every node of this file that holds a body replaced by that body.

    To be called when no derivative will be taken any more: their rules are lost.
    """
    done: dict[Node, Any] = {}
    for node in toposort(outputs):
        args = [done[a] for a in node.args]
        if node.op is tuples.ITEM and isinstance(args[0], list):
            done[node] = args[0][node.attrs["index"]]
        elif node.op in (CUSTOM_GRADIENT, CHECKPOINT):
            with serving(node.locs):
                done[node] = inline(_settled_graph(node.attrs["body"]), args)
        else:
            done[node] = adopt(rebuild(_with_settled_bodies(node), tuple(args)))
    return [done[o] for o in outputs]


def _settled_graph(graph: Graph) -> Graph:
    return graph.with_outputs(settled(graph.outputs)) if _unsettled(graph) else graph


def _unsettled(graph: Graph) -> bool:
    """Whether a node of `graph`, or of a graph inside it, has a rule of its own."""
    return any(node.op in (CUSTOM_GRADIENT, CHECKPOINT) or any(
        _unsettled(v) for v in node.attrs.values() if isinstance(v, Graph))
        for node in graph.nodes())


def _with_settled_bodies(node: Node) -> Node:
    bodies = {k: v for k, v in node.attrs.items() if isinstance(v, Graph) and _unsettled(v)}
    if not bodies:
        return node
    changed = {k: _settled_graph(v) for k, v in bodies.items()}
    with serving(node.locs):
        return intern(node.op, node.args, {**node.attrs, **changed}, node.type, node.name)
