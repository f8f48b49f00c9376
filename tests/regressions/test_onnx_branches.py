"""Loading models whose If chooses a shape: PyTorch exports `squeeze(0)` so, and dlc refused them.

Found by NNSmith, seeds 2070582366 and 2070582875: the file declares the output with the axis that
the branch taken drops.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from onnx import helper

import dlc
from tests.onnx.models import I64, initializer, model, node, value

Declared = Sequence[int | str] | None


def squeezed(size: int, declared: Declared, branch: Declared = ("n",)) -> bytes:
    """squeeze(x [size], 0) where size is 1, else x; then its negative. `branch` is what the file
    declares for the axis kept."""
    then = helper.make_graph([node("Squeeze", ["x", "axis"], ["dropped"])], "then", [],
                             [value("dropped", shape=())])
    other = helper.make_graph([node("Identity", ["x"], ["kept"])], "other", [],
                              [value("kept", shape=branch)])
    nodes: list[Any] = [
        node("Shape", ["x"], ["shape"]), node("Gather", ["shape", "axis"], ["first"]),
        node("Equal", ["first", "one"], ["single"]),
        node("If", ["single"], ["y"], then_branch=then, else_branch=other),
        node("Neg", ["y"], ["z"])]
    outputs = [value("y", shape=declared), value("z", shape=declared)]
    numbers = [initializer("axis", np.array([0])), initializer("one", np.array([1]))]
    return bytes(model(nodes, [value("x", shape=(size,))], outputs, numbers).SerializeToString())


@pytest.mark.parametrize("declared", [(1,), ("If_dim_0",), (), None])
def test_the_branch_taken_gives_the_shape(declared: Declared) -> None:
    """Whatever the file declares for both branches, and for what follows from them."""
    found = dlc.onnx.load(squeezed(1, declared))
    assert found.outputs == {"y": None, "z": None}
    results = dlc.evaluate(found, np.array([2.5], np.float32))
    assert results["y"].shape == results["z"].shape == ()
    assert (results["y"], results["z"]) == (2.5, -2.5)
    with dlc.compile(found).load() as program:
        assert [np.asarray(r).tolist() for r in program(np.array([2.5], np.float32)).values()] == [
            2.5, -2.5]


def test_the_branch_that_keeps_the_axis() -> None:
    found = dlc.onnx.load(squeezed(3, (1,)))
    assert dlc.evaluate(found, np.ones(3, np.float32))["z"].tolist() == [-1, -1, -1]


def test_sizes_of_one_axis_may_differ_too() -> None:
    """Branches of [2] and [4]: the file declares the one that is not taken."""
    parts = [helper.make_graph([node("Slice", ["x", "zero", end], [name])], name, [],
                               [value(name, shape=(size,))])
             for end, name, size in (("two", "short", 2), ("four", "long", 4))]
    proto = model([node("If", ["c"], ["y"], then_branch=parts[0], else_branch=parts[1])],
                  [value("x", shape=(6,))], [value("y", shape=(4,))],
                  [initializer("zero", np.array([0])), initializer("two", np.array([2])),
                   initializer("four", np.array([4])), initializer("c", np.array(True))])
    x = np.arange(6, dtype=np.float32)
    assert dlc.evaluate(dlc.onnx.load(proto.SerializeToString()), x).tolist() == [0, 1]


def test_a_wrong_declaration_elsewhere_is_refused() -> None:
    """Branches of one shape, and dtypes, hold the file to what it declares."""
    alike = [helper.make_graph([node(operator, ["x"], [name])], name, [], [value(name, shape=(1,))])
             for operator, name in (("Neg", "a"), ("Abs", "b"))]
    chosen = node("If", ["c"], ["y"], then_branch=alike[0], else_branch=alike[1])
    given = [initializer("c", np.array(True))]
    shape = model([chosen], [value("x", shape=(1,))], [value("y", shape=(2,))], given)
    with pytest.raises(dlc.DlcError, match=r"'y' is declared as f32\[2\], and comes out as"):
        dlc.onnx.load(shape.SerializeToString()).graph()
    dtype = squeezed(1, (1,)).replace(value("z", shape=(1,)).SerializeToString(),
                                      value("z", I64, (1,)).SerializeToString())
    with pytest.raises(dlc.DlcError, match="'z' is declared as i64, and comes out as"):
        dlc.onnx.load(dtype).graph()
