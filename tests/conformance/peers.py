"""Twenty steps of the eight networks in dlc and in PyTorch, from PyTorch's weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

import dlc
from dlc.models import peers
from dlc.runtime.bench import peers_torch, start
from dlc.runtime.bench.own import turned
from dlc.runtime.bench.systems import BATCH
from tests.conformance import cut

SEED = 20263
DEEP = ("vgg", "resnet18")
Array = np.ndarray[Any, Any]


def steps(name: str) -> int:
    """20; in the cut of the day 3 of the deep networks, whose 20 take PyTorch minutes in f64."""
    return 3 if name in DEEP and not cut.FULL else 20


@dataclass
class Course:
    """What 20 steps gave: each step's loss, the gradients of the first and the parameters after the
    last, as PyTorch has them, in f64."""

    losses: list[float] = field(default_factory=list)
    gradients: dict[str, Array] = field(default_factory=dict)
    parameters: dict[str, Array] = field(default_factory=dict)

    def from_(self, other: Course) -> tuple[float, float]:
        """How far it is from `other`: the largest relative difference of a loss, and the relative
        difference of all parameters together, by their 2-norm."""
        mine, its = np.array(self.losses), np.array(other.losses)
        apart = sum(float(((self.parameters[k] - v) ** 2).sum())
                    for k, v in other.parameters.items())
        whole = sum(float((v ** 2).sum()) for v in other.parameters.values())
        return float(np.max(np.abs(mine - its) / np.abs(its))), (apart / whole) ** 0.5

    def slopes_from(self, other: Course) -> dict[str, float]:
        """The relative difference of each parameter's first gradient, by its 2-norm."""
        return {k: float(np.linalg.norm(self.gradients[k] - g) / np.linalg.norm(g))
                for k, g in other.gradients.items()}

    def worst(self, other: Course) -> tuple[float, str]:
        """(largest difference of an element over the largest of its parameter, which one)."""
        return max((float(np.max(np.abs(self.parameters[k] - v)) / np.max(np.abs(v))), k)
                   for k, v in other.parameters.items())


def batches(name: str) -> Iterator[list[torch.Tensor]]:
    """Other data in each step; the noise of `vae` is the last."""
    data = np.random.default_rng(SEED)
    for _ in range(steps(name)):
        inputs = peers_torch.tensors(start.inputs(name, BATCH[name], data))
        if name == "vae":
            noise = data.normal(size=(BATCH[name], peers.CODE)).astype(np.float32)
            inputs.append(torch.from_numpy(noise))
        yield inputs


def network(name: str, other: int = 0) -> torch.nn.Module:
    """The network with its first weights, or with each a unit in its last place beside."""
    torch.manual_seed(SEED)
    net = peers_torch.NETWORKS[name]()
    draw = torch.Generator().manual_seed(other)
    with torch.no_grad():
        for p in net.parameters() if other else ():
            up = torch.randint(0, 2, p.shape, generator=draw) * 2.0 - 1.0
            p.copy_(torch.nextafter(p, up * torch.inf))
    return net


def in_kind(tensor: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
    return tensor.to(kind) if tensor.is_floating_point() else tensor


def by_torch(name: str, kind: torch.dtype, other: int = 0) -> Course:
    """PyTorch's own course, in `kind`, from its first weights or from others next to them."""
    net, course = network(name, other).to(kind), Course()
    loss_of = peers_torch.loss_of(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for inputs in batches(name):
        optimizer.zero_grad()
        loss = loss_of(*(in_kind(t, kind) for t in inputs))
        loss.backward()
        if not course.losses:
            course.gradients = {k: p.grad.numpy().astype(np.float64)
                                for k, p in net.named_parameters()}
        optimizer.step()
        course.losses.append(float(loss.detach()))
    course.parameters = {k: p.detach().numpy().astype(np.float64)
                         for k, p in net.named_parameters()}
    return course


def by_dlc(name: str, kind: Any) -> Course:
    """The compiled task's course from the same weights, in `kind`, on two threads."""
    make = peers.vae_with_noise if name == "vae" else peers.NETWORKS[name]
    compiled, course = dlc.compile(make(kind)), Course()
    ports = [p.name for p in compiled.program.persistent if p.role == "param"]
    theirs = dict(network(name).named_parameters())
    assert len(ports) == len(theirs)
    with compiled.load(threads=2) as program:
        for port, tensor in zip(ports, theirs.values(), strict=True):
            program.write(port, turned(port, tensor.detach().numpy()).astype(kind.numpy))
        for inputs in batches(name):
            arrays = [t.numpy() for t in inputs]
            shapes = [tuple(map(int, p.type.shape)) for p in data_ports(compiled)]
            arrays = [as_dlc(a, s, kind) for a, s in zip(arrays, shapes, strict=True)]
            course.losses.append(float(program(*arrays, entry="train")["loss"]))
            if not course.gradients:  # Adam's first moment is a tenth of the gradient
                course.gradients = {k: 10 * turned(port, program.read(f"adam.m/{port}")).astype(
                    np.float64) for port, k in zip(ports, theirs, strict=True)}
        course.parameters = {k: turned(port, program.read(port)).astype(np.float64)
                             for port, k in zip(ports, theirs, strict=True)}
    return course


def data_ports(compiled: Any) -> list[Any]:
    return [p for p in compiled.program.entries["train"].inputs if p.role == "data"]


def as_dlc(array: Array, shape: tuple[int, ...], kind: Any) -> Array:
    """Floats in `kind`, class numbers as i32, labels of texts by sample."""
    dtype = kind.numpy if array.dtype.kind == "f" else np.int32
    return array.reshape(shape).astype(dtype)
