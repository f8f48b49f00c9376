"""verify: each invariant broken once, and the error names node, line and rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlc.errors import Loc
from dlc.ir.attributes import Literal
from dlc.ir.graph import Build, Graph, Node, Op, building, make
from dlc.ir.registry import REGISTRY
from dlc.ir.types import DType, TupleType, Type, f16, f32, i32, u8
from dlc.ops import leaf
from dlc.reference.verify import INVARIANTS, VerifyError, verify
from tests.random_graphs import random_graph

LINE = (Loc("models/mine.py", 7),)
MUL, NEG, SUM, ITEM = (REGISTRY[n] for n in ("mul", "neg", "sum", "item"))


def given_input(name: str = "x", type_: Type = f32[3]) -> Node:
    return leaf.input_(name, type_, "param")


def raw(op: Op, *args: Any, type_: Any = f32[3], **attrs: Any) -> Node:
    """A node of which nothing is checked, on the user's line 7."""
    return Node(op, args, attrs, type_, LINE, "bad")


def graph(node: Node, *inputs: Node, **more: Any) -> Graph:
    return Graph("f", inputs, (node,), **more)


def cyclic() -> Graph:
    x = given_input()
    node = raw(MUL, x, x)
    outer = raw(NEG, node)
    object.__setattr__(node, "args", (x, outer))
    return graph(outer, x)


def fused_body(change: Callable[[Node], Node], share: bool = False) -> Graph:
    x, inside = given_input(), given_input("inside")
    body = Graph("body", (x if share else inside,), (change(inside),))
    return graph(raw(REGISTRY["fused"], x, body=body, type_=body.outputs[0].type), x)


def pair(x: Node) -> Node:
    """A valid node with two results."""
    inside = given_input("inside")
    body = Graph("body", (inside,), (raw(NEG, inside), inside))
    return raw(REGISTRY["fused"], x, body=body, type_=TupleType((f32[3], f32[3])))


def updated(names: tuple[str, ...], updates: dict[str, str], second: Type = f32[3]) -> Graph:
    x, y = given_input(), given_input("y", second)
    return Graph("f", (x, y), (raw(NEG, x), raw(NEG, y, type_=second)), names, updates)


def one(make_node: Callable[[Node], Node]) -> Graph:
    x = given_input()
    return graph(make_node(x), x)


def constant(value: Any, type_: Type) -> Graph:
    return graph(raw(leaf.CONSTANT, type=type_, value=value, type_=type_))


