"""The benchmark's networks in PyTorch: a training step with Adam, eager or compiled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

INPUT = {"mlp": (784,), "lenet": (1, 28, 28)}


def network(model: str) -> nn.Sequential:
    """The network called `model`; raises KeyError when there is none."""
    layers = {
        "mlp": lambda: [
            nn.Linear(784, 512), nn.ReLU(),
            nn.Linear(512, 512), nn.ReLU(),
            nn.Linear(512, 10),
        ],
        "lenet": lambda: [
            nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(400, 120), nn.Tanh(),
            nn.Linear(120, 84), nn.Tanh(),
            nn.Linear(84, 10),
        ],
    }
    return nn.Sequential(*layers[model]())


def build(
    model: str, batch: int, threads: int, compiled: bool
) -> tuple[Callable[[int], float], int, int, str]:
    """(steps, parameters, batch, version) of `model`; `compiled` puts the loss under torch.compile.

    The backward graph is compiled with it; the optimizer is PyTorch's own, as its users run it.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    data = np.random.default_rng(0)
    image = torch.from_numpy(data.random((batch, *INPUT[model]), np.float32))
    label = torch.from_numpy(data.integers(0, 10, batch))
    net = network(model)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def loss_of(image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(net(image), label)

    forward = torch.compile(loss_of) if compiled else loss_of

    def steps(count: int) -> float:
        for _ in range(count):
            optimizer.zero_grad(set_to_none=True)
            loss = forward(image, label)
            loss.backward()
            optimizer.step()
        return float(loss.item())

    return steps, sum(p.numel() for p in net.parameters()), batch, str(torch.__version__)
