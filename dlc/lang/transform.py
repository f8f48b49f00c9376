"""Derivatives as functions of functions: grad, value_and_grad, vjp, jvp, hvp build GRAD/JVP nodes.

A derivative holds its function as a body graph; the differentiate pass expands it. Values that the
function takes from outside become operands of the node, its effects (state updates, run-time
checks) further results.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dlc.derive import higher
from dlc.derive.control import Fresh
from dlc.errors import DlcError, here
from dlc.ir.dependence import depends_on
from dlc.ir.graph import Graph, Node, current_build, describe, make, substitute, toposort
from dlc.ir.types import Type, f32
from dlc.lang.bodies import check_arguments
from dlc.lang.names import name_returned
from dlc.lang.nesting import children, filled, leaves, rebuilt
from dlc.lang.source import definition
from dlc.ops import leaf, reduce, tuples
from dlc.ops.convert import as_argument, as_node
from dlc.ops.gather import Check

Wrt = int | Sequence[int] | Node | Sequence[Node]


@dataclass(frozen=True)
class Body:
    """A function as a closed graph: inputs are its array arguments, then what it captured.

    `args` are the arguments, with None for what was passed through as it is.
    """

    graph: Graph
    operands: tuple[Node, ...]
    results: int
    # what the function returned: the nesting of its results
    structure: Any
    updates: tuple[str, ...]
    checks: tuple[Check, ...]
    args: tuple[Any, ...] = ()


# --- closing a function over what it captures -----------------------------------------------------


def close(function: Callable[..., Any], args: Sequence[Any], watched: Sequence[Node] = (),
          keywords: Mapping[str, Any] | None = None, by: Container[int] | None = None,
          beside: Iterable[Any] = ()) -> Body:
    """Run `function` once on fresh inputs for `args` (arrays, or nestings of them).

    `watched` are outside nodes that become inputs too, after the arguments. `keywords` reach the
    function as they are, and so do Python's values in arguments that `by` does not number. Floats
    are of the dtype of the arrays among the arguments and `beside` them.
    """
    given = [(i, v) for i, arg in enumerate(args) for v in leaves(arg)]
    node_of = as_argument([*(v for _, v in given), *beside])
    flat = [node_of(v) if by is None or i in by or is_array(v) else v for i, v in given]
    operands = [x for x in flat if isinstance(x, Node)]
    fresh = fresh_inputs(operands)
    keywords = keywords or {}
    named = "".join(f", {key}=" for key in keywords)
    check_arguments(_name(function), function, f"({len(args)} arguments{named})", len(args),
                    keywords)
    before, left = Effects.now(), iter(fresh)
    passed = [next(left) if isinstance(x, Node) else x for x in flat]
    result = function(*rebuilt(list(args), passed), **keywords)
    name_returned()
    outputs = [as_node(r) for r in leaves(result)]
    if not outputs:
        raise DlcError(f"{_name(function)} returned {result!r}", definition(function) or here(),
                       "return the value, or a nesting of values")
    updates, checks = before.since()
    everything = [*outputs, *updates.values(), *(c.bad for c in checks)]
    holes = dict(zip(watched, fresh_inputs(watched, fresh), strict=True))
    inner = substitute(everything, holes) if holes else everything
    body, captured = lift(inner, [*fresh, *holes.values()])
    name = getattr(function, "__name__", "body").strip("<>")
    graph = Graph(name, (*fresh, *holes.values(), *captured.values()), tuple(body))
    moved = rebuilt(tuple(args), [x if isinstance(x, Node) else None for x in flat])
    return Body(graph, (*operands, *watched, *captured), len(outputs), result, tuple(updates),
                tuple(checks), moved)


def is_array(value: Any) -> bool:
    """Whether `value` is a graph value or NumPy's: Python's numbers, names and functions are not.
    """
    return isinstance(value, (Node, np.ndarray, np.generic))


def lift(outputs: Sequence[Node], fresh: Sequence[Node]) -> tuple[list[Node], dict[Node, Node]]:
    """Make `outputs` functions of inputs alone: outside values they read become new inputs."""
    inside = depends_on(outputs, fresh)
    edges = [arg for node in toposort(outputs) if node in inside for arg in node.args]
    outside = [v for v in dict.fromkeys((*edges, *outputs)) if v not in inside
               and not _constant(v)]
    captured = dict(zip(outside, fresh_inputs(outside, fresh), strict=True))
    return substitute(outputs, captured), captured


def fresh_inputs(values: Sequence[Node], beside: Sequence[Node] | None = None) -> list[Node]:
    """An input in the place of each of `values`, called like it: arguments, or what is captured
    `beside` them. No name comes twice."""
    fresh = Fresh(beside or ())
    return [fresh.input("", v.name or (f"x{i}" if beside is None else "captured"), v.type)
            for i, v in enumerate(values)]


def _constant(node: Node) -> bool:
    return node.op in (leaf.CONSTANT, leaf.ARRAY, leaf.IOTA)


@dataclass
class Effects:
    """State updates and checks of the running build, to tell what a function adds to them."""

    updates: dict[str, Node]
    checks: int

    @staticmethod
    def now() -> Effects:
        notes = build.notes if (build := current_build()) is not None else {}
        scope = notes.get("scope")
        return Effects(dict(scope.updates) if scope else {}, len(notes.get("checks", ())))

    def since(self) -> tuple[dict[str, Node], list[Check]]:
        """What was added; checks are taken off the build, `publish` puts them back."""
        build = current_build()
        if build is None:
            return {}, []
        scope, checks = build.notes.get("scope"), build.notes.get("checks", [])
        added = checks[self.checks:]
        del checks[self.checks:]
        updates = scope.updates if scope else {}
        return {k: v for k, v in updates.items() if self.updates.get(k) is not v}, added


def publish(body: Body, values: Sequence[Node]) -> None:
    """Let the effects of the body be `values`, what its outputs are outside."""
    build = current_build()
    if build is None:
        return
    left = list(values[body.results:])
    for name in body.updates:
        build.notes["scope"].updates[name] = left.pop(0)
    for check in body.checks:
        build.notes.setdefault("checks", []).append(replace(check, bad=left.pop(0)))


def results_of(body: Body, node: Node) -> list[Node]:
    """The outputs of the body as results of `node`, which holds it; publishes the effects."""
    values = [tuples.item(node, i) for i in range(len(body.graph.outputs))]
    publish(body, values)
    return values[:body.results]


# --- reverse mode ---------------------------------------------------------------------------------


def value_and_grad(function: Callable[..., Any], wrt: Wrt = 0) -> Callable[..., tuple[Any, Any]]:
    """A function that returns (`function`'s results, the gradient of the first of them).

    `wrt` selects an argument by number, several, or nodes from outside that `function` reads; the
    gradient has the same nesting. The result must be a float scalar; further results are passed
    through. Keyword arguments, and Python values in arguments that `wrt` does not select, are
    passed to `function` unchanged. Raises DlcError at the user's line if no gradient exists.
    """
    @functools.wraps(function)
    def derived(*args: Any, **more: Any) -> tuple[Any, Any]:
        watched, places = _watched(wrt, args)
        body = close(function, args, watched, more, places)
        first = body.graph.outputs[0]
        if first.type.size != 1 or first.ndim or not first.dtype.is_float:
            raise DlcError(f"grad of {_name(function)}: its result is {describe(first)}", here(),
                           "a gradient needs one float; take .mean() or .sum(), or use dlc.vjp")
        order, wanted = _order(body, places, watched)
        node = grad_node(body, order, wanted, leaf.constant(1.0, first.type))
        values = results_of(body, node)
        total = len(body.graph.outputs)
        grads = [tuples.item(node, total + i) for i in range(wanted)]
        return rebuilt(body.structure, values[:body.results]), _nested(wrt, args, places, grads)

    return derived


def grad(function: Callable[..., Any], wrt: Wrt = 0) -> Callable[..., Any]:
    """The gradient of `function`'s (first) result; see value_and_grad."""
    derived = value_and_grad(function, wrt)

    @functools.wraps(function)
    def gradient(*args: Any, **more: Any) -> Any:
        return derived(*args, **more)[1]

    return gradient


def vjp(function: Callable[..., Any], *args: Any,
        **more: Any) -> tuple[Any, Callable[[Any], Any]]:
    """(function(*args, **more), pullback): pullback(g) is the cotangent of each of args for g.

    g has the type and nesting of `function`'s result (None where no gradient flows back). The
    cotangent of a single argument is returned as it is, several as a tuple. Raises DlcError if g
    does not match.
    """
    body = close(function, args, keywords=more)
    outputs = substitute(body.graph.outputs, dict(zip(body.graph.inputs, body.operands,
                                                      strict=True)))
    publish(body, outputs)
    places = tuple(range(len(args)))
    order, wanted = _order(body, places, ())

    def pullback(g: Any) -> Any:
        cotangents = _cotangents(function, body, g)
        if len(cotangents) == 1 and cotangents[0] is not None:
            node = grad_node(body, order, wanted, cotangents[0])
        else:
            node = _weighted_grad(body, order, wanted, cotangents)
        total = len(node.attrs["body"].outputs)
        grads = [tuples.item(node, total + i) for i in range(wanted)]
        return _nested(places if len(args) > 1 else 0, args, places, grads)

    return rebuilt(body.structure, outputs[:body.results]), pullback


def grad_node(body: Body, order: Sequence[int], wanted: int, cotangent: Node) -> Node:
    """The GRAD node over `body` with inputs in `order`, differentiated by the first `wanted`."""
    inputs = tuple(body.graph.inputs[i] for i in order)
    graph = Graph(body.graph.name, inputs, body.graph.outputs)
    operands = [body.operands[i] for i in order]
    return make(higher.GRAD, (*operands, cotangent), body=graph, count=wanted)


def _cotangents(function: Callable[..., Any], body: Body, given: Any) -> list[Node | None]:
    """A cotangent for each result of `body`, None for zero. Raises DlcError when one is unfit."""
    results = body.graph.outputs[:body.results]
    parts = [given] if children(body.structure) is None else list(_parallel(
        function, body.structure, given))
    found: list[Node | None] = []
    for result, part in zip(results, parts, strict=True):
        node = None if part is None else as_node(part, result.dtype)
        if node is not None and (node.dtype, tuple(node.shape)) != (
                result.dtype, tuple(result.shape)):
            raise DlcError(f"pullback of {_name(function)}: cotangent {describe(node)} for "
                           f"{describe(result)}", here(),
                           "it has the result's dtype and shape; None where nothing flows back")
        found.append(node)
    return found


def _parallel(function: Callable[..., Any], like: Any, given: Any) -> Iterator[Any]:
    """What `given` has in the place of each leaf of `like`; None stands for all beneath it."""
    if given is None:
        yield from [None] * len(leaves(like))
        return
    parts, others = children(like), children(given)
    if parts is None:
        yield given
        return
    found = dict(others or ())
    if set(found) != {step for step, _ in parts}:
        raise DlcError(f"pullback of {_name(function)}: the cotangents have another nesting than "
                       "the results", here(), "give one for each, None where nothing flows back")
    for step, part in parts:
        yield from _parallel(function, part, found[step])


def _weighted_grad(body: Body, order: Sequence[int], wanted: int,
                   cotangents: Sequence[Node | None]) -> Node:
    """The GRAD node of the sum of all results times their cotangents."""
    pairs = [(o, g) for o, g in zip(body.graph.outputs, cotangents, strict=False)
             if g is not None and o.dtype.is_float]
    fresh = fresh_inputs([g for _, g in pairs], body.graph.inputs)
    total: Node = leaf.constant(0.0, Type(pairs[0][0].dtype if pairs else f32))
    for (output, _), g in zip(pairs, fresh, strict=True):
        total = total + reduce.sum_(output * g)
    one = leaf.constant(1.0, total.type)
    inputs = (*(body.graph.inputs[i] for i in order), *fresh)
    operands = (*(body.operands[i] for i in order), *(g for _, g in pairs))
    graph = Graph(body.graph.name, inputs, (total, *body.graph.outputs))
    return make(higher.GRAD, (*operands, one), body=graph, count=wanted)


def _watched(wrt: Wrt, args: Sequence[Any]) -> tuple[tuple[Node, ...], tuple[int, ...]]:
    """The outside nodes and the argument numbers that `wrt` names."""
    listed: Sequence[Any] = (wrt,) if isinstance(wrt, (int, Node)) else tuple(wrt)
    if listed and all(isinstance(w, Node) for w in listed):
        return tuple(listed), ()
    places = []
    for w in listed:
        if isinstance(w, bool) or not isinstance(w, int) or not -len(args) <= w < len(args):
            raise DlcError(f"wrt={w!r} names no argument of {len(args)}", here(),
                           f"arguments are 0 .. {len(args) - 1}; or give nodes from outside")
        places.append(w % len(args))
    return (), tuple(places)


def starts_of(args: Sequence[Any]) -> list[int]:
    """The number of each argument's first leaf among all leaves, then how many there are."""
    return list(itertools.accumulate((len(leaves(arg)) for arg in args), initial=0))


def _order(body: Body, places: Sequence[int], watched: Sequence[Node]) -> tuple[list[int], int]:
    """(inputs of the body with the differentiated ones first, how many those are)."""
    starts = starts_of(body.args)
    first = [i for p in places for i in range(starts[p], starts[p + 1])]
    first += range(starts[-1], starts[-1] + len(watched))
    for i in first:
        if not body.graph.inputs[i].dtype.is_float:
            raise DlcError(f"no gradient with respect to {describe(body.graph.inputs[i])}", here(),
                           "only floats have gradients")
    rest = [i for i in range(len(body.graph.inputs)) if i not in first]
    return [*first, *rest], len(first)


def _nested(wrt: Any, args: Sequence[Any], places: Sequence[int], grads: list[Node]) -> Any:
    """Gradients in the nesting of what they belong to; one alone when `wrt` is one."""
    if not places:
        return grads[0] if isinstance(wrt, Node) else tuple(grads)
    left = iter(grads)
    found = tuple(filled(args[p], left) for p in places)
    return found[0] if isinstance(wrt, int) else found


# --- forward mode ---------------------------------------------------------------------------------


def jvp(function: Callable[..., Any], args: Sequence[Any], tangents: Sequence[Any],
        **more: Any) -> Any:
    """(function(*args, **more), its derivative along `tangents`), one tangent per argument.

    Raises DlcError if tangents and arguments differ in number or shape.
    """
    moved, count = leaves(list(tangents)), len(leaves(list(args)))
    body = close(function, list(args), keywords=more, beside=moved)
    if len(moved) != count:
        raise DlcError(f"jvp of {_name(function)}: {len(moved)} tangents for {count} arguments",
                       here(), "give one tangent of the same shape for each argument")
    directions = [_tangent(function, t, x) for t, x in zip(moved, body.operands, strict=False)]
    node = make(higher.JVP, (*body.operands, *directions), body=body.graph, tangents=count)
    values = results_of(body, node)
    total = len(body.graph.outputs)
    pushed = [tuples.item(node, total + i) for i in range(body.results)]
    return rebuilt(body.structure, values), rebuilt(body.structure, pushed)


def _tangent(function: Callable[..., Any], tangent: Any, x: Node) -> Node:
    node = as_node(tangent, x.dtype)
    if (node.dtype, tuple(node.shape)) != (x.dtype, tuple(x.shape)):
        raise DlcError(f"jvp of {_name(function)}: tangent {describe(node)} for {describe(x)}",
                       here(), "a tangent has its argument's dtype and shape")
    return node


def hvp(function: Callable[..., Any], x: Any, v: Any, **more: Any) -> Any:
    """The Hessian of the scalar `function` at x, times v (Pearlmutter 1994)."""
    return jvp(grad(function), (x,), (v,), **more)[1]


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", "function"))
