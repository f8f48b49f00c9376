"""Reverse and forward mode over nodes: from the operators' gradient rules to whole derivatives.

Forward mode needs no rules of its own: an elementwise operator's Jacobian is diagonal, a
multilinear one applies itself to the tangents, and any other transposes its own transpose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dlc.derive.control_tidy import tidy
from dlc.errors import DlcError, Part
from dlc.ir.dependence import depends_on
from dlc.ir.graph import (
    Given,
    Graph,
    Kind,
    Node,
    adopt,
    describe,
    intern,
    make,
    rebuild,
    serving,
    substitute,
    toposort,
)
from dlc.ir.types import TupleType, Type
from dlc.ops import elementwise, leaf, tuples


def zeros(type_: Type) -> Node:
    """A constant 0 of `type_`."""
    return leaf.constant(0, type_.with_(layout=None))


def reverse(outputs: Mapping[Node, Node], wrt: Sequence[Node]) -> list[Node]:
    """Cotangents of `wrt`, given the cotangents of `outputs` (reverse mode, one sweep).

    Raises DlcError at the user's line where a gradient does not exist.
    """
    reach = depends_on(list(outputs), wrt)
    cotangents: dict[Node, Node] = {}
    for node, g in outputs.items():
        _accumulate(cotangents, node, g)
    parts: dict[Node, dict[int, Node]] = {}
    order = toposort(list(outputs))
    known = {*order, *outputs.values()}
    for node in reversed(order):
        if node in cotangents and cotangents[node] not in known:
            _name(cotangents[node], node)
        if node not in reach or node.op is leaf.INPUT:
            continue
        with serving(node.locs, Part.BACKWARD):
            _sweep(node, cotangents, parts, reach)
    return [cotangents[x] if x in cotangents else zeros(x.type) for x in wrt]


def _name(g: Node, node: Node) -> None:
    """The cotangent of what the user called h reads as d_h in a graph's text."""
    if node.name and not g.name and g.op not in (leaf.INPUT, leaf.CONSTANT):
        g.name = f"d_{node.name}"


def _accumulate(cotangents: dict[Node, Node], node: Node, g: Node) -> None:
    have = cotangents.get(node)
    cotangents[node] = g if have is None else elementwise.add(have, g)


def _sweep(node: Node, cotangents: dict[Node, Node], parts: dict[Node, dict[int, Node]],
           reach: set[Node]) -> None:
    """Push the cotangent of `node` to its operands."""
    if node.op is tuples.ITEM:
        g = cotangents.get(node)
        if g is not None:
            _add_part(parts.setdefault(node.args[0], {}), node.attrs["index"], g)
        return
    given = parts.get(node, {})
    if node in cotangents:
        given = {0: cotangents[node]}
    wanted = [i for i, a in enumerate(node.args) if a in reach]
    pulled = pull(node, given, wanted) if given else ()
    for arg, part in zip(node.args, pulled, strict=False):
        if part is not None and arg in reach:
            _accumulate(cotangents, arg, part)


def _add_part(parts: dict[int, Node], index: int, g: Node) -> None:
    parts[index] = elementwise.add(parts[index], g) if index in parts else g


def pull(node: Node, given: Mapping[int, Node],
         wanted: Sequence[int] | None = None) -> Sequence[Node | None]:
    """The operands' cotangents, given those of some results of `node`, by number.

    Only those at positions `wanted` need be there (default: all).
    """
    asked = Given(given, range(len(node.args)) if wanted is None else wanted)
    if node.op.expand is not None:
        return pull_body(node.op.expand(**node.attrs), node.args, asked)
    if node.op.gradient == "zero" or not any(_results(node)[i].dtype.is_float for i in given):
        return ()
    if node.op.pull is not None:
        pulled = node.op.pull(node, asked)
    else:
        _require_gradient(node)
        assert node.op.grad is not None, node.op.name
        pulled = node.op.grad(given[0], node, *node.args)
    return tuple(part if arg.type.dtype.is_float else None
                 for part, arg in zip(pulled, node.args, strict=True))


def _results(node: Node) -> tuple[Type, ...]:
    """The types of a node's results."""
    return tuple(node.type.items) if isinstance(node.type, TupleType) else (node.type,)


