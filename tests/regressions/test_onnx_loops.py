"""Loops of ONNX files: a constant condition that ends on data, and no round at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

import dlc
from tests.instruction_sets import RUNS, loaded
from tests.onnx.models import BOOL, F32, I64, initializer, model, node, value

SCALAR: tuple[int, ...] = ()


def doubling(rounds: int, start: bool | None, stacks: bool = False, known: int = 0) -> bytes:
    """x doubled while its sum is below `limit`, at most `rounds` times; with `stacks` the squares
    on the way too. `start` None: the file gives no first condition. The first `known` rounds go
    on whatever the sum is."""
    body = [node("Add", ["x_in", "x_in"], ["x_out"]),
            node("ReduceSum", ["x_out"], ["sum"], keepdims=0),
            node("Less", ["sum", "limit"], ["below"])]
    body.append(node("Identity", ["below"], ["more"]) if not known else
                node("If", ["early"], ["more"], then_branch=branch("always", "yes"),
                     else_branch=branch("asked", "below")))
    if known:
        body.insert(0, node("Less", ["i", "known"], ["early"]))
    outputs = [value("more", BOOL, SCALAR), value("x_out", F32, None)]
    if stacks:
        body.append(node("Mul", ["x_in", "x_in"], ["square"]))
        outputs.append(value("square", F32, None))
    graph = helper.make_graph(body, "body", [value("i", I64, SCALAR), value("go", BOOL, SCALAR),
                                             value("x_in", F32, None)], outputs)
    names = ["y", "squares"] if stacks else ["y"]
    loop = node("Loop", ["most", "" if start is None else "first", "x"], names, body=graph)
    numbers = [initializer("most", np.array(rounds)), initializer("limit", np.float32(50)),
               initializer("first", np.array(bool(start))), initializer("known", np.array(known)),
               initializer("yes", np.array(True))]
    return bytes(model([loop], [value("x", F32, (2,))], [value(n, F32, None) for n in names],
                       numbers).SerializeToString())


def branch(name: str, given: str) -> Any:
    return helper.make_graph([node("Identity", [given], [name])], name, [],
                             [helper.make_tensor_value_info(name, TensorProto.BOOL, SCALAR)])


def doubled(x: np.ndarray, rounds: int, known: int) -> np.ndarray:
    for done in range(rounds):
        x = x + x
        if done >= known and x.sum() >= 50:
            break
    return x


@pytest.mark.swept(2)
@pytest.mark.parametrize("start", [True, None])
@pytest.mark.parametrize("known", [0, 2])
def test_a_constant_condition_that_ends_on_data(start: bool | None, known: int) -> None:
    """Refused, though the page promised a while loop: the first round makes the condition data."""
    read = dlc.onnx.load(doubling(20, start, known=known))
    samples = [np.array(v, np.float32) for v in ([1.0, 2.0], [40.0, 0.0], [0.0, 0.0], [-1.0, 0.5])]
    for isa, device in RUNS:
        with loaded(read, isa, device) as program:
            for x in samples:
                wanted = doubled(x, 20, known)
                np.testing.assert_array_equal(program(x), wanted)
                np.testing.assert_array_equal(dlc.evaluate(read, x), wanted)


def test_what_is_stacked_needs_a_known_number_of_rounds() -> None:
    with pytest.raises(dlc.DlcError, match="the condition of the loop"):
        dlc.evaluate(dlc.onnx.load(doubling(20, True, stacks=True)), np.ones(2, np.float32))


@pytest.mark.parametrize(("rounds", "start"), [(0, True), (5, False)])
def test_no_round_stacks_nothing(rounds: int, start: bool) -> None:
    """As onnxruntime: the carry as it came, and stacks of 0 rows of what a round would give."""
    read = dlc.onnx.load(doubling(rounds, start, stacks=True))
    x = np.array([1.0, 2.0], np.float32)
    for results in (dlc.evaluate(read, x), dlc.compile(read).load()(x)):
        np.testing.assert_array_equal(results["y"], x)
        assert results["squares"].shape == (0, 2)
        assert results["squares"].dtype == np.float32
