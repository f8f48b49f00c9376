"""Whole training steps against PyTorch: the same first values and batches, every optimizer.

LeNet without augmentation. The losses agree to a few units in the last place of f32 over the steps,
so rules, bias corrections, clipping order and initial layout are PyTorch's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import optim
from dlc.graph import Build, building
from dlc.models.lenet import lenet
from dlc.ops.autodiff import expand_higher
from dlc.runtime.data import load_dataset

pytestmark = pytest.mark.conformance
STEPS, BATCH = 8, 32
LAYERS = ("conv1", "conv2", "dense1", "dense2", "dense3")


def cases() -> dict[str, tuple[optim.Optimizer, Callable[[Any, Any], Any], float | None]]:
    """Name -> (ours, PyTorch's given torch and the parameters, clip by norm or None)."""
    clip = optim.clip_by_norm(0.5)
    return {
        "sgd": (optim.sgd(0.1), lambda t, p: t.optim.SGD(p, 0.1), None),
        "sgd decayed": (optim.sgd(0.1, weight_decay=1e-2),
                        lambda t, p: t.optim.SGD(p, 0.1, weight_decay=1e-2), None),
        "momentum": (optim.momentum(0.05), lambda t, p: t.optim.SGD(p, 0.05, momentum=0.9), None),
        "nesterov clipped": (
            optim.nesterov(0.05, weight_decay=1e-3, clip=clip),
            lambda t, p: t.optim.SGD(p, 0.05, momentum=0.9, nesterov=True, weight_decay=1e-3), 0.5),
        "adam": (optim.adam(2e-3), lambda t, p: t.optim.Adam(p, 2e-3), None),
        "adam decayed": (optim.adam(2e-3, weight_decay=1e-2),
                         lambda t, p: t.optim.Adam(p, 2e-3, weight_decay=1e-2), None),
        "adamw": (optim.adamw(2e-3), lambda t, p: t.optim.AdamW(p, 2e-3), None),
    }


def ours(optimizer: optim.Optimizer, data: dict[str, Any]) -> tuple[list[float], dict[str, Any]]:
    """(losses of the steps, first values)."""
    phases = tuple(replace(p, optimizer=optimizer) for p in lenet.phases)
    task = replace(lenet, phases=phases, augment=None)
    graphs = task.graphs(batch=BATCH)
    values = task.initial_values(graphs, 0)
    first = dict(values)
    with building(Build()):
        step = graphs["train"].with_outputs(expand_higher(graphs["train"].outputs))
    losses = []
    for i in range(STEPS):
        batch = {k: v[i * BATCH:(i + 1) * BATCH] for k, v in data.items()}
        out = dlc.evaluate(step, **batch, **values)
        values.update({k: out[k] for k in step.updates})
        losses.append(float(out["loss"]))
    return losses, first


def twin(torch: Any, first: dict[str, Any]) -> Any:
    """The same network in PyTorch with the same first values."""
    nn, act = torch.nn, torch.nn.Tanh
    net = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), act(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), act(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(400, 120), act(), nn.Linear(120, 84), act(),
        nn.Linear(84, 10))
    made = [m for m in net if hasattr(m, "weight")]
    with torch.no_grad():
        for name, module in zip(LAYERS, made, strict=True):
            weight = first[f"{name}.weight"]
            module.weight.copy_(torch.tensor(weight.T if weight.ndim == 2 else weight))
            module.bias.copy_(torch.tensor(first[f"{name}.bias"]))
    return net


@pytest.mark.parametrize("name", cases())
def test_steps_follow_pytorch(name: str) -> None:
    import torch

    optimizer, make, limit = cases()[name]
    data = {k: v[:STEPS * BATCH] for k, v in load_dataset("digits").train.items()}
    losses, first = ours(optimizer, data)
    net = twin(torch, first)
    theirs = make(torch, net.parameters())
    expected = []
    for i in range(STEPS):
        rows = slice(i * BATCH, (i + 1) * BATCH)
        image, label = (torch.tensor(data[k][rows]) for k in ("image", "label"))
        loss = torch.nn.functional.cross_entropy(net(image), label.long())
        theirs.zero_grad()
        loss.backward()
        if limit is not None:
            torch.nn.utils.clip_grad_norm_(net.parameters(), limit)
        theirs.step()
        expected.append(loss.item())
    np.testing.assert_allclose(losses, expected, rtol=2e-6)