STRANGE = DType("f31", f32[()].dtype.numpy, 4, "float")
BROKEN: list[tuple[str, str, Callable[[], Graph]]] = [
    ("acyclic", "depends on itself", cyclic),
    ("operator", "neg is not the registered", lambda: one(lambda x: raw(
        Op("neg", NEG.kind, NEG.infer, NEG.eval), x))),
    ("operands", "operand 3 is not a node", lambda: one(lambda x: raw(MUL, x, 3))),
    ("operands", "mul takes 2 operands, not 1", lambda: one(lambda x: raw(MUL, x))),
    ("operands", "is a tuple", lambda: one(lambda x: raw(NEG, pair(x)))),
    ("attributes", "unhashable", lambda: one(lambda x: raw(SUM, x, type_=f32[()], axes=[0]))),
    ("attributes", "axis", lambda: one(lambda x: raw(SUM, x, type_=f32[()], axis=(0,)))),
    ("attributes", "axes", lambda: one(lambda x: raw(SUM, x, type_=f32[()]))),
    ("attributes", "role None", lambda: (lambda x: graph(x, x))(
        Node(leaf.INPUT, (), {"type": f32[3], "label": "x", "role": None}, f32[3]))),
    ("type", "f32[4], its operands give f32[3]",
     lambda: one(lambda x: raw(NEG, x, type_=f32[4]))),
    ("type", "f16[3], its operands give f32[3]",
     lambda: one(lambda x: raw(NEG, x, type_=f16[3]))),
    ("type", "operands do not fit: operands differ",
     lambda: one(lambda x: raw(MUL, x, leaf.constant(1.0, f32[4])))),
    ("type", "'f32[3]' is not a type", lambda: one(lambda x: raw(NEG, x, type_="f32[3]"))),
    ("type", "f31", lambda: one(lambda x: raw(NEG, x, type_=Type(STRANGE, (3,))))),
    ("type", "item 2 of", lambda: one(lambda x: raw(ITEM, pair(x), index=2))),
    ("dimensions", "dimension 'batch'", lambda: one(lambda x: raw(
        NEG, x, type_=Type(x.dtype, ("batch",))))),
    ("dimensions", "dimension -1", lambda: one(lambda x: raw(NEG, x, type_=Type(x.dtype, (-1,))))),
    ("dimensions", "layout (0, 0)", lambda: one(lambda x: raw(
        NEG, x, type_=f32[3].with_(layout=(0, 0))))),
    ("constant", "0 is not of dtype f32", lambda: constant(0, f32[3])),
    ("constant", "0.1 is not of dtype f32", lambda: constant(0.1, f32[3])),
    ("constant", "256 is not of dtype u8", lambda: constant(256, u8[3])),
    ("constant", "True is not of dtype i32", lambda: constant(True, i32[3])),
    ("constant", "not an array of f32[3]", lambda: graph(raw(
        leaf.ARRAY, type=f32[3], value=Literal.of([1, 2, 3])))),
    ("inputs", "without declaring", lambda: graph(raw(NEG, given_input()))),
    ("inputs", "two inputs named 'x'", lambda: graph(
        raw(NEG, given_input()), given_input(), given_input())),
    ("inputs", "it is not an input", lambda: graph(
        leaf.constant(1.0, f32[3]), leaf.constant(1.0, f32[3]))),
    ("outputs", "returns a tuple", lambda: one(pair)),
    ("outputs", "returns 3, which is not a node", lambda: Graph("f", (), (3,))),  # type: ignore
    ("outputs", "2 outputs and 1 names", lambda: updated(("a",), {})),
    ("outputs", "two outputs named 'a'", lambda: updated(("a", "a"), {})),
    ("updates", "there is no output 'b'", lambda: updated(("a", "y"), {"b": "x"})),
    ("updates", "there is no input 'z'", lambda: updated(("a", "b"), {"a": "z"})),
    ("updates", "updates 'x' twice", lambda: updated(("a", "b"), {"a": "x", "b": "x"})),
    ("updates", "f32[4] and replaces x: f32[3]",
     lambda: updated(("a", "b"), {"b": "x"}, f32[4])),
    ("body", "in its body body", lambda: fused_body(lambda x: raw(NEG, x, type_=f32[5]))),
    ("body", "without declaring", lambda: fused_body(lambda x: raw(NEG, given_input()))),
    ("body", "input of f and of body", lambda: fused_body(lambda x: raw(NEG, x), share=True)),
]


@pytest.mark.parametrize(("invariant", "message", "broken"), BROKEN,
                         ids=[f"{i}: {m}" for i, m, _ in BROKEN])
def test_broken_invariant_is_named(invariant: str, message: str,
                                   broken: Callable[[], Graph]) -> None:
    bad = broken()
    with pytest.raises(VerifyError) as caught:
        verify(bad)
    assert caught.value.invariant == invariant
    assert message in str(caught.value) and INVARIANTS[invariant] in str(caught.value)
    if caught.value.node is not None and caught.value.node.locs == LINE:
        assert str(caught.value).startswith("models/mine.py:7: ")


def test_every_invariant_is_planted() -> None:
    assert {invariant for invariant, _, _ in BROKEN} == set(INVARIANTS)


@given(st.integers(0, 10**6), st.integers(1, 30))
def test_random_graphs_are_valid(seed: int, size: int) -> None:
    made = random_graph(seed, size)
    verify(made)



def test_one_body_at_two_nodes_is_valid() -> None:
    with building(Build()):
        x, inside = given_input(), given_input("inside")
        body = Graph("body", (inside,), (-inside,))
        first = make(REGISTRY["fused"], (x,), body=body)
        verify(graph(make(REGISTRY["fused"], (first,), body=body), x))
