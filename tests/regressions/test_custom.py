"""Custom operators: what once went wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32
from dlc.ir.registry import REGISTRY
from dlc.lang.custom import OPERATORS

X = np.ones(3, np.float32)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """Operators of these tests are no others' business."""
    before, mine = dict(REGISTRY), dict(OPERATORS)
    yield
    for table, old in ((REGISTRY, before), (OPERATORS, mine)):
        table.clear()
        table.update(old)  # type: ignore[arg-type]


def times(c: float, slope: float = 0.0) -> Any:
    """A new operator called `times`: x * c, of which it says that its slope is `slope`."""
    def times_c(x: Any) -> Any:
        return x * c

    return dlc.custom_op(times_c, elementwise=True, meaning=lambda x: x * c, name="times",
                         gradient=lambda g, y, x: g * slope, samples=[((X,), {})])


def test_the_operator_that_had_the_name_before() -> None:
    """Both were one node: a(x) + b(x) was twice the first."""
    a, b = times(2.0), times(7.0)
    with pytest.raises(dlc.DlcError, match="times was redefined"):
        dlc.trace(lambda x: a(x) + b(x), f32[3])


@pytest.mark.parametrize("verify", [False, True])
def test_graphs_traced_before_and_after_an_operator_is_defined_again(verify: bool) -> None:
    """The kept Program was found by the function that has the name now."""
    graphs = []
    for c in (2.0, 7.0):
        op = times(c)
        graphs.append(dlc.trace(lambda x, op=op: op(x), f32[3], name="g"))
    found = [float(dlc.compile(g, verify=verify).load()(X)[0]) for g in graphs]
    assert found == [2.0, 7.0]


def test_a_gradient_rule_that_was_edited() -> None:
    """Only the function was in the key, not its gradient rule: the old gradient was found."""
    found = []
    for slope in (2.0, 3.0):
        op = times(5.0, slope)
        graph = dlc.trace(dlc.grad(lambda x, op=op: op(x).sum()), f32[3], name="g")
        found.append(float(dlc.compile(graph).load()(X)[0]))
    assert found == [2.0, 3.0]


def test_a_gradient_rule_of_other_arguments() -> None:
    """A TypeError from inside the compiler, when the gradient was taken."""
    def same(x: Any) -> Any:
        return x

    with pytest.raises(dlc.DlcError, match="its gradient rule is called with"):
        dlc.custom_op(same, elementwise=True, meaning=same, gradient=lambda g: g,
                      samples=[((X,), {})])


@pytest.mark.parametrize("cotangent", [lambda g: g.sum(), lambda g: 1.0, lambda g: (g, g)])
def test_a_gradient_rule_of_another_shape_is_told_where_the_operator_is_used(
        cotangent: Any) -> None:
    """The error had no line; a number was an AttributeError."""
    def doubled(x: Any) -> Any:
        return 2 * x

    op = dlc.custom_op(doubled, elementwise=True, meaning=doubled, samples=[((X,), {})],
                       gradient=lambda g, y, x: cotangent(g))
    graph = dlc.trace(dlc.grad(lambda x: op(x).sum()), f32[3])
    with pytest.raises(dlc.DlcError, match="the gradient rule of doubled gives") as found:
        dlc.compile(graph)
    assert found.value.loc is not None and found.value.loc.file == __file__
