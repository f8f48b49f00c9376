"""One training step of a network in full size, in dlc and in PyTorch, in a process of its own:

    python -m tests.conformance.full_size NAME

prints a line of JSON: bytes planned, allocated, and of the process; losses; errors of the gradient.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import dlc
from dlc.models import alexnet, resnet
from dlc.nn import Layer
from tests.conformance.peers import turned
from tests.networks.full_size import classified

SEED, BATCH = 7, 2
Array = np.ndarray[Any, Any]


def one_tower() -> nn.Module:
    """AlexNet without groups, as torchvision's, without dropout."""
    def conv(before: int, after: int, kernel: int, **options: int) -> list[nn.Module]:
        return [nn.Conv2d(before, after, kernel, **options), nn.ReLU()]

    return nn.Sequential(
        *conv(3, 64, 11, stride=4, padding=2), nn.MaxPool2d(3, 2),
        *conv(64, 192, 5, padding=2), nn.MaxPool2d(3, 2),
        *conv(192, 384, 3, padding=1), *conv(384, 256, 3, padding=1),
        *conv(256, 256, 3, padding=1), nn.MaxPool2d(3, 2), nn.Flatten(),
        nn.Linear(9216, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000))


class Bottleneck(nn.Module):
    """Convolutions of 1x1, 3x3 and 1x1 beside x, or a convolution of it."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width))
        wide = before != 4 * width
        self.shortcut = nn.Sequential(
            nn.Conv2d(before, 4 * width, 1, stride, bias=False),
            nn.BatchNorm2d(4 * width)) if wide else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


def resnet152() -> nn.Module:
    parts: list[nn.Module] = []
    before = 64
    for at, count in enumerate((3, 8, 36, 3)):
        for k in range(count):
            parts.append(Bottleneck(before, 64 << at, 2 if at and not k else 1))
            before = 4 * (64 << at)
    return nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        nn.MaxPool2d(3, 2, 1), *parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(2048, 1000))


# name: (the network in dlc, its twin)
TWINS: dict[str, tuple[Callable[[], Layer], Callable[[], nn.Module]]] = {
    "alexnet": (lambda: alexnet.one_tower(drop=0.0), one_tower),
    "resnet152": (lambda: resnet.residual_network(152), resnet152),
}


def by_torch(net: nn.Module, image: Array, label: Array, kind: torch.dtype,
             ) -> tuple[Array, float, list[Array]]:
    """(logits, loss, gradients of all parameters) in `kind`."""
    net = net.to(kind)
    logits = net(torch.from_numpy(image).to(kind))
    loss = F.cross_entropy(logits, torch.from_numpy(label).long())
    loss.backward()
    gradients = [p.grad.numpy().copy() for p in net.parameters() if p.grad is not None]
    net.zero_grad()
    return logits.detach().numpy(), float(loss.detach()), gradients


def by_dlc(name: str, theirs: list[Array], image: Array, label: Array) -> dict[str, Any]:
    """A step of plain descent at rate 1 from the same weights: the loss, the gradients as the
    change of the weights, and the memory that it was to take and took."""
    compiled = dlc.compile(classified(TWINS[name][0](), BATCH))
    ports = [p.name for p in compiled.program.persistent if p.role == "param"]
    assert len(ports) == len(theirs)
    with compiled.load(threads=2) as program:
        for port, array in zip(ports, theirs, strict=True):
            program.write(port, turned(port, array))
        loss = float(program(image, label, entry="train")["loss"])
        after = [turned(port, program.read(port)) for port in ports]
        return {"loss": loss, "planned": compiled.peak_bytes, "allocated": program.allocated_bytes,
                "gradients": [a - b for a, b in zip(theirs, after, strict=True)]}


def apart(found: list[Array], right: list[Array]) -> float:
    """The relative difference of all gradients together, by their 2-norm."""
    difference = sum(float(np.sum((f.astype(np.float64) - r) ** 2))
                     for f, r in zip(found, right, strict=True))
    return float((difference / sum(float(np.sum(r ** 2)) for r in right)) ** 0.5)


def main(name: str) -> None:
    """Both steps, the same data and weights; PyTorch's in f32 and f64."""
    torch.manual_seed(SEED)
    net, data = TWINS[name][1](), np.random.default_rng(SEED)
    image = data.random((BATCH, 3, 224, 224), np.float32)
    label = data.integers(0, 1000, BATCH).astype(np.int32)
    ours = by_dlc(name, [p.detach().numpy().copy() for p in net.parameters()], image, label)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    narrow, wide = (by_torch(net, image, label, kind) for kind in (torch.float32, torch.float64))
    print(json.dumps({
        "planned": ours["planned"], "allocated": ours["allocated"], "process": memory,
        "loss": ours["loss"], "exact": wide[1], "peer": narrow[1],
        "logits": float(np.abs(narrow[0] - wide[0]).max()),
        "gradient": apart(ours["gradients"], wide[2]), "peer_gradient": apart(narrow[2], wide[2])}))


if __name__ == "__main__":
    main(sys.argv[1])
