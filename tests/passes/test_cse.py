"""cse: equal nodes and equal bodies become one, which serves the lines of all."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dlc.errors import Loc
from dlc.ir.graph import Graph, Node, make
from dlc.ir.registry import REGISTRY
from dlc.ir.types import f32
from dlc.ops import leaf
from dlc.passes.cse import cse, fingerprint
from dlc.reference.evaluate import evaluate
from dlc.reference.text import parse_graph, print_graph
from dlc.reference.verify import verify
from tests.random_graphs import random_arrays, random_graph

TEXT = """\
def f(x: f32[3], w: f32[3]):
    a: f32[3] = mul(x, w)   # models/a.py:1
    b: f32[3] = mul(w, x)   # models/a.py:2
    c: f32[3] = sub(x, w)   # models/a.py:3
    d: f32[3] = sub(w, x)   # models/a.py:4
    e: f32[3] = mul(x, w)   # models/a.py:5
    return (a, b, c, d, e)
"""


def test_equal_nodes_become_one_and_serve_every_line() -> None:
    a, b, c, d, e = cse(parse_graph(TEXT)).outputs
    assert a is b is e and c is not d
    assert a.locs == tuple(Loc("models/a.py", n) for n in (1, 2, 5)) and a.name == "a"


def group(name: str, variable: str, op: str) -> Graph:
    x = leaf.input_(variable, f32[3])
    return Graph(name, (x,), (make(REGISTRY[op], (x,)),))


def test_equal_bodies_become_one() -> None:
    """Names do not matter, structure does."""
    x = leaf.input_("x", f32[3])

    def fused(body: Graph, arg: Node) -> Node:
        return make(REGISTRY["fused"], (arg,), body=body)

    first, second = fused(group("a", "x", "exp"), x), fused(group("b", "v", "exp"), x)
    third = fused(group("c", "x", "tanh"), x)
    fourth = fused(group("d", "x", "exp"), third)
    outputs = cse(Graph("f", (x,), (first, second, third, fourth))).outputs
    assert outputs[0] is outputs[1] is not outputs[2]
    assert outputs[3].attrs["body"] is outputs[0].attrs["body"]


def test_numbers_are_one_only_when_their_bits_agree() -> None:
    text = """\
def f(x: f32[3]):
    a: f32[3] = mul(x, 0.0)
    b: f32[3] = mul(x, -0.0)
    c: f32[3] = mul(x, nan)
    d: f32[3] = mul(x, nan)
    return (a, b, c, d)
"""
    a, b, c, d = cse(parse_graph(text)).outputs
    assert a is not b and c is d


def test_fingerprint_sees_operands_attributes_types_and_outputs() -> None:
    base = ("def f(x: f32[4], w: f32[4]):\n    a: f32[4] = sub(x, w)\n"
            "    b: f32[()] = sum(a, axes=(0,))\n")
    texts = [base + "    return b\n", base + "    return a\n", base + "    return (b, a)\n",
             base.replace("sub(x, w)", "sub(w, x)") + "    return b\n",
             base.replace("sub", "add") + "    return b\n",
             base.replace("f32", "f64") + "    return b\n"]
    assert len({fingerprint(parse_graph(t)) for t in texts}) == len(texts)
    renamed = base.replace("a:", "q:").replace("(a,", "(q,") + "    return b\n"
    assert fingerprint(parse_graph(renamed)) == fingerprint(parse_graph(texts[0]))


@given(st.integers(0, 10**6), st.integers(1, 40))
def test_random_graphs_keep_every_bit(seed: int, size: int) -> None:
    """Parsed text is not interned, so it has duplicates to merge; afterwards none are left."""
    graph = parse_graph(print_graph(random_graph(seed, size)))
    after = cse(graph)
    verify(after)
    assert len(cse(after).nodes()) == len(after.nodes()) <= len(graph.nodes())
    arrays = random_arrays(graph, seed)
    old, new = evaluate(graph, *arrays), evaluate(after, *arrays)
    for key, value in old.items():
        np.testing.assert_array_equal(value, new[key], err_msg=key)
