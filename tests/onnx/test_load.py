"""Loaded models: values, dimensions, parameters that train, constants, control flow, messages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

import dlc
from dlc import f32, i32, nn, optim
from tests.onnx.models import BOOL, F32, I64, initializer, model, node, one, perceptron, value

ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)


def loaded(**options: object) -> dlc.onnx.Model:
    return dlc.onnx.load(perceptron().SerializeToString(), **options)


def expected(x: np.ndarray) -> np.ndarray:
    weight = np.arange(12, dtype=np.float32).reshape(3, 4) / 10
    return np.maximum(x @ weight + np.arange(-1, 3), 0)


def test_types_and_parameters() -> None:
    found = loaded()
    assert found.inputs == {"x": f32["batch", 3]} and found.outputs == {"out": f32["batch", 4]}
    assert list(found.parameters) == ["fc/w", "b"] and found.dimension_names == ("batch",)
    assert loaded(frozen=True).parameters == {}


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_evaluated_and_compiled(batch: int) -> None:
    x = np.random.default_rng(0).normal(size=(batch, 3)).astype(np.float32)
    found = loaded()
    np.testing.assert_allclose(dlc.evaluate(found, x), expected(x), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(dlc.evaluate(found, x=x), expected(x), rtol=1e-6, atol=1e-6)
    with dlc.compile(found, batch=batch).load() as program:
        np.testing.assert_allclose(program(x), expected(x), rtol=1e-5, atol=1e-6)


def test_graph_has_the_models_names() -> None:
    text = dlc.print_graph(loaded().graph(batch=2))
    assert 'fc_w: f32[3, 4] = param("fc/w")' in text and "h_0: f32[2, 4] = matmul(x, fc_w)" in text
    assert dlc.print_graph(dlc.parse_graph(text)) == text


def test_operators_know_their_place_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "tested1.onnx"
    path.write_bytes(perceptron().SerializeToString())
    graph = dlc.onnx.load(path).graph(batch=2)
    places = {n.op.name: str(n.loc) for n in graph.nodes()}
    assert places["matmul"].endswith("tested1.onnx/node:1")
    assert places["where"].endswith("tested1.onnx/node:3")


def test_trained_further() -> None:
    """In a task the model is a layer; the same value used twice shares its parameters."""
    found = loaded()

    @dlc.task(data="points", optimizer=optim.sgd(0.1), batch=4)
    def tuned(x: f32["batch", 3], y: i32["batch"]):
        return dlc.loss(nn.cross_entropy(found(x) + found(x * 2.0), y))

    graphs = tuned.graphs()
    first = tuned.initial_values(graphs, 0)
    np.testing.assert_array_equal(first["tested1.fc/w"], found.parameters["fc/w"])
    x = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    state = {n.attrs["label"]: first[n.attrs["label"]] for n in graphs["train"].inputs
             if n.attrs["role"] != "data"}
    after = dlc.evaluate(graphs["train"], x=x, y=np.array([0, 1, 2, 3], np.int32), **state)
    assert not np.array_equal(after["tested1.fc/w"], first["tested1.fc/w"])
    assert list(graphs["train"].updates) == ["tested1.fc/w", "tested1.b", "step"]


def test_two_models_of_one_name() -> None:
    """Each has its own parameters; a name of one's own is what they are called by."""
    first, second, third = loaded(), loaded(), loaded(name="head")
    graph = dlc.trace(lambda x: first(x) + second(x) + third(x) + first(x), f32[2, 3])
    names = [n.attrs["label"] for n in graph.inputs]
    assert names == ["x", "tested1.fc/w", "tested1.b", "tested2.fc/w", "tested2.b",
                     "head.fc/w", "head.b"]


def test_gradient_by_the_input() -> None:
    found = loaded()
    slope = dlc.trace(dlc.grad(lambda x: found(x).sum()), f32[2, 3])
    weights = {f"tested1.{k}": v for k, v in found.parameters.items()}
    names = [n.attrs["label"] for n in slope.inputs]
    given = {k: v for k, v in weights.items() if k in names}
    assert len(given) == 2, names
    open_ = expected(ROWS) > 0
    np.testing.assert_allclose(dlc.evaluate(slope, ROWS, **given),
                               open_ @ found.parameters["fc/w"].T, rtol=1e-6)


# --- what must be known ---------------------------------------------------------------------------


def reshaping() -> bytes:
    proto = model([node("Reshape", ["x", "shape"], ["y"])],
                  [value("x"), value("shape", I64, ("n",))], [value("y", shape=None)])
    return bytes(proto.SerializeToString())


def test_a_shape_that_comes_at_run_time() -> None:
    with pytest.raises(dlc.DlcError, match="depends on shape, and must be known") as caught:
        dlc.evaluate(dlc.onnx.load(reshaping()), ROWS, np.array([3, 2]))
    assert "constants={'shape': array}" in str(caught.value)
    found = dlc.onnx.load(reshaping(), constants={"shape": [3, -1]})
    assert list(found.inputs) == ["x"] and dlc.evaluate(found, ROWS).shape == (3, 2)


def test_constants_and_shapes_that_do_not_fit() -> None:
    with pytest.raises(dlc.DlcError, match="constants for 'shap', which is not an input"):
        dlc.onnx.load(reshaping(), constants={"shap": [3, 2]})
    with pytest.raises(dlc.DlcError, match="is float32"):
        dlc.onnx.load(reshaping(), constants={"shape": np.ones(2, np.float32)})
    with pytest.raises(dlc.DlcError, match=r"no dimension 'bath' is open .did you mean batch"):
        loaded().graph(bath=2)
    with pytest.raises(dlc.DlcError, match="wanted"):
        dlc.evaluate(loaded(), ROWS.T.copy())


