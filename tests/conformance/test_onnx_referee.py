"""The referee of the ONNX suites: what f32 determines must be met, what it leaves open may vary."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.conformance.onnx_referee import RUNS, judged, several

F32 = np.float32
TOLERANCE = 1e-3, 1e-4


def model(nodes: list[onnx.NodeProto], shape: list[int], kind: int,
          size: list[int] | None = None) -> onnx.ModelProto:
    """A model from x, f32 of `shape`, to y."""
    graph = helper.make_graph(
        nodes, "model", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", kind, shape if size is None else size)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)])


def chain(*operators: str, kind: int = TensorProto.FLOAT, **attributes: int) -> onnx.ModelProto:
    """Unary operators one after the other, on three numbers; attributes are the last one's."""
    names = ["x", *(f"v{i}" for i in range(len(operators) - 1)), "y"]
    nodes = [helper.make_node(operator, [a], [b]) for operator, a, b in zip(
        operators, names, names[1:], strict=False)]
    nodes[-1].attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())
    return model(nodes, [3], kind)


def test_a_smooth_function_is_determined() -> None:
    """A result off by more than the tolerance is wrong, however the runs round."""
    x = np.array([0.1, -2, 30], F32)
    runs, = several(chain("Sin", "Exp"), {"x": x})
    assert runs.shape == (RUNS, 3) and runs.dtype == np.float32
    assert len({run.tobytes() for run in runs}) > 1
    right = np.exp(np.sin(x))
    verdict = judged(runs, right, *TOLERANCE)
    assert verdict.determined.all() and verdict.right.all()
    off = judged(runs, right * F32([1, 1.003, 1]), *TOLERANCE)
    assert off.right.tolist() == [True, False, True]
    assert not judged(runs, F32([np.nan, np.inf, 0]), *TOLERANCE).right.any()


def test_exact_operators_do_not_round() -> None:
    """Whole numbers, selections and moves come out as they are: a floor of them is determined."""
    runs, = several(chain("Neg", "Floor", "Abs"), {"x": np.array([1, 2, 3], F32)})
    assert judged(runs, np.array([1, 2, 3], F32), 0, 0).determined.all()
    assert not judged(runs, np.array([1, 2, 2], F32), 0, 0).right[2]


def test_what_rounding_decides_is_open_within_its_choices() -> None:
    """exp(log(3)) is 3 or just below: its floor is 2 or 3, and neither 4 nor NaN."""
    runs, = several(chain("Log", "Exp", "Floor"), {"x": np.array([3, 3.5, 7], F32)})
    verdict = judged(runs, np.array([2, 3, 6], F32), *TOLERANCE)
    assert verdict.determined.tolist() == [False, True, False] and verdict.right.all()
    assert not judged(runs, F32([np.nan, 4, 20]), *TOLERANCE).right.any()


def test_sums_may_be_taken_in_any_order() -> None:
    """Where large terms cancel, the small rest is open; without them it is determined."""
    axes = helper.make_node("Constant", [], ["axes"], value_ints=[0])
    proto = model([axes, helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0)], [3],
                  TensorProto.FLOAT, [])
    cancelled, = several(proto, {"x": np.array([1e8, 1, -1e8], F32)})
    assert not judged(cancelled, F32(0), *TOLERANCE).determined
    assert judged(cancelled, F32(0), *TOLERANCE).right
    plain, = several(proto, {"x": np.array([1, 2, 3], F32)})
    assert judged(plain, F32(6), *TOLERANCE).determined
    assert not judged(plain, F32(6.1), *TOLERANCE).right


def test_small_terms_may_be_lost_beside_a_large_one() -> None:
    """Added one by one to 1, terms of 3e-8 leave f32 as it is; all at once they make 1.0000006."""
    x = np.full(20, -17.3, F32)
    x[0] = 0
    runs, = several(model([helper.make_node("Softmax", ["x"], ["v"], axis=0),
                           helper.make_node("Floor", ["v"], ["y"])], [20], TensorProto.FLOAT),
                    {"x": x})
    verdict = judged(runs, np.eye(20, dtype=F32)[0], *TOLERANCE)
    assert verdict.right.all() and not verdict.determined[0] and verdict.determined[1:].all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -3e9])
def test_integers_of_what_they_do_not_hold_are_open(value: float) -> None:
    runs, = several(chain("Cast", kind=TensorProto.INT32, to=TensorProto.INT32),
                    {"x": np.array([value, 2.7, -2.7], F32)})
    assert runs.dtype == np.int32
    verdict = judged(runs, np.array([-2**31, 2, -2], np.int32), 0, 0)
    assert verdict.determined.tolist() == [False, True, True] and verdict.right.all()
    assert not judged(runs, np.array([0, 3, -3], np.int32), 0, 0).right[1:].any()


def test_overflow_is_that_of_f32() -> None:
    """1e30 squared is infinite in f32, though f64 holds it."""
    runs, = several(model([helper.make_node("Mul", ["x", "x"], ["y"])], [1], TensorProto.FLOAT),
                    {"x": np.array([1e30], F32)})
    verdict = judged(runs, np.array([np.inf], F32), *TOLERANCE)
    assert verdict.determined.all() and verdict.right.all()
    assert not judged(runs, np.array([3e38], F32), *TOLERANCE).right.any()
