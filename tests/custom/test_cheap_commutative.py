"""Custom operators that are cheap or commutative: what records say, passes act on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32
from dlc.derive.higher import FUSED
from dlc.errors import DlcError
from dlc.ir.graph import Node
from dlc.lang.custom import CustomOperator
from dlc.passes import run_pipeline

A = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)
B = A[::-1] * np.float32(0.3)


def mean_of(word: str, **said: bool) -> CustomOperator:
    """An operator of two operands, by a name of its own."""
    def mean(a, b, *, by):  # type: ignore[no-untyped-def]
        return (a + b) * by

    made: CustomOperator = dlc.custom_op(
        mean, name=word, elementwise=True, meaning=lambda a, b, *, by: (a + b) * a.dtype.type(by),
        gradient=lambda g, y, a, b, *, by: (g * by, g * by), samples=[((A, B), {"by": 0.5})],
        **said)
    return made


def count(graph: Any, word: str) -> int:
    return str(graph).count(f"= {word}(")


def test_either_order_is_computed_once() -> None:
    def trace(op: CustomOperator) -> Any:
        def f(a: f32[3, 4], b: f32[3, 4]) -> Node:
            once: Node = op(a, b, by=0.5) * op(b, a, by=0.5) + op(b, a, by=0.25)
            return once

        return f

    one, two = mean_of("mean_one", commutative=True), mean_of("mean_two")
    for op, times in ((one, 2), (two, 3)):
        f = trace(op)
        (graph,) = (r.graph for r in run_pipeline(dlc.trace(f)) if r.name == "cse")
        assert count(graph, op.op.name) == times  # with another attribute it is another value
        with dlc.compile(f, verify=True).load() as run:  # each launch, against the meaning
            run(A, B)
        dlc.check_op(op, device="interpret")


def test_what_is_cheap_is_computed_where_it_is_read() -> None:
    """Beside a stored value: by the product that reads it, not by the launch that stores that."""
    rng = np.random.default_rng(3)
    x, w, v = (rng.uniform(-1, 1, (64, 64)).astype(np.float32) for _ in range(3))
    for op, stored in ((mean_of("cheap_mean", cheap=True), 1), (mean_of("dear_mean"), 2)):
        def f(x: f32[64, 64], w: f32[64, 64], v: f32[64, 64], op: Any = op) -> Any:
            h = dlc.tanh(x @ w)
            return op(h, h, by=0.25) @ v, h @ w

        compiled = dlc.compile(f, verify=True)
        first, *_ = (n for n in compiled.graph.nodes() if n.op is FUSED)
        assert len(first.attrs["body"].outputs) == stored, str(compiled.graph)
        with compiled.load() as run:
            run(x, w, v)


def test_an_order_that_matters_is_found() -> None:
    @dlc.custom_op(elementwise=True, commutative=True, gradient="none", samples=[((A, B), {})],
                   meaning=lambda a, b: a - b)
    def apart(a, b):  # type: ignore[no-untyped-def]
        return a - b

    with pytest.raises(DlcError, match="said to be commutative"):
        dlc.check_op(apart, device="interpret")


@pytest.mark.parametrize(("given", "told"), [
    ({"cheap": True}, "cheap=True"), ({"commutative": True}, "commutative=True"),
    ({"commutative": True, "elementwise": True}, "commutative=True with 1 operands")])
def test_words_that_cannot_hold(given: dict[str, bool], told: str) -> None:
    def same(x):  # type: ignore[no-untyped-def]
        return x

    with pytest.raises(DlcError, match=told):
        dlc.custom_op(same, name="words", gradient="none", samples=[((A,), {})],
                      meaning=lambda x: x, **given)
