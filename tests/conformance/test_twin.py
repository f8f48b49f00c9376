"""LeNet beside its twin in PyTorch: the same first values and batches, step by step and trained."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import dlc
from dlc import optim
from dlc.models.lenet import lenet
from dlc.runtime.data import load_dataset
from dlc.runtime.data.batches import epoch_order

torch.set_num_threads(1)  # a step is short; results do not depend on it
pytestmark = pytest.mark.conformance
LAYERS = ("conv1", "conv2", "dense1", "dense2", "dense3")
BATCH, STEPS = 64, 30
# The short training: epochs, seeds, and how far apart the mean accuracies on 360 images may be.
EPOCHS, SEEDS, APART = 8, (0, 1, 2), 0.005


def twin(first: dict[str, Any]) -> torch.nn.Sequential:
    """LeNet in PyTorch with dlc's first values; the weights of dense layers are transposed."""
    nn, act = torch.nn, torch.nn.Tanh
    net = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), act(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), act(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(400, 120), act(), nn.Linear(120, 84), act(),
        nn.Linear(84, 10))
    made = [m for m in net if hasattr(m, "weight")]
    with torch.no_grad():
        for name, module in zip(LAYERS, made, strict=True):
            weight = np.asarray(first[f"{name}.weight"])
            module.weight.copy_(torch.tensor(weight.T if weight.ndim == 2 else weight))
            module.bias.copy_(torch.tensor(np.asarray(first[f"{name}.bias"])))
    return net


def plain(optimizer: optim.Optimizer) -> dlc.Task:
    """LeNet without augmentation, with another optimizer."""
    return replace(lenet, augment=None,
                   phases=tuple(replace(p, optimizer=optimizer) for p in lenet.phases))


class Pair:
    """Both networks from one seed, ready for the same batches."""

    def __init__(self, ours: optim.Optimizer, theirs: Callable[[Any], Any], seed: int,
                 clip: float | None = None) -> None:
        compiled = dlc.compile(plain(ours), batch=BATCH)
        self.data = load_dataset("digits")
        self.program = compiled.load(threads=1, seed=seed)
        self.net = twin(dict(compiled.initial_values(seed)))
        self.optimizer, self.clip = theirs(self.net.parameters()), clip

    def step(self, rows: np.ndarray) -> tuple[float, float]:
        """One step of both on the same rows: (dlc's loss, PyTorch's)."""
        image, label = self.data.train["image"][rows], self.data.train["label"][rows]
        ours = self.program(image, label, entry="train")["loss"]
        loss = torch.nn.functional.cross_entropy(self.net(torch.tensor(image)),
                                                 torch.tensor(label).long())
        self.optimizer.zero_grad()
        loss.backward()
        if self.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.clip)
        self.optimizer.step()
        return float(ours), loss.item()

    def accuracies(self) -> tuple[float, float]:
        """The share of held-out digits that each gets right; dlc's weights are read into torch."""
        assert self.data.test is not None
        image = torch.tensor(self.data.test["image"])
        label = self.data.test["label"]
        ours = twin({f"{name}.{part}": self.program.read(f"{name}.{part}")
                     for name in LAYERS for part in ("weight", "bias")})
        with torch.no_grad():
            found = [net(image).argmax(1).numpy() for net in (ours, self.net)]
        return float((found[0] == label).mean()), float((found[1] == label).mean())

    def rows(self, seed: int, epoch: int) -> list[np.ndarray]:
        """The batches of an epoch, the smaller last one left out."""
        order = epoch_order(seed, epoch, self.data.samples)
        return [order[i:i + BATCH] for i in range(0, len(order) - BATCH + 1, BATCH)]


def cases() -> dict[str, tuple[Any, ...]]:
    """Name -> (dlc's optimizer, PyTorch's, clip by norm or None)."""
    of, clip = torch.optim, optim.clip_by_norm(0.5)
    return {
        "sgd": (optim.sgd(0.1), lambda p: of.SGD(p, 0.1), None),
        "momentum": (optim.momentum(0.05), lambda p: of.SGD(p, 0.05, momentum=0.9), None),
        "nesterov clipped": (
            optim.nesterov(0.05, weight_decay=1e-3, clip=clip),
            lambda p: of.SGD(p, 0.05, momentum=0.9, nesterov=True, weight_decay=1e-3), 0.5),
        "adam": (optim.adam(2e-3), lambda p: of.Adam(p, 2e-3), None),
        "adam decayed": (optim.adam(2e-3, weight_decay=1e-2),
                         lambda p: of.Adam(p, 2e-3, weight_decay=1e-2), None),
        "adamw": (optim.adamw(2e-3), lambda p: of.AdamW(p, 2e-3), None),
    }


@pytest.mark.sliced
@pytest.mark.parametrize("name", cases())
def test_loss_follows_pytorch(name: str) -> None:
    """30 compiled steps: each loss equals PyTorch's, within rounding that grows by the step."""
    ours, theirs, clip = cases()[name]
    pair = Pair(ours, theirs, 0, clip)
    batches = [r for epoch in range(2) for r in pair.rows(0, epoch)][:STEPS]
    losses = np.array([pair.step(rows) for rows in batches])
    pair.program.close()
    apart = np.abs(losses[:, 0] / losses[:, 1] - 1)
    print(f"LeNet, {name}: losses of {STEPS} steps within {apart.max():.1e} of PyTorch's; "
          f"{losses[0, 0]:.4f} to {losses[-1, 0]:.4f}")
    assert len(apart) == STEPS and losses[-1, 1] < losses[0, 1]
    assert (apart <= 1e-6 + 1e-6 * np.arange(STEPS)).all(), apart


@pytest.mark.slow
@pytest.mark.sliced
def test_trained_without_augmentation() -> None:
    """Adam at 2e-3, 8 epochs, three seeds: mean accuracies within .005 of each other."""
    began, found = time.perf_counter(), []
    for seed in SEEDS:
        pair = Pair(optim.adam(2e-3), lambda p: torch.optim.Adam(p, 2e-3), seed)
        for epoch in range(EPOCHS):
            for rows in pair.rows(seed, epoch):
                pair.step(rows)
        found.append(pair.accuracies())
        pair.program.close()
    ours, theirs = np.mean(found, 0)
    print(f"LeNet without augmentation, {EPOCHS} epochs, seeds {SEEDS}: accuracy {ours:.4f}, "
          f"PyTorch's twin {theirs:.4f} ({time.perf_counter() - began:.0f} s)")
    assert theirs > 0.93
    assert abs(ours - theirs) <= APART