def test_shape_arithmetic_is_known() -> None:
    """x reshaped to (its second size, all the rest), as exporters write it."""
    nodes = [node("Shape", ["x"], ["s"]), node("Gather", ["s", "one"], ["d"], axis=0),
             node("Unsqueeze", ["d", "zero"], ["u"]), node("Concat", ["u", "rest"], ["t"], axis=0),
             node("Reshape", ["x", "t"], ["y"])]
    proto = model(nodes, [value("x", shape=("a", "b"))], [value("y", shape=None)],
                  [initializer("one", np.array(1)), initializer("zero", np.array([0])),
                   initializer("rest", np.array([-1]))])
    found = dlc.onnx.load(proto.SerializeToString())
    assert dlc.evaluate(found, np.ones((4, 6), np.float32)).shape == (6, 4)


def test_shapes_for_what_is_not_declared() -> None:
    proto = one("Relu", [value("x", shape=None)])
    with pytest.raises(dlc.DlcError, match="shape of the input 'x' is not declared"):
        dlc.onnx.load(proto.SerializeToString())
    found = dlc.onnx.load(proto.SerializeToString(), shapes={"x": ("n", 3)})
    assert dlc.evaluate(found, ROWS).shape == (2, 3)


# --- functions and control flow -------------------------------------------------------------------


def test_functions_of_the_model() -> None:
    double = helper.make_function(
        "own", "Scaled", ["a"], ["r"],
        [helper.make_node("Constant", [], ["k"]), helper.make_node("Mul", ["a", "k"], ["r"])],
        [helper.make_opsetid("", 17)], ["by"])
    attribute = double.node[0].attribute.add(name="value_float", ref_attr_name="by")
    attribute.type = 1
    call = helper.make_node("Scaled", ["x"], ["y"], domain="own", by=3.0)
    proto = model([call], [value("x")], [value("y")], functions=[double], domains=[("own", 1)])
    found = dlc.onnx.load(proto.SerializeToString())
    np.testing.assert_array_equal(dlc.evaluate(found, ROWS), ROWS * 3)


def branches() -> bytes:
    then = helper.make_graph([node("Neg", ["x"], ["a"])], "then", [], [value("a")])
    other = helper.make_graph([node("Abs", ["x"], ["b"])], "other", [], [value("b")])
    proto = model([node("If", ["c"], ["y"], then_branch=then, else_branch=other)],
                  [value("x"), value("c", BOOL, ())], [value("y")])
    return bytes(proto.SerializeToString())


@pytest.mark.parametrize("taken", [True, False])
def test_if_on_data(taken: bool) -> None:
    found = dlc.onnx.load(branches())
    want = -ROWS if taken else ROWS
    np.testing.assert_array_equal(dlc.evaluate(found, ROWS, np.array(taken)), want)
    with dlc.compile(found).load() as program:
        np.testing.assert_array_equal(program(ROWS, np.array(taken)), want)


@pytest.mark.parametrize("length", [4, 40])
def test_scan_adds_up(length: int) -> None:
    """Short ones are unrolled, long ones are a scan: the same numbers."""
    body = helper.make_graph(
        [node("Add", ["s", "e"], ["t"]), node("Identity", ["t"], ["o"])], "body",
        [value("s", F32, (3,)), value("e", F32, (3,))],
        [value("t", F32, (3,)), value("o", F32, (3,))])
    proto = model([node("Scan", ["z", "x"], ["last", "y"], body=body, num_scan_inputs=1)],
                  [value("z", F32, (3,)), value("x", F32, (length, 3))],
                  [value("last", F32, (3,)), value("y", F32, (length, 3))])
    found = dlc.onnx.load(proto.SerializeToString())
    x = np.random.default_rng(0).normal(size=(length, 3)).astype(np.float32)
    out = dlc.evaluate(found, np.zeros(3, np.float32), x)
    np.testing.assert_allclose(out["y"], np.cumsum(x, 0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(out["last"], x.sum(0), rtol=1e-4, atol=1e-5)
    assert any(n.op.name == "scan" for n in found.graph().nodes()) == (length == 40)


def test_loop_whose_end_depends_on_data() -> None:
    """Doubles x until its sum reaches 100, at most 20 times."""
    body = helper.make_graph(
        [node("Add", ["v", "v"], ["w"]), node("ReduceSum", ["w"], ["t"], keepdims=0),
         node("Less", ["t", "edge"], ["d"])], "body",
        [value("i", I64, ()), value("c", BOOL, ()), value("v")], [value("d", BOOL, ()), value("w")])
    proto = model([node("ReduceSum", ["x"], ["s"], keepdims=0), node("Less", ["s", "edge"], ["g"]),
                   node("Loop", ["m", "g", "x"], ["y"], body=body)],
                  [value("x")], [value("y")],
                  [initializer("m", np.array(20)), initializer("edge", np.array(100, np.float32))])
    found = dlc.onnx.load(proto.SerializeToString())
    np.testing.assert_array_equal(dlc.evaluate(found, ROWS), ROWS * 8)
    np.testing.assert_array_equal(dlc.evaluate(found, ROWS * 100), ROWS * 100)


def test_index_out_of_range_is_told() -> None:
    proto = model([node("Gather", ["x", "i"], ["y"])], [value("x"), value("i", I64, ("n",))],
                  [value("y", shape=("n", 3))])
    found = dlc.onnx.load(proto.SerializeToString())
    np.testing.assert_array_equal(dlc.evaluate(found, ROWS, np.array([-1])), ROWS[-1:])
    with pytest.raises(dlc.DlcError, match="out of"):
        dlc.evaluate(found, ROWS, np.array([2]))
