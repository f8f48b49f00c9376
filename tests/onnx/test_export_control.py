"""Exported loops, branches, recurrent layers and sorting: onnxruntime and dlc get the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import dlc
from dlc import f16, f32, f64, i32, i64, nn, u8
from dlc.ir.graph import Graph
from dlc.ir.types import Type
from dlc.task.task import Task
from tests.onnx.test_export import listed, run_fast
from tests.random_loops import LoopMaker


def operators(path: Path) -> list[str]:
    """The operators of a model, those in bodies after the one that holds them."""
    def within(graph: Any) -> list[str]:
        found = []
        for node in graph.node:
            found.append(node.op_type)
            for attribute in node.attribute:
                found += within(attribute.g)
        return found

    return within(onnx.load(path).graph)


def arrays_for(graph: Graph, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {n.attrs["label"]: np.asarray(rng.normal(size=n.shape) * 2).astype(n.dtype.numpy)
            for n in graph.inputs}


def same_numbers(thing: Any, path: Path, opset: int = 17, **dims: int) -> list[str]:
    """Export, run in onnxruntime and, read back, in dlc; the operators of the file."""
    graph = thing if isinstance(thing, Graph) else dlc.trace(thing, dims=dims)
    dlc.onnx.export(thing, path, opset=opset)
    given = arrays_for(graph)
    expected = listed(dlc.evaluate(graph, *given.values()))
    back = listed(dlc.evaluate(dlc.onnx.load(path), **given))
    for a, b, c in zip(run_fast(path, given), back, expected, strict=True):
        assert a.dtype == b.dtype == c.dtype and a.shape == b.shape == c.shape
        np.testing.assert_allclose(a, c, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(b, c, rtol=1e-4, atol=1e-5)
    return operators(path)


# --- loops ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
def test_a_loop_over_sequences_is_a_scan(reverse: bool, tmp_path: Path) -> None:
    def f(x: f32["batch", 20, 3], w: f32[3, 3], h: f32["batch", 3]):
        def step(carry: Any, row: Any) -> Any:
            h, n = carry
            h = dlc.tanh(h @ w + row)
            return (h, n + 1), {"h": h, "n": n}

        rows = dlc.transpose(x, (1, 0, 2))
        (h, n), ys = dlc.scan(step, (h, dlc.asarray(0)), rows, reverse=reverse)
        return h, n, ys["h"], ys["n"]

    found = same_numbers(f, tmp_path / "m.onnx", batch=4)
    assert found.count("Scan") == 1 and "Slice" not in found
    assert dlc.onnx.load(tmp_path / "m.onnx").dimension_names == ("batch",)


@pytest.mark.parametrize("length", [0, 1, 20])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_loop_without_sequences_is_a_loop(length: int, reverse: bool, tmp_path: Path) -> None:
    def f(h: f32[3]):
        return dlc.scan(lambda h, _: (dlc.sin(h) + 1.0, h * 2.0), h, length=length,
                        reverse=reverse)

    found = same_numbers(f, tmp_path / "m.onnx")
    assert found.count("Loop") == (length > 0)


def test_loops_in_loops_share_names_with_nothing(tmp_path: Path) -> None:
    """Two loops of one body, one in the other's: each name of the file is made once."""
    def f(x: f32[20, 17, 3], w: f32[3]):
        def inner(c: Any, row: Any) -> Any:
            return c * w + row, c.sum()

        def outer(c: Any, rows: Any) -> Any:
            c, sums = dlc.scan(inner, c, rows)
            return c * 0.5, sums

        c, sums = dlc.scan(outer, x[0, 0], x)
        again, _ = dlc.scan(inner, c, x[0])
        return again, sums

    assert same_numbers(f, tmp_path / "m.onnx").count("Scan") == 3


def test_while_and_branches(tmp_path: Path) -> None:
    def f(x: f32[4], k: i32[()]):
        y, count = dlc.while_loop(lambda v: v.sum() < 100.0, lambda v: v * 1.5 + 1.0, dlc.abs(x),
                                  bound=40)
        z = dlc.cond(k > 0, lambda v: (dlc.exp(-v), x), lambda v: (v, v + 1.0), y)
        return y, count, *z

    graph = dlc.trace(f)
    pruned = Graph(graph.name, graph.inputs, graph.outputs[:4], graph.output_names[:4])
    assert {"If", "Loop"} <= set(same_numbers(pruned, tmp_path / "m.onnx"))


