"""Exported models: read back by dlc and run by ONNX's own evaluator to the same numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator

import dlc
from dlc import f32, i32
from dlc.cli import main
from dlc.cli.source import load_task
from dlc.derive.control import results
from dlc.ir.graph import Graph, Kind, Node, make
from dlc.ir.registry import REGISTRY
from dlc.ir.types import TupleType, Type, dtype
from dlc.onnx.export_compositions import COMPOSED
from dlc.onnx.write import FAMILIES
from dlc.onnx.writer import EMITTERS
from dlc.ops.leaf import input_
from tests.networks import SHOWN


def run(path: Path, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """What the ONNX package's evaluator computes."""
    with np.errstate(all="ignore"):
        return [np.asarray(v) for v in ReferenceEvaluator(str(path)).run(None, arrays)]


def run_fast(path: Path, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """What onnxruntime computes."""
    onnxruntime.set_default_logger_severity(3)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    given = {i.name: arrays[i.name] for i in session.get_inputs()}
    return [np.asarray(v) for v in session.run(None, given)]


def listed(found: Any) -> list[np.ndarray]:
    """What dlc.evaluate gives, in order."""
    return [np.asarray(v) for v in (found.values() if isinstance(found, dict) else [found])]


def batch_of(task: dlc.Task, size: int) -> tuple[Graph, dict[str, np.ndarray]]:
    """The evaluation of a task, with all of its inputs."""
    graph, rng = task.graphs(size)["eval"], np.random.default_rng(size)
    values = dict(task.initial_values(task.graphs(size), 0))
    for node in graph.inputs:
        if node.attrs["role"] == "data":
            shape = tuple(map(int, node.shape))
            values[node.attrs["label"]] = (
                rng.normal(size=shape) if node.dtype.is_float else np.zeros(shape)
            ).astype(node.dtype.numpy)
    return graph, {n.attrs["label"]: values[n.attrs["label"]] for n in graph.inputs}


@pytest.mark.parametrize("name", SHOWN)
def test_every_bundled_model(name: str, tmp_path: Path) -> None:
    """One file serves every batch; dlc reads it back to the same numbers."""
    task, path = load_task(name), tmp_path / "m.onnx"
    dlc.onnx.export(task, path)
    onnx.checker.check_model(str(path), full_check=True)
    back = dlc.onnx.load(path)
    assert back.dimension_names == ("batch",)
    for size in (1, 5):
        graph, values = batch_of(task, size)
        expected = dlc.evaluate(graph, **values)["prediction"]
        given = {k: v for k, v in values.items() if k in back.inputs}
        np.testing.assert_allclose(run(path, given)[0], expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(dlc.evaluate(back, **given), expected, rtol=1e-5, atol=1e-6)


def test_lenet_is_what_one_would_write(tmp_path: Path) -> None:
    dlc.onnx.export(load_task("lenet"), tmp_path / "m.onnx")
    kinds = [n.op_type for n in onnx.load(tmp_path / "m.onnx").graph.node]
    assert kinds == ["Conv", "Reshape", "Add", "Tanh", "AveragePool", "Conv", "Reshape", "Add",
                     "Tanh", "AveragePool", "Reshape", "MatMul", "Add", "Tanh", "MatMul", "Add",
                     "Tanh", "MatMul", "Add", "Identity"]


def test_weights_batch_and_opset(tmp_path: Path) -> None:
    path, task = tmp_path / "m.onnx", load_task("xor")
    weights = {k: np.full_like(v, 0.5) for k, v in task.initial_values(task.graphs(), 0).items()
               if k.startswith("dense")}
    dlc.onnx.export(task, path, parameters=weights, batch=3, opset=20)
    proto = onnx.load(path)
    assert proto.opset_import[0].version == 20
    found = dlc.onnx.load(path)
    assert str(found.inputs["x"]) == "f32[3, 2]"
    assert all((v == 0.5).all() for v in found.parameters.values())
    with pytest.raises(dlc.DlcError, match="opset 5 is not written"):
        dlc.onnx.export(task, path, opset=5)
    with pytest.raises(dlc.DlcError, match="no entry 'evil'"):
        dlc.onnx.export(task, path, entry="evil")
    with pytest.raises(dlc.DlcError, match="not f32"):
        dlc.onnx.export(task, path, parameters={"dense1.weight": np.zeros(3)})


def test_functions_graphs_and_loaded_models(tmp_path: Path) -> None:
    def f(x: f32["batch", 4], i: i32["batch"]):
        scores = dlc.nn.softmax(x * 2.0)
        return {"best": dlc.argmax(scores, 1), "picked": dlc.take(scores, i, 1, 1)}

    x = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    i = np.array([0, 3, 1, 2], np.int32)

    def g(x: f32["batch", 4]):
        return dlc.nn.softmax(x * 2.0).sum(0)

    for thing, arrays in ((g, {"x": x}), (dlc.trace(g, dims={"batch": 4}), {"x": x}),
                          (f, {"x": x, "i": i})):
        path = tmp_path / "m.onnx"
        dlc.onnx.export(thing, path)
        graph = thing if isinstance(thing, Graph) else dlc.trace(thing, dims={"batch": 4})
        expected = dlc.evaluate(graph, **arrays)
        expected = expected if isinstance(expected, dict) else {"out": expected}
        for a, b in zip(run(path, arrays), expected.values(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5)
    loaded = dlc.onnx.load(path)
    assert list(loaded.evaluate(**arrays)) == ["best", "picked", "fault_"]
    dlc.onnx.export(loaded, tmp_path / "again.onnx")
    again = run(tmp_path / "again.onnx", arrays)
    assert again[3] == 0  # the loaded graph's own check
    for a, b in zip(again[:3], run(path, arrays), strict=True):
        np.testing.assert_array_equal(a, b)


def test_gradients_are_written_out(tmp_path: Path) -> None:
    def slope(x: f32[3]):
        return dlc.grad(lambda v: (dlc.sin(v) * v).sum())(x)

    dlc.onnx.export(slope, tmp_path / "m.onnx")
    x = np.array([0.1, -0.5, 2.0], np.float32)
    np.testing.assert_allclose(run(tmp_path / "m.onnx", {"x": x})[0],
                               np.sin(x) + x * np.cos(x), rtol=1e-5)


def test_functions_with_rules_for_their_gradients_are_themselves(tmp_path: Path) -> None:
    @dlc.custom_gradient
    def rounded(x: Any) -> Any:
        return dlc.round(x), lambda g: g

    def f(x: f32[3]):
        return dlc.checkpoint(dlc.sin)(rounded(x)), dlc.grad(lambda v: rounded(v * v).sum())(x)

    dlc.onnx.export(f, tmp_path / "m.onnx")
    x = np.array([0.4, -1.6, 2.0], np.float32)
    value, slope = run(tmp_path / "m.onnx", {"x": x})
    np.testing.assert_allclose(value, np.sin(np.round(x)), rtol=1e-5)
    np.testing.assert_allclose(slope, 2 * x, rtol=1e-6)


def test_what_onnx_has_no_form_of(tmp_path: Path) -> None:
    matrix = dlc.trace(lambda x: dlc.linalg.svd(x)[1], f32[3, 3])
    with pytest.raises(dlc.DlcError, match="ONNX has no form of dlc's svd") as problem:
        dlc.onnx.export(matrix, tmp_path / "m.onnx")
    assert problem.value.loc is not None and problem.value.loc.file.endswith("test_export.py")
    assert not (tmp_path / "m.onnx").exists()
    largest = dlc.trace(lambda x, i: x.at[i].max(1.0), f32[3], i32[2])
    with pytest.raises(dlc.DlcError, match="a scatter of the max needs opset 18"):
        dlc.onnx.export(largest, tmp_path / "m.onnx")
    with pytest.raises(dlc.DlcError, match="cannot be written"):
        dlc.onnx.export(load_task("xor"), tmp_path / "no" / "m.onnx")


def test_random_numbers_are_refused_at_their_line(tmp_path: Path) -> None:
    def noise(x: Any) -> Any:
        return x + dlc.random.uniform((3,))  # the line

    def walk(x: Any) -> Any:
        return dlc.scan(lambda c, _: (noise(c), None), x, length=4)[0]

    line = noise.__code__.co_firstlineno + 1
    for function in (noise, walk):
        with pytest.raises(dlc.DlcError, match="random numbers are drawn here") as problem:
            dlc.onnx.export(dlc.trace(function, f32[3]), tmp_path / "m.onnx")
        assert problem.value.loc is not None and problem.value.loc.line == line


# --- every operator that can be written -----------------------------------------------------------

# Where onnxruntime ends the process: integer division by 0.
UNDEFINED = {"floordiv", "rem"}


def samples() -> Iterator[Any]:
    assert FAMILIES  # importing them fills the table
    for name in sorted({*EMITTERS, *COMPOSED}):
        op = REGISTRY.get(name)
        if op is None or op.samples is None or op.kind is Kind.LEAF:
            continue
        for number, sample in enumerate(op.samples()):
            yield pytest.param(name, sample, id=f"{name}-{number}")


@pytest.mark.swept(4)
@pytest.mark.parametrize(("name", "sample"), list(samples()))
def test_operator(name: str, sample: Any, tmp_path: Path) -> None:
    """Read back by dlc, and run by the ONNX package's evaluator."""
    op, (operands, attrs) = REGISTRY[name], sample
    arrays = [np.asarray(a) for a in operands]
    if name in UNDEFINED and arrays[0].dtype.kind in "iu":
        arrays[1] = np.where(arrays[1] == 0, 1, arrays[1]).astype(arrays[1].dtype)
    nodes: list[Node] = [input_(f"x{i}", Type(dtype(a.dtype), a.shape))
                         for i, a in enumerate(arrays)]
    node = make(op, nodes, **attrs)
    outputs = results(node) if isinstance(node.type, TupleType) else [node]
    graph = Graph("sample", tuple(nodes), tuple(outputs), tuple(f"y{i}" for i in range(len(
        outputs))))
    given = {f"x{i}": a for i, a in enumerate(arrays)}
    dlc.onnx.export(graph, tmp_path / "m.onnx", opset=18)
    expected = listed(dlc.evaluate(graph, *arrays))
    back = listed(dlc.evaluate(dlc.onnx.load(tmp_path / "m.onnx"), **given))
    found = (run_fast if name in COMPOSED else run)(tmp_path / "m.onnx", given)
    for a, b, c in zip(found, back, expected, strict=True):
        assert a.dtype == b.dtype == c.dtype
        np.testing.assert_allclose(a, c, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(b, c, rtol=1e-4, atol=1e-6)


# --- the command line -----------------------------------------------------------------------------


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "m.onnx")
    assert main(["export", "xor", "-o", path]) == 0
    assert "input  x: f32['batch', 2]" in capsys.readouterr().out
    assert main(["show", path, "--after", "input", "--dim", "batch=7"]) == 0
    assert "x: f32[7, 2]" in capsys.readouterr().out
    assert main(["show", path]) == 0
    assert "@ 0x" in capsys.readouterr().out
    for wrong, message in ((["show", path, "--dim", "batch"], "not NAME=N"),
                           (["show", "xor", "--dim", "batch=2"], "--dim is for dynamic dimensions"),
                           (["show", path, "--dim", "b=2"], "no dimension 'b' is open"),
                           (["show", path, "--dim", "self=2"], "no dimension 'self' is open"),
                           (["show", path + "x.onnx"], "No such file"),
                           (["export", "xor"], "required: -o"),
                           (["export", "xor", "-o", path, "--weights", "none"], "none")):
        assert main(wrong) == 2
        assert message in capsys.readouterr().err
