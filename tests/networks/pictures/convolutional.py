"""Pictures of what a convolutional network looks for: filters, and images that excite a unit."""

from __future__ import annotations

from typing import Any

import numpy as np

import dlc
from dlc import Node, f32
from dlc.models.alexnet import narrow
from dlc.task_training import Trained
from tests.networks.pictures.classic import Runs, line
from tests.networks.pictures.sheet import Array, Curves, Panel, Tiles

STEPS, RATE, DECAY = 300, 0.02, 0.003


def climbed(image: f32[10, 1, 28, 28]) -> Node:
    """Images that excite the ten outputs, one each, by gradient ascent with decay (Erhan et al.
    2009, Simonyan et al. 2013)."""
    def excitement(x: Node) -> Node:
        total: Node = dlc.diagonal(narrow(x)).sum()
        return total

    def step(_: Node, x: Node) -> Node:
        slope = dlc.grad(excitement)(x)
        size = dlc.sqrt(dlc.square(slope).mean((1, 2, 3), keepdims=True)) + 1e-8
        return dlc.clip((1.0 - DECAY) * x + RATE * slope / size, 0.0, 1.0)

    found: Node = dlc.fori(STEPS, step, image)
    return found


def exciting(trained: Trained) -> Array:
    """f32[10, 28, 28]: what the trained network would like best to see for each digit."""
    with dlc.compile(climbed).load() as run:
        for port in run.compiled.program.persistent:
            if port.role == "param":
                run.write(port.name, trained.values[port.name])
        return np.asarray(run(image=np.full((10, 1, 28, 28), 0.1, np.float32)))[:, 0]


def alexnet(runs: Runs) -> list[Panel]:
    (trained,) = runs.values()
    weight = next(v for v in trained.values.values() if v.ndim == 4)
    return [Curves("accuracy", "epoch", {"": line(trained, "accuracy", "test")}),
            Tiles("first filters", weight[:, 0], 4, True),
            Tiles("what excites the outputs 0 to 9 most", exciting(trained), 5)]


DRAWERS: dict[str, Any] = {"alexnet": alexnet}