def _require_gradient(node: Node) -> None:
    """Raise DlcError for an operator without gradient, and for a conversion of one's integers.

    An argmax as an index or in a comparison selects, and is constant; as a number it has none.
    """
    source = node
    while source.op is elementwise.CAST or (source is not node and source.op.kind is Kind.VIEW):
        if source.args[0].type.dtype.is_float:
            return
        source = source.args[0]
    if source.op is tuples.ITEM:
        source = source.args[0]  # integers beside floats, such as a loop's counter
    if source.op.grad is None and source.op.pull is None and source.op.gradient == "none":
        raise DlcError(f"{source.op.name}({', '.join(map(describe, source.args))}) has no gradient",
                       source.loc, "use stop_gradient(x) where no gradient is wanted")


def pull_body(body: Graph, args: Sequence[Node],
              given: Mapping[int, Node]) -> list[Node | None]:
    """The cotangents of `args`, to which `body` is applied, given those of some of its results."""
    fresh = {i: leaf.input_(f"g{i}", body.outputs[i].type) for i in given}
    cotangents: dict[Node, Node] = {}
    for i, g in fresh.items():
        _accumulate(cotangents, body.outputs[i], g)
    wanted = sorted(given.wanted) if isinstance(given, Given) else range(len(args))
    pulled = reverse(cotangents, [body.inputs[i] for i in wanted])
    outside = substitute(pulled, {**dict(zip(body.inputs, args, strict=True)),
                                  **{fresh[i]: g for i, g in given.items()}})
    found = dict(zip(wanted, outside, strict=True))
    return [found.get(i) for i in range(len(args))]


def inline(body: Graph, args: Sequence[Node]) -> list[Node]:
    """The outputs of `body` with its inputs replaced by `args`."""
    return substitute(body.outputs, dict(zip(body.inputs, args, strict=True)))


# --- forward mode
# -----------------------------------------------------------------------------------


def forward(outputs: Sequence[Node], tangents: Mapping[Node, Node]) -> list[Node]:
    """Tangents of `outputs`, given the tangents of some nodes (forward mode)."""
    reach = depends_on(outputs, list(tangents))
    found: dict[Node, Any] = dict(tangents)
    for node in toposort(outputs):
        if node in reach and node not in found:
            with serving(node.locs):
                found[node] = push(node, [found.get(a) for a in node.args])
    return [found[o] if o in found else zeros(o.type) for o in outputs]


def push(node: Node, tangents: Sequence[Any]) -> Any:
    """The tangent of `node` for the operands' tangents (None: zero); a list for tuple results."""
    if node.op is tuples.ITEM:
        return tangents[0][node.attrs["index"]]
    if node.op.expand is not None:
        return push_body(node.op.expand(**node.attrs), node.args, tangents)
    if node.op.push is not None:
        return node.op.push(node, tangents)
    if isinstance(node.type, TupleType):
        return _transposed_results(node, tangents)
    if node.op.gradient == "zero" or not node.type.dtype.is_float:
        return zeros(node.type)
    _require_gradient(node)
    terms = [_push_operand(node, i, t) for i, t in enumerate(tangents)
             if t is not None and node.args[i].type.dtype.is_float]
    total = zeros(node.type) if not terms else terms[0]
    for term in terms[1:]:
        total = elementwise.add(total, term)
    return total


def _push_operand(node: Node, position: int, tangent: Node) -> Node:
    """The tangent through one operand."""
    if position in node.op.linear or (node.op.kind is Kind.VIEW and node.op.linear):
        args = [tangent if i == position else a for i, a in enumerate(node.args)]
        return make(node.op, args, **node.attrs)
    if node.op.kind is Kind.ELEMENTWISE:
        pulled = pull(node, {0: tangent}, [position])
        own = pulled[position] if pulled else None
        return zeros(node.type) if own is None else own
    tangents = [tangent if i == position else None for i in range(len(node.args))]
    return _transposed_results(node, tangents)[0]


