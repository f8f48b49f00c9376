"""The bundled models: what they hold, how long they take to build, and that they learn."""

from __future__ import annotations

import importlib
import json
import time
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.derive.autodiff import expand_higher
from dlc.ir.graph import Build, building
from dlc.reference.evaluate import run
from dlc.runtime.data import load_dataset
from dlc.runtime.data.batches import epoch_order

NAMES = ["linear_regression", "logistic_regression", "xor", "mlp", "lenet"]
PARAMETERS = {"linear_regression": 9, "logistic_regression": 650, "xor": 33, "mlp": 669706,
              "lenet": 61706}


def model(name: str) -> dlc.Task:
    found: dlc.Task = getattr(importlib.import_module(f"dlc.models.{name}"), name)
    return found


def outputs(graph: dlc.Graph, values: dict[str, Any]) -> dict[str, Any]:
    found = run(graph, [values[n.attrs["label"]] for n in graph.inputs])
    return dict(zip(graph.output_names, found, strict=True))


def train(task: dlc.Task, epochs: int, seed: int = 0, limit: int | None = None) -> dict[str, Any]:
    """Metrics on the held-out data after training with the evaluator alone."""
    graphs, data = task.graphs(), load_dataset(task.data)
    values = task.initial_values(graphs, seed)
    count = limit or data.samples
    with building(Build()):
        step = graphs["train"].with_outputs(expand_higher(graphs["train"].outputs))
    if "steps_per_epoch" in values:
        values["steps_per_epoch"] = np.int32(count // task.batch)
    for epoch in range(epochs):
        order = epoch_order(seed, epoch, count)
        for start in range(0, count - task.batch + 1, task.batch):
            rows = order[start:start + task.batch]
            batch = {k: v[rows] for k, v in data.train.items()}
            out = outputs(step, {**values, **batch})
            assert out["fault"] == 0
            values.update({k: out[k] for k in graphs["train"].updates})
    assert data.test is not None
    whole = task.graphs(batch=data.test_samples)["eval"]
    return outputs(whole, {**values, **data.test})


@pytest.mark.parametrize("name", NAMES)
def test_model_is_complete(name: str) -> None:
    """Named data that exists and fits, named parameters, metrics, a place in the file for each."""
    task = model(name)
    graphs = task.graphs()
    meta = task.meta(graphs)
    assert meta["parameters"] == PARAMETERS[name]
    assert json.dumps(meta)
    data = load_dataset(task.data)
    for node in graphs["eval"].inputs:
        if node.attrs["role"] == "data":
            assert data.train[node.attrs["label"]].shape[1:] == node.shape[1:]
    for parameter in meta["parameter_types"].values():
        assert parameter["loc"].startswith(f"models/{name}.py:")
    assert meta["target"] in data.train


@pytest.mark.parametrize("name", NAMES)
def test_every_node_serves_a_line_of_the_model(name: str) -> None:
    for graph in model(name).graphs().values():
        for node in graph.nodes():
            if node.attrs.get("role") != "state":
                assert any(str(loc).startswith(f"models/{name}.py:") for loc in node.locs), node


def test_linear_regression_finds_the_weights_it_was_drawn_from() -> None:
    out = train(model("linear_regression"), 20)
    # the noise has standard deviation 0.1: no line does better than 0.01
    assert 0.008 < out["loss"] < 0.012


def test_logistic_regression_learns_the_digits() -> None:
    assert train(model("logistic_regression"), 12)["accuracy"] > 0.94


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_xor_is_learned(seed: int) -> None:
    assert train(model("xor"), 150, seed)["accuracy"] == 1


@pytest.mark.sliced
@pytest.mark.conformance
def test_mlp_learns_the_digits() -> None:
    assert train(model("mlp"), 4, limit=640)["accuracy"] > 0.8


@pytest.mark.sliced
@pytest.mark.conformance
def test_lenet_steps_lower_the_loss() -> None:
    """Four passes over 128 images, augmentation and all, in the evaluator."""
    task = model("lenet")
    before = train(task, 0, limit=128)["loss"]
    after = train(task, 4, limit=128)["loss"]
    assert after < before - 0.1


def test_lenet_without_augmentation_and_with_another_rate() -> None:
    task = model("lenet").with_options(augment="false", lr="0.002")
    graph = task.graphs()["train"]
    assert "random_bits" not in {n.op.name for n in graph.nodes()}
    assert "steps_per_epoch" not in {n.attrs["label"] for n in graph.inputs}


def test_lenet_graphs_build_fast() -> None:
    """Both graphs in well under 0.15 s of processor time: a warm start has half a second for
    everything."""
    task = model("lenet")
    task.graphs()
    times = []
    for _ in range(5):
        start = time.process_time()
        task.graphs()
        times.append(time.process_time() - start)
    assert min(times) < 0.15
