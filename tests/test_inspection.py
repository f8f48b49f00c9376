"""Seeing inside: gradients and curvature against closed forms, records, and nothing changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, i32, nn, optim
from dlc.checks.launches import device_of
from dlc.inspection import BINS, inside_graphs, spread
from dlc.ir.graph import Graph
from dlc.runtime.report.inside import inside_section
from tests.report.gan import gan
from tests.report.test_page import check

line = nn.dense(1, bias=False)


@dlc.task(optimizer=optim.sgd(0.1), batch=8, epochs=3)
def least_squares(x: f32["batch", 3], y: f32["batch", 1]) -> dlc.Loss:
    return dlc.loss(nn.mse(line(x), y))


@dlc.task(optimizer=optim.sgd(0.5), batch=8, epochs=3)
def logistic(x: f32["batch", 3], y: f32["batch", 1]) -> dlc.Loss:
    return dlc.loss(nn.binary_cross_entropy_with_logits(line(x), y))


def everywhere(graph: Graph, arrays: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What the graph gives evaluated, compiled on each instruction set that this machine has, and
    interpreted."""
    yield dlc.evaluate(graph, **arrays)
    for isa, device in (*((name, "cpu") for name in ("avx512", "avx2", "scalar")
                          if device_of(name) == "cpu"), ("neon", "interpret")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DLC_CPU", isa)
            with dlc.compile(graph).load(device=device) as program:
                program.running.write("line.weight", arrays["line.weight"])
                yield program(x=arrays["x"], y=arrays["y"])


def closed_form(kind: str, x: Any, y: Any, w: Any) -> tuple[Any, Any]:
    """(the gradient, the Hessian) in f64."""
    x, y, w = (np.asarray(a, np.float64) for a in (x, y, w))
    if kind == "least_squares":
        return 2 / len(x) * x.T @ (x @ w - y), 2 / len(x) * x.T @ x
    p = 1 / (1 + np.exp(-x @ w))
    return x.T @ (p - y) / len(x), x.T @ (p * (1 - p) * x) / len(x)


@pytest.mark.parametrize("task", [least_squares, logistic], ids=lambda t: t.name)
def test_gradient_and_curvature_are_those_of_the_formula(
        task: dlc.Task, rng: np.random.Generator) -> None:
    x = rng.normal(size=(8, 3)).astype(np.float32)
    y = (rng.random((8, 1)) < 0.5).astype(np.float32)
    w = rng.normal(size=(3, 1)).astype(np.float32)
    g, hessian = closed_form(task.name, x, y, w)
    graph = inside_graphs(task, 8)["inside"]
    arrays = {"x": x, "y": y, "line.weight": w}
    for found in everywhere(graph, arrays):
        # a dozen roundings of sums of at most 24 terms of size 1
        np.testing.assert_allclose(found["gradient/line.weight"], g, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found["gg"], (g * g).sum(), rtol=2e-5)
        np.testing.assert_allclose(found["gHg"], (g.T @ hessian @ g).item(), rtol=4e-5)
        np.testing.assert_allclose(found["value/line"], x @ w, rtol=1e-5, atol=1e-6)


def data(rng: np.random.Generator) -> dict[str, Any]:
    x = rng.normal(size=(40, 3)).astype(np.float32)
    return {"x": x, "y": x @ np.float32([[1], [-2], [0.5]])}


def test_training_is_the_same_and_records_say_what_it_came_to(
        tmp_path: Path, rng: np.random.Generator) -> None:
    """One record an epoch, whose gradient norm is that of the weights after it."""
    given = data(rng)
    weights: list[Any] = []

    def keep(at: Any) -> None:
        weights.append(at.read("line.weight"))

    seen = least_squares.train(given, inspect=True, on_epoch=keep, folder=tmp_path)
    plain = least_squares.train(given)
    np.testing.assert_array_equal(seen.values["line.weight"], plain.values["line.weight"])
    assert [(r["epoch"], r["phase"], r["batches"]) for r in seen.inside] == [
        (1, "", 4), (2, "", 4), (3, "", 4)]
    assert plain.inside == () and len(weights) == 3
    norms = [r["norm"] for r in seen.inside]
    assert norms[0] > norms[1] > norms[2] > 0
    for record in (seen.inside[0], seen.inside[-1]):
        assert list(record["values"]) == ["line"] and list(record["gradients"]) == ["line.weight"]
        assert sum(record["values"]["line"]["counts"]) <= 32
    assert seen.inside[1]["values"] == {}
    assert json.loads((tmp_path / "inside.json").read_text()) == list(seen.inside)

    longer = least_squares.train(given, inspect=True, folder=tmp_path, resume=True, epochs=5)
    whole = least_squares.train(given, inspect=True, epochs=5)
    assert [r["epoch"] for r in longer.inside] == [1, 2, 3, 4, 5]
    assert longer.inside == whole.inside


def test_every_phase_is_inspected_and_shown() -> None:
    graphs = inside_graphs(gan, 4)
    assert list(graphs) == ["inside.judge", "inside.generator"]
    names = {entry: [n for n in g.output_names if n.startswith("gradient/")]
             for entry, g in graphs.items()}
    assert all(n.startswith("gradient/judge/") for n in names["inside.judge"])
    assert all(n.startswith("gradient/generator/") for n in names["inside.generator"])
    values = [n for n in graphs["inside.judge"].output_names if n.startswith("value/")]
    assert "value/judge/dense1" in values and len(values) == len(set(values))


def test_the_report_shows_the_first_and_the_last_record() -> None:
    found = spread(np.random.default_rng(0).normal(size=500))
    records = [{"epoch": e, "phase": "p<", "batches": 4, "norm": 1.0 / e, "curvature": -0.5 * e,
                "values": {"a<b": found}, "gradients": {"w": found}} for e in (1, 2, 7)]
    html = inside_section(records)
    check(html)
    assert "Inside phase p&lt;" in html and "a&lt;b" in html
    assert html.count('class="area faint"') == 2 and html.count('class="area single"') == 2
    assert "grey, after epoch 1" in html and "After epoch 7" in html
    assert inside_section([]) == ""
    check(inside_section(records[:1]))


@pytest.mark.parametrize("values", [[0.0, 0.0], [], [1.0], [3.0, 3.0], [np.nan, np.inf, 1.0],
                                    [0.0, 0.0, 1.0, -2.0], [1e-30, 1e30]])
def test_a_spread_counts_what_is_not_zero(values: list[float]) -> None:
    found = spread(np.array(values))
    finite = [v for v in values if np.isfinite(v)]
    assert len(found["counts"]) == BINS and len(found["edges"]) == BINS + 1
    assert (np.diff(found["edges"]) > 0).all()
    zeros = finite.count(0.0)
    assert found["zeros"] == (zeros / len(finite) if finite else 0.0)
    assert sum(found["counts"]) == len(finite) - zeros
    json.dumps(found, allow_nan=False)


def test_what_cannot_be_inspected_is_refused(rng: np.random.Generator) -> None:
    batches = [data(rng)]
    with pytest.raises(DlcError, match="a stream of batches can't be inspected"):
        least_squares.train(lambda epoch: batches, inspect=True, batch=40)

    def by_hand(x: i32["batch"]) -> dlc.Loss:
        w = dlc.parameter("w", f32[()], dlc.init.zeros)
        dlc.update_state(w, w + 1)
        return dlc.loss(w)

    task = dlc.task(name="counting", batch=2, phases=[dlc.phase("count", by_hand, None)])
    with pytest.raises(DlcError, match="counting has no gradient to inspect"):
        inside_graphs(task, 2)


def test_rows_of_several_lengths_are_padded_without_changing_the_gradient(
        rng: np.random.Generator) -> None:
    """Padded to a bound of 6 and of 11 the gradient and the curvature are the same."""
    rows = [rng.normal(size=(int(n), 2)).astype(np.float32) for n in rng.integers(1, 7, 24)]
    given = {"x": rows, "y": np.array([r.mean() for r in rows], np.float32)[:, None]}
    out = nn.dense(1, name="out")

    def near(x: f32["batch", "time<=6", 2], y: f32["batch", 1]) -> dlc.Loss:
        return dlc.loss(nn.mse(out(dlc.tanh(x).mean(1)), y))

    def far(x: f32["batch", "time<=11", 2], y: f32["batch", 1]) -> dlc.Loss:
        return dlc.loss(nn.mse(out(dlc.tanh(x).mean(1)), y))

    found = [dlc.task(optimizer=optim.sgd(0.1), batch=8, name="lengths")(f).train(
        given, inspect=True).inside[0] for f in (near, far)]
    for key in ("norm", "curvature"):
        # sums of at most 24 terms of size 1, in another order
        np.testing.assert_allclose(found[0][key], found[1][key], rtol=1e-5)
    assert found[0]["norm"] > 0.01