def _transposed_results(node: Node, tangents: Sequence[Node | None]) -> list[Node]:
    """J t as the cotangent of u in <J^T u, t>: J^T u is linear in u, whatever u is.

    One u for each float result; the others' tangents are zero.
    """
    types = _results(node)
    us = {i: leaf.input_(f"u{i}", t) for i, t in enumerate(types) if t.dtype.is_float}
    transposed: dict[Node, Node] = {}
    wanted = [i for i, t in enumerate(tangents) if t is not None]
    for part, tangent in zip(pull(node, us, wanted) if us else (), tangents, strict=False):
        if part is not None and tangent is not None:
            _accumulate(transposed, part, tangent)
    linear = reverse(transposed, list(us.values()))
    at_zero = substitute(linear, {u: zeros(u.type) for u in us.values()})
    pushed = dict(zip(us, at_zero, strict=True))
    return [pushed[i] if i in pushed else zeros(t) for i, t in enumerate(types)]


def push_body(body: Graph, args: Sequence[Node], tangents: Sequence[Any]) -> list[Node]:
    """The tangents of the results of `body` applied to `args` with these tangents (None: zero)."""
    fresh = {x: leaf.input_("t", x.type)
             for x, t in zip(body.inputs, tangents, strict=True) if t is not None}
    pushed = forward(body.outputs, fresh)
    moved = [t for t in tangents if t is not None]
    return substitute(pushed, {**dict(zip(body.inputs, args, strict=True)),
                               **dict(zip(fresh.values(), moved, strict=True))})


# --- what grad and jvp nodes stand for
# -------------------------------------------------------------------


def grad_graph(body: Graph, count: int) -> Graph:
    """body(x...) -> results  becomes  (x..., g) -> (results..., cotangents of the first count)."""
    out = body.outputs[0]
    g = leaf.input_("cotangent", out.type)
    outputs = expand_higher(body.outputs)
    grads = reverse({outputs[0]: g}, body.inputs[:count])
    return Graph(f"grad_{body.name}", (*body.inputs, g), (*outputs, *grads))


def jvp_graph(body: Graph, tangents: int) -> Graph:
    """body(x...) -> results  becomes  (x..., t...) -> (results..., tangents of results...)."""
    extra = tuple(leaf.input_(f"tangent{i}", x.type) for i, x in enumerate(body.inputs[:tangents]))
    outputs = expand_higher(body.outputs)
    pushed = forward(outputs, dict(zip(body.inputs, extra, strict=False)))
    return Graph(f"jvp_{body.name}", (*body.inputs, *extra), (*outputs, *pushed))


def _with_expanded_bodies(node: Node) -> Node:
    """`node` with the graphs that it holds expanded; itself when they hold no transformation."""
    changed = {key: with_expanded(value) for key, value in node.attrs.items()
               if isinstance(value, Graph)}
    if all(body is node.attrs[key] for key, body in changed.items()):
        return node
    with serving(node.locs):
        return intern(node.op, node.args, {**node.attrs, **changed}, node.type, node.name)


def with_expanded(graph: Graph) -> Graph:
    """`graph` without transformations; itself when it has none, in no body either."""
    if not has_transformation(graph):
        return graph
    return graph.with_outputs(expand_higher(graph.outputs))


def has_transformation(graph: Graph) -> bool:
    """Whether a node of `graph`, or of a graph inside it, stands for an expansion."""
    return any(node.op.expand is not None or any(
        has_transformation(v) for v in node.attrs.values() if isinstance(v, Graph))
        for node in graph.nodes())


def expand_higher(outputs: Sequence[Node]) -> list[Node]:
    """`outputs` with every transformation replaced by what it stands for, innermost first.

    Bodies of other nodes (a loop's, a branch's) are expanded where they stand.
    """
    done: dict[Node, Any] = {}
    for node in toposort(outputs):
        args = [done[a] for a in node.args]
        if node.op is tuples.ITEM and isinstance(args[0], list):
            done[node] = args[0][node.attrs["index"]]
        elif node.op.expand is not None:
            with serving(node.locs):
                done[node] = inline(node.op.expand(**node.attrs), args)
        else:
            done[node] = adopt(rebuild(_with_expanded_bodies(node), tuple(args)))
    # the loops of a derivative repeat those that it differentiates, and compute more than is read
    return tidy([done[o] for o in outputs])
