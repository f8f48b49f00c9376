"""vmap: a body over single examples becomes a graph over all of them, by a rule per kind.

A mapped value has the examples along a new first axis; what no example changes stays as it is and
is computed once. An operator says with `batch` in its record how it takes such an axis; without,
its kind and the names of its attributes do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlc.derive import higher
from dlc.derive.autodiff import expand_higher
from dlc.ir.graph import (
    Build,
    Graph,
    Kind,
    Node,
    Op,
    OpError,
    building,
    make,
    rebuild,
    serving,
    toposort,
)
from dlc.ir.registry import register
from dlc.ir.types import TupleType, Type
from dlc.ops import leaf, tuples
from dlc.ops.batch_rules import along_examples


@dataclass(frozen=True, eq=False)
class Batched:
    """A value inside vmap: `mapped` when `node` has the examples along its first axis."""

    node: Node
    mapped: bool


Found = Batched | list[Batched]


def with_examples(type_: Type, size: int) -> Type:
    """`type_` once for each of `size` examples."""
    return type_.with_(shape=(size, *type_.shape), layout=None)


# --- one operator ---------------------------------------------------------------------------------

# What an attribute of this name becomes when the operands get a first axis of `size` examples.
SHIFTED: dict[str, Callable[[Any, int], Any]] = {
    "axis": lambda axis, size: axis + 1,
    "axes": lambda axes, size: tuple(a + 1 for a in axes),
    "shape": lambda shape, size: (size, *shape),
    "start": lambda start, size: (0, *start),
    "stop": lambda stop, size: (size, *stop),
    "step": lambda step, size: (1, *step),
    "low": lambda low, size: (0, *low),
    "high": lambda high, size: (0, *high),
    "interior": lambda interior, size: (0, *interior),
}


def shifted(attrs: Mapping[str, Any], size: int) -> dict[str, Any]:
    """The attributes of an operator whose operands and result have the examples first."""
    return {k: SHIFTED[k](v, size) if k in SHIFTED else v for k, v in attrs.items()}


def batch_node(node: Node, args: Sequence[Batched], size: int) -> Found:
    """What `node` is over all examples: its own rule, else that of its kind."""
    nodes, mapped = [a.node for a in args], tuple(a.mapped for a in args)
    if node.op.batch is not None:
        return _labelled(node.op.batch(node, nodes, mapped, size), node)
    full = [along_examples(n, size, m) for n, m in zip(nodes, mapped, strict=True)]
    attrs = node.attrs if node.op.kind is Kind.ELEMENTWISE else shifted(node.attrs, size)
    return _labelled(make(node.op, full, **attrs), node)


def _labelled(made: Any, node: Node) -> Found:
    """A rule's answer: a mapped node, or (node, mapped) for each result; named like `node`."""
    if isinstance(made, list):
        results = [Batched(n, m) for n, m in made]
        return results if isinstance(node.type, TupleType) else results[0]
    made.name = made.name or node.name
    if isinstance(made.type, TupleType):
        return [Batched(tuples.item(made, i), True) for i in range(len(made.type.items))]
    return Batched(made, True)


# --- a whole graph --------------------------------------------------------------------------------


def draws(node: Node) -> bool:
    """Whether `node` makes random bits, itself or in a graph that it holds."""
    return node.op is leaf.RANDOM_BITS or any(
        any(map(draws, v.nodes())) for v in node.attrs.values() if isinstance(v, Graph))


def batch(outputs: Sequence[Node], found: Mapping[Node, Batched], size: int,
          shared: frozenset[Node] = frozenset()) -> list[Batched]:
    """`outputs` over all examples, given some values that are; transformations are expanded.

    Each example draws random numbers of its own, except from the nodes `shared`.
    """
    known: dict[Node, Found] = dict(found)
    for node in toposort(outputs):
        if node in known:
            continue
        own = node not in shared and draws(node)
        if not own and not any(a in known for a in node.args):
            continue
        with serving(node.locs):
            known[node] = _step(node, [known.get(a, Batched(a, False)) for a in node.args],
                                size, own)
    return [_single(known.get(o, Batched(o, False))) for o in outputs]


def _single(value: Found) -> Batched:
    assert isinstance(value, Batched)
    return value


def _step(node: Node, args: Sequence[Found], size: int, own: bool) -> Found:
    if node.op is tuples.ITEM and isinstance(args[0], list):
        result: Batched = args[0][node.attrs["index"]]
        return result
    singles = [_single(a) for a in args]
    if own or any(a.mapped for a in singles):
        return batch_node(node, singles, size)
    return Batched(rebuild(node, [a.node for a in singles]), False)


def batched_graph(body: Graph, mapped: Sequence[bool], size: int) -> Graph:
    """`body` for `size` examples; results that no example changes are repeated."""
    fresh = tuple(leaf.input_(x.attrs["label"], with_examples(x.type, size)) if m else x
                  for x, m in zip(body.inputs, mapped, strict=True))
    for new, old in zip(fresh, body.inputs, strict=True):
        new.locs, new.name = old.locs, old.name
    given = {x: Batched(f, True) for x, f, m in zip(body.inputs, fresh, mapped, strict=True) if m}
    outputs = batch(expand_higher(body.outputs), given, size)
    return Graph(f"vmap_{body.name}", fresh,
                 tuple(along_examples(o.node, size, o.mapped) for o in outputs))


# --- the node -------------------------------------------------------------------------------------


def _infer_vmap(*types: Any, body: Graph, mapped: tuple[bool, ...], size: int) -> TupleType:
    if len(mapped) != len(types):
        raise OpError(f"{len(types)} operands, {len(mapped)} entries of mapped")
    if not any(mapped) or size < 0:
        raise OpError(f"{size} examples, mapped {mapped}", "at least one operand is mapped")
    for i, (type_, m) in enumerate(zip(types, mapped, strict=True)):
        if m and (type_.ndim == 0 or int(type_.shape[0]) != size):
            raise OpError(f"operand {i} is {type_.describe()}",
                          f"its first axis is {size} examples")
    higher.check_body(body, [t.with_(shape=t.shape[1:], layout=None) if m else t
                             for t, m in zip(types, mapped, strict=True)])
    return TupleType(tuple(with_examples(o.type, size) for o in body.outputs))


def _eval_vmap(run: higher.Run, *args: Any, body: Graph, mapped: tuple[bool, ...],
               size: int) -> Any:
    """One example after the other: what the batching rules are held against."""
    if any(map(draws, body.nodes())):
        with building(Build()):
            expanded = batched_graph(body, mapped, size)
        return tuple(run(expanded, args))
    rows = [run(body, [a[i] if m else a for a, m in zip(args, mapped, strict=True)])
            for i in range(size)]
    return tuple(np.stack([row[k] for row in rows]) if rows else
                 np.zeros((0, *map(int, o.shape)), o.dtype.numpy)
                 for k, o in enumerate(body.outputs))


VMAP = register(Op(
    "vmap", Kind.HIGHER, _infer_vmap, _eval_vmap, samples=list, gradient="none",
    expand=lambda *, body, mapped, size: batched_graph(body, mapped, size),
    doc="a body once for each of `size` examples: operands that are `mapped` have them along "
        "their first axis, and so do all results"))
