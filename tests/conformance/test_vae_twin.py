"""models/vae.py against the same autoencoder, optimizer and data in plain PyTorch: the evidence
lower bound of held-out digits, in nats."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.nn import functional

from dlc.cli.source import load_task
from dlc.runtime.data import load_dataset

torch.set_num_threads(1)  # a step is short
pytestmark = pytest.mark.conformance
CODE, EPOCHS, BATCH, RATE = 8, 100, 64, 3e-3


class Twin(torch.nn.Module):
    """64-256-8-256-64, Gaussian codes, Bernoulli pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.ReLU(),
                                          torch.nn.Linear(256, 2 * CODE))
        self.decode = torch.nn.Sequential(torch.nn.Linear(CODE, 256), torch.nn.ReLU(),
                                          torch.nn.Linear(256, 64))

    def forward(self, image: Any) -> Any:
        """The negative evidence lower bound of each row."""
        mean, log_variance = self.encode(image).chunk(2, 1)
        code = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        rebuilt = functional.binary_cross_entropy_with_logits(self.decode(code), image,
                                                              reduction="none").sum(1)
        return rebuilt + 0.5 * (mean ** 2 + log_variance.exp() - 1.0 - log_variance).sum(1)


def trained_twin(seed: int) -> float:
    """The held-out bound after the task's epochs, in its batches and at its rates."""
    torch.manual_seed(seed)
    data = load_dataset("digits8")
    assert data.test is not None
    train, test = (torch.from_numpy(part["image"].reshape(-1, 64)) for part in (data.train,
                                                                                data.test))
    twin = Twin()
    optimizer = torch.optim.Adam(twin.parameters(), RATE)
    steps = EPOCHS * math.ceil(len(train) / BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(train)).split(BATCH):
            optimizer.zero_grad()
            twin(train[rows]).mean().backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        return float(twin(test).mean())


def test_the_bound_is_that_of_a_twin_in_pytorch() -> None:
    """From the same seed: first weights and noise differ, their distributions don't."""
    task = load_task("vae")
    assert (task.epochs, task.batch) == (EPOCHS, BATCH)
    ours, theirs = float(task.train(seed=0).metrics["loss"]), trained_twin(0)
    assert abs(ours - theirs) < 2.0, f"{ours:.2f} nats, PyTorch's twin {theirs:.2f}"
