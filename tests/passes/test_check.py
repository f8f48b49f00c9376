"""compile(verify=True): wrong rewrites planted one by one into LeNet's step are all caught."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pytest

import dlc
from dlc.ir.graph import Build, Graph, Node, building, make, rebuild, replace, serving
from dlc.ir.registry import REGISTRY
from dlc.ir.types import f32
from dlc.models.lenet import lenet
from dlc.ops import leaf
from dlc.passes import run_pipeline
from dlc.passes.check import PassError, same_meaning, structure
from dlc.passes.differentiate import differentiate
from dlc.passes.rules.simplify import simplify
from dlc.reference.text import parse_graph

Change = Callable[[Node, tuple[Node, ...]], Node | None]


@lru_cache(maxsize=1)
def step() -> Graph:
    """LeNet's training step on twelve images, differentiated and simplified."""
    return simplify(differentiate(lenet.graphs(12)["train"]))


def planted_pass(change: Change) -> Callable[[Graph], Graph]:
    """A pass called `planted` that changes the first node that `change` takes, and no other."""
    def planted(graph: Graph) -> Graph:
        done: list[Node] = []

        def visit(node: Node, args: tuple[Node, ...]) -> Node:
            if not done:
                with serving(node.locs):
                    new = change(node, args)
                if new is not None:
                    done.append(new)
                    return new
            return rebuild(node, args)

        with building(Build()):
            after = graph.with_outputs(replace(graph.outputs, visit))
        assert done, "nothing was planted"
        return after

    return planted


def other(old: str, new: str, **attrs: Any) -> Change:
    """Another operator on the same operands."""
    def change(node: Node, args: tuple[Node, ...]) -> Node | None:
        return make(REGISTRY[new], args, **attrs) if node.op.name == old else None

    return change


def attribute(op: str, key: str, value: Callable[[Any], Any]) -> Change:
    """The same operator with another attribute, where that leaves its type."""
    def change(node: Node, args: tuple[Node, ...]) -> Node | None:
        if node.op.name != op or value(node.attrs[key]) == node.attrs[key]:
            return None
        made = make(node.op, args, **{**node.attrs, key: value(node.attrs[key])})
        return made if made.type == node.type else None

    return change


def operand(op: str, order: tuple[int, ...]) -> Change:
    """The same operator with its operands in another order."""
    def change(node: Node, args: tuple[Node, ...]) -> Node | None:
        if node.op.name != op or all(args[i] is a for i, a in zip(order, args, strict=True)):
            return None
        return make(node.op, [args[i] for i in order], **node.attrs)

    return change


def gone(op: str, keep: int = 0) -> Change:
    """The operator left out: one of its operands instead, where the type allows."""
    def change(node: Node, args: tuple[Node, ...]) -> Node | None:
        return args[keep] if node.op.name == op and args[keep].type == node.type else None

    return change


def constant(op: str, value: Callable[[float], float]) -> Change:
    """Another number as the operand of an operator."""
    def change(node: Node, args: tuple[Node, ...]) -> Node | None:
        at = next((i for i, a in enumerate(args) if a.op is leaf.CONSTANT), None)
        if node.op.name != op or at is None:
            return None
        number = leaf.constant(value(args[at].attrs["value"]), args[at].type)
        return make(node.op, (*args[:at], number, *args[at + 1:]), **node.attrs)

    return change


def moment_without_square(node: Node, args: tuple[Node, ...]) -> Node | None:
    """Adam's second moment from the gradient itself."""
    squared = node.op.name == "mul" and args[0] is args[1] and node.shape == (6, 1, 5, 5)
    return args[0] if squared else None


def mean_for_sum(node: Node, args: tuple[Node, ...]) -> Node | None:
    if node.op.name != "sum" or node.ndim != 1:
        return None
    return make(node.op, args, **node.attrs) * 0.25


def tangent_of_tanh(node: Node, args: tuple[Node, ...]) -> Node | None:
    """1 - y instead of 1 - y * y."""
    if node.op.name != "sub" or args[1].op.name != "mul" or args[0].op is not leaf.CONSTANT:
        return None
    return make(node.op, (args[0], args[1].args[0]))


