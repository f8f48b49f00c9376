"""Pictures of the linear models, the perceptrons and the nets of 1986."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from dlc.cli.source import load_task
from dlc.runtime.data import load_dataset
from dlc.task_training import Trained
from tests.networks.pictures.sheet import Array, Curves, Panel, Region, Tiles

Runs = Mapping[str, Trained]


def line(trained: Trained, metric: str, part: str = "train") -> tuple[list[float], list[float]]:
    """(epochs, values) of a metric over a run."""
    records = [r for r in trained.history if r.get(part) and metric in r[part]]
    return [float(r["epoch"]) for r in records], [float(r[part][metric]) for r in records]


def predicted(trained: Trained, x: Array) -> Array:
    """What a network says of rows x, f32[n]."""
    return np.asarray(trained.network.predict(x)).reshape(len(x))


def perceptron(runs: Runs) -> list[Panel]:
    return [Curves("share of samples on the right side", "pass", {
        "iris setosa": line(runs["perceptron"], "rule.accuracy"),
        "exclusive or": tuple(part[:10] for part in line(runs["perceptron_xor"], "rule.accuracy")),
    }, y=(0.0, 1.0))]


def adaline(runs: Runs) -> list[Panel]:
    weight = next(iter(runs["adaline"].values.values()))
    return [Curves("echo return loss in dB", "pass", {"": line(runs["adaline"], "erle")},
                   y=(0.0, 50.0)),
            Curves("the filter: the room's response", "samples of delay",
                   {"": (range(weight.size), weight.ravel().tolist())})]


def least_squares(runs: Runs) -> list[Panel]:
    weights = {name: trained.values["weight"].ravel() for name, trained in runs.items()
               if "weight" in trained.values and trained.values["weight"].size == 10}
    return [Curves("coefficients of the ten columns", "column", dots={
        name: (range(10), values.tolist()) for name, values in weights.items()})]


def linear_regression(runs: Runs) -> list[Panel]:
    (trained,) = runs.values()
    data = load_dataset("linear")
    rows = data.test or data.train
    return [Curves("predicted against true", "true value", dots={
        "": (rows["y"].ravel(), predicted(trained, rows["x"]))})]


def polynomial(runs: Runs) -> list[Panel]:
    data = load_dataset("quadratic").train
    grid = np.linspace(data["x"].min(), data["x"].max(), 200, dtype=np.float32)[:, None]
    return [Curves(f"degree {name.rpartition('_')[2]}", "x",
                   {"fit": (grid[:, 0], predicted(trained, grid))},
                   {"data": (data["x"][:, 0], data["y"][:, 0])}, y=(-1.0, 2.0), log=False)
            for name, trained in runs.items()]


def steps(runs: Runs) -> list[Panel]:
    grid = np.linspace(0, 1, 1200, dtype=np.float32)[:, None]
    data = load_dataset("wave").train
    order = np.argsort(data["x"][:, 0])
    return [Curves("fifty steps add up to a curve", "x", {
        "curve": (data["x"][order, 0], data["y"][order, 0]),
        "steps": (grid[:, 0], predicted(runs["steps"], grid))}, log=False)]


def digits(runs: Runs) -> list[Panel]:
    """A weight map for each class."""
    (trained,) = runs.values()
    weight = next(v for v in trained.values.values() if v.ndim == 2)
    return [Tiles("weights of the ten classes", weight.T.reshape(-1, 8, 8), 5, True,
                  "blue speaks for the class, orange against it"),
            Curves("accuracy", "epoch", {"training": line(trained, "accuracy"),
                                         "test": line(trained, "accuracy", "test")})]


CORNERS = ([[0, 0], [1, 1]], [[0, 1], [1, 0]])


def regions(runs: Runs) -> list[Panel]:
    """What each network says of the plane around the four cases."""
    side = np.linspace(-0.5, 1.5, 80, dtype=np.float32)
    plane = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    dots = {str(k): tuple(np.array(part, float).T.tolist()) for k, part in enumerate(CORNERS)}
    shades = {name: predicted(trained, plane) for name, trained in runs.items()}
    return [Region(name, np.clip(probability(shade), 0, 1).reshape(80, 80), (-0.5, 1.5),
                   (-0.5, 1.5), dots) for name, shade in shades.items()]


def probability(values: Array) -> Array:
    """Logits (which leave 0 .. 1 on both sides) as probabilities."""
    if values.min() < -1.5 or values.max() > 2.5:
        return 1 / (1 + np.exp(-values))
    return values


def mirror(runs: Runs) -> list[Panel]:
    (trained,) = runs.values()
    weight = next(v for v in trained.values.values() if v.shape == (6, 2))
    lines = {f"unit {k + 1}": (range(1, 7), weight[:, k].tolist()) for k in range(2)}
    top = 1.6 * float(np.abs(weight).max())
    return [Curves("weights of both units: mirrored bits cancel", "bit", lines, y=(-top, top))]


def encoder(runs: Runs) -> list[Panel]:
    (trained,) = runs.values()
    weight = next(v for v in trained.values.values() if v.shape == (8, 3))
    bias = next(v for v in trained.values.values() if v.shape == (3,))
    codes = 1 / (1 + np.exp(-(weight + bias)))
    order = np.argsort(codes.round() @ np.array([4, 2, 1]), kind="stable")
    return [Tiles("the codes of the eight patterns", codes[order][None], 1,
                  words="a row a pattern, a column a hidden unit")]


WIDTHS = (4, 8, 14, 20, 26, 40, 80, 256)


def width(runs: Runs) -> list[Panel]:
    """The error of networks of eight widths after training, on both parts of the data."""
    task = load_task("width_below")
    trained = [task.with_options(units=units).train(seed=0) for units in WIDTHS]
    at = [math.log2(units) for units in WIDTHS]
    ends = {name: [line(each, "loss", part)[1][-1] for each in trained]
            for name, part in (("training", "train"), ("test", "test"))}
    return [Curves("squared error after training", "log2 of the number of hidden units",
                   {name: (at, values) for name, values in ends.items()}, log=False),
            Curves("test error of the three networks", "epoch", {
                name: line(each, "loss", "test") for name, each in runs.items()})]


DRAWERS: dict[str, Any] = {
    "perceptron": perceptron, "adaline": adaline, "linear_regression": linear_regression,
    "regression": least_squares, "polynomial": polynomial, "logistic_regression": digits,
    "steps": steps, "width": width, "xor": regions, "xor_nets": regions, "mirror": mirror,
    "encoder": encoder,
}