@pytest.mark.swept(3)
@pytest.mark.parametrize("seed", range(25))
def test_random_loops(seed: int, tmp_path: Path) -> None:
    graph = LoopMaker(seed).graph()
    values = arrays_for(graph, seed)
    dlc.onnx.export(graph, tmp_path / "m.onnx", opset=18, parameters=values)
    for a, b in zip(run_fast(tmp_path / "m.onnx", values),
                    listed(dlc.evaluate(graph, *values.values())), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_gradient_of_a_loop(tmp_path: Path) -> None:
    def f(x: f32[20, 3], w: f32[3, 3]):
        def loss(w: Any) -> Any:
            h, _ = dlc.scan(lambda h, row: (dlc.tanh(h @ w + row[None]), None), x[:1], x)
            return (h ** 2.0).sum()

        return dlc.value_and_grad(loss)(w)

    assert same_numbers(f, tmp_path / "m.onnx").count("Scan") == 2


# --- recurrent layers -----------------------------------------------------------------------------


def sequence_task(layer: Callable[[], Any]) -> Task:
    """A task that reads rows of 6 numbers through a recurrent layer of its own."""
    @dlc.task(data="rows", optimizer=dlc.optim.sgd(0.1), batch=8)
    def reads(x: f32["batch", 20, 6], label: i32["batch"]):
        logits = nn.dense(3)(layer()(x))
        return dlc.loss(nn.cross_entropy(logits, label), prediction=logits)

    return reads


@pytest.mark.parametrize("layer", [
    lambda: nn.lstm(5, returns="last"), lambda: nn.gru(5, returns="last"),
    lambda: nn.rnn(5, returns="last"),
    lambda: nn.lstm(5, layers=2, bidirectional=True, returns="last")],
    ids=["lstm", "gru", "rnn", "deep lstm"])
def test_recurrent_layers(layer: Callable[[], Any], tmp_path: Path) -> None:
    """One file serves every batch."""
    task, path = sequence_task(layer), tmp_path / "m.onnx"
    dlc.onnx.export(task, path)
    back = dlc.onnx.load(path)
    assert back.dimension_names == ("batch",)
    for size in (1, 3):
        graph = task.graphs(size)["eval"]
        values = dict(task.initial_values(task.graphs(size), 0))
        values["x"] = np.random.default_rng(size).normal(size=(size, 20, 6)).astype(np.float32)
        values["label"] = np.zeros(size, np.int32)
        expected = dlc.evaluate(graph, **{n.attrs["label"]: values[n.attrs["label"]]
                                          for n in graph.inputs})["prediction"]
        np.testing.assert_allclose(run_fast(path, {"x": values["x"]})[0], expected, rtol=1e-5,
                                   atol=1e-6)
        np.testing.assert_allclose(dlc.evaluate(back, x=values["x"]), expected, rtol=1e-5,
                                   atol=1e-6)


# --- order, contractions, writes ------------------------------------------------------------------


@pytest.mark.parametrize("kind", [f32, f64, f16, i32, i64, u8])
@pytest.mark.parametrize("descending", [False, True])
def test_sorting_is_top_k(kind: Any, descending: bool, tmp_path: Path) -> None:
    def f(x: Any) -> Any:
        return dlc.argsort(x, 1, descending)

    def best(x: Any) -> Any:
        return (*dlc.top_k(x, 2, 0, largest=descending), dlc.sort(x, descending=descending))

    x = np.random.default_rng(3).integers(0, 4, (4, 9)).astype(kind.numpy)
    if kind in (f32, f16):
        x[0, :6] = [np.inf, np.nan, -np.inf, np.nan, np.inf, -0.0]
    for number, function in enumerate((f, best)):
        graph, path = dlc.trace(function, Type(kind, (4, 9))), tmp_path / f"{number}.onnx"
        dlc.onnx.export(graph, path)
        found = run_fast(path, {"x": x})
        for a, b in zip(found, listed(dlc.evaluate(graph, x)), strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
        assert operators(path).count("TopK") == 1 + number


@pytest.mark.parametrize("opset", [17, 18])
def test_writes_and_gradients_of_reads(opset: int, tmp_path: Path) -> None:
    """Where an index names a place twice, the last one stays; shared axes go together."""
    def f(x: f32[5, 4], i: i32[3], u: f32[3, 4], j: i32[5, 2]):
        i, j = dlc.clip(i, 0, 2), dlc.clip(j, 0, 3)
        read = dlc.grad(lambda x: (dlc.take_along_axis(x, j, 1) ** 2.0).sum())(x)
        return x.at[i].set(u), x.at[i].add(u), read, x.at[:, i].add(2.0)

    graph = dlc.trace(f)
    kept = Graph(graph.name, graph.inputs, graph.outputs[:4], graph.output_names[:4])
    same_numbers(kept, tmp_path / "m.onnx", opset)


def test_einsum(tmp_path: Path) -> None:
    def f(a: f32[2, 3, 4], b: f32[4, 5, 3], c: f32[5]):
        return dlc.einsum("bij,jki,k->bk", a, b, c), dlc.einsum("bii->b", a[:, :, :3])

    same_numbers(f, tmp_path / "m.onnx")