def reshape_by_columns(node: Node, args: tuple[Node, ...]) -> Node | None:
    if node.op.name != "reshape" or args[0].ndim != 2 or min(args[0].shape) < 2:
        return None
    turned = make(REGISTRY["transpose"], args, axes=(1, 0))
    return make(node.op, (turned,), **node.attrs)


def stale_state(node: Node, args: tuple[Node, ...]) -> Node | None:
    """An update that is predicated off: the old state."""
    return args[2] if node.op.name == "where" and node.ndim == 4 else None


WRONG: dict[str, Change] = {
    "operands of a difference swapped": operand("sub", (1, 0)),
    "sum for difference": other("sub", "add"),
    "difference for sum": other("add", "sub"),
    "product for quotient": other("div", "mul"),
    "factor dropped": gone("mul"),
    "factor off by a thousandth": constant("mul", lambda v: v * 1.001),
    "offset off by one": constant("add", lambda v: v + 1),
    "minimum for maximum": other("maximum", "minimum"),
    "sine for cosine": other("cos", "sin"),
    "sigmoid for tanh": other("tanh", "sigmoid"),
    "derivative of tanh": tangent_of_tanh,
    "exp without one": other("exp", "expm1"),
    "square root dropped": gone("sqrt"),
    "root for its reciprocal": other("rsqrt", "sqrt"),
    "floor dropped": gone("floor"),
    "ceil for floor": other("floor", "ceil"),
    "minimum for argmax": other("argmax", "argmin", axes=(1,)),
    "maximum for logsumexp": other("logsumexp", "max", axes=(1,), ties="even"),
    "mean for sum": mean_for_sum,
    "comparison turned": other("eq", "ne"),
    "arms of a selection swapped": operand("where", (0, 2, 1)),
    "update not applied": stale_state,
    "second moment without square": moment_without_square,
    "kernel not flipped": gone("flip"),
    "wrong axis flipped": attribute("flip", "axes", lambda axes: axes[:1]),
    "padding shifted": attribute("conv", "padding", lambda p: tuple((a - 1, b + 1) for a, b in p)),
    "sides of a padding swapped": lambda node, args: None if node.op.name != "pad" else make(
        node.op, args, **{**node.attrs, "low": node.attrs["high"], "high": node.attrs["low"]}),
    "reshape by columns": reshape_by_columns,
    "another random site": attribute("random_bits", "site", lambda site: site + 1),
    "index along another axis": attribute("iota", "axis", lambda axis: 1 - axis),
}


@pytest.mark.swept(4)
@pytest.mark.parametrize("what", WRONG)
def test_wrong_rewrite_is_caught(what: str) -> None:
    """The message names pass, output and node, and stands at the user's line."""
    with pytest.raises(PassError, match="pass planted changed the meaning of output") as caught:
        run_pipeline(step(), same_meaning, (planted_pass(WRONG[what]),))
    assert caught.value.loc is not None and "models/lenet.py:" in str(caught.value)


def test_right_passes_are_let_through() -> None:
    assert len(run_pipeline(step(), same_meaning)) > 3


def test_swapped_outputs_are_caught() -> None:
    def swapped(graph: Graph) -> Graph:
        first, second, *rest = graph.outputs
        return graph.with_outputs((second, first, *rest))

    with pytest.raises(PassError, match="pass swapped changed the meaning of output 'loss'"):
        run_pipeline(step(), same_meaning, (swapped,))


def test_compile_with_verify_checks_every_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def negated(graph: Graph) -> Graph:
        with building(Build()):
            return graph.with_outputs([-o for o in graph.outputs])

    with building(Build()):
        x = leaf.input_("x", f32[3])
        graph = Graph("f", (x,), (x * 2.0,), ("y",))
    assert dlc.compile(graph, verify=True).records
    monkeypatch.setattr("dlc.passes.PIPELINE", (negated,))
    with pytest.raises(PassError, match="pass negated changed the meaning of output 'y'"):
        dlc.compile(graph, verify=True)


def test_an_invalid_graph_is_named_with_its_pass() -> None:
    good = parse_graph("def f(x: f32[3]):\n    y: f32[3] = neg(x)\n    return {'y': y}\n")
    bad = good.with_outputs([Node(REGISTRY["neg"], good.inputs, {}, f32[4])])
    with pytest.raises(PassError, match=r"pass shrink made an invalid graph: .*f32\[4\]"):
        structure("shrink", good, bad)
