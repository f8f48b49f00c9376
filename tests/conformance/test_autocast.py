"""precision="bf16" beside torch.autocast: the same operators compute low, and losses and gradients
of a small CNN and a transformer block are within one error budget of f64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import dlc
from dlc import f32, i32, nn, optim
from dlc.ir.graph import Graph
from dlc.ir.types import Type, bf16, f64
from dlc.ops import elementwise
from dlc.reference.evaluate import run
from tests.fuzzing.retyped import retyped, retyped_arrays
from tests.precision.budget import along, budget, gradients_of, loss_of

torch.set_num_threads(1)
pytestmark = pytest.mark.conformance
RNG = np.random.default_rng(5)
X = RNG.normal(size=(4, 4)).astype(np.float32)
W = RNG.normal(size=(4, 4)).astype(np.float32)
Tensor = torch.Tensor

# --- decisions ------------------------------------------------------------------------------------

# of a value that is low, in both systems; in torch `y` is bf16, in dlc the result of a product
PAIRS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "matmul": (lambda y: y @ y, lambda y: y @ y),
    "linear": (lambda y: F.linear(y, torch.tensor(W)), lambda y: y @ W.T),
    "conv": (lambda y: F.conv1d(y[None], torch.ones(4, 4, 1))[0],
             lambda y: dlc.conv(y[None], np.ones((4, 4, 1), np.float32))[0]),
    "relu": (F.relu, dlc.relu), "tanh": (torch.tanh, dlc.tanh),
    "sigmoid": (torch.sigmoid, dlc.sigmoid), "gelu": (F.gelu, nn.gelu), "silu": (F.silu, nn.silu),
    "erf": (torch.erf, dlc.erf), "sin": (torch.sin, dlc.sin), "neg": (torch.neg, lambda y: -y),
    "abs": (torch.abs, dlc.abs), "sqrt": (torch.sqrt, dlc.sqrt),
    "mul": (lambda y: y * y, lambda y: y * y), "scale": (lambda y: y * 0.5, lambda y: y * 0.5),
    "add_f32": (lambda y: y + torch.tensor(X), lambda y: y + dlc.exp(y * 0.0)),
    "max_pool": (lambda y: F.max_pool1d(y[None], 1)[0], lambda y: dlc.max_pool(y[None], (1,))[0]),
    "amax": (lambda y: y.amax(1, keepdim=True) + 0 * y, lambda y: y.max(1, keepdims=True) + 0 * y),
    "transpose": (lambda y: y.T, lambda y: y.T), "where": (
        lambda y: torch.where(y > 0, y, 0.0), lambda y: dlc.where(y > 0, y, 0.0)),
    "cat": (lambda y: torch.cat([y[:2], y[2:]]), lambda y: dlc.concat([y[:2], y[2:]])),
    "cat_f32": (lambda y: torch.cat([y[:2], torch.tensor(X)[:2]]),
                lambda y: dlc.concat([y[:2], dlc.exp(y[2:])])),
    "mse": (lambda y: F.mse_loss(y, y) + 0 * torch.tensor(X), lambda y: nn.mse(y, y) + 0 * y),
    "prod": (lambda y: y.prod(1, keepdim=True) + 0 * torch.tensor(X),
             lambda y: dlc.prod(y, 1, keepdims=True) + 0 * y),
    "exp": (torch.exp, dlc.exp), "log": (torch.log, dlc.log), "pow": (lambda y: y ** 2.5,
                                                                     lambda y: y ** 2.5),
    "rsqrt": (torch.rsqrt, dlc.rsqrt), "softmax": (lambda y: F.softmax(y, -1), nn.softmax),
    "layer_norm": (lambda y: F.layer_norm(y, (4,)), nn.layer_norm(affine=False)),
    "sum": (lambda y: y.sum(1, keepdim=True) + 0 * y, lambda y: y.sum(1, keepdims=True) + 0 * y),
    "cumsum": (lambda y: y.cumsum(1), lambda y: dlc.cumsum(y, 1)),
}
# Autocast's list of f32 operators for CUDA (PyTorch's page of Automatic Mixed Precision, "CUDA Ops
# that can autocast to float32"), which its list for CPUs leaves to the operands' dtype.
CUDA_F32 = {"exp", "log", "pow", "rsqrt", "softmax", "layer_norm", "sum", "cumsum"}


def decided_by_torch(function: Callable[..., Any]) -> torch.dtype:
    with torch.autocast("cpu", torch.bfloat16):
        found: torch.dtype = function(torch.tensor(X) @ torch.tensor(W)).dtype
    return found


def decided_here(function: Callable[..., Any]) -> torch.dtype:
    """Where the function's value is computed that a product then reads."""
    def program(x: f32[4, 4], w: f32[4, 4]) -> Any:
        return function(x @ w) @ w

    graph = dlc.in_precision(dlc.trace(program), "bf16")
    last = [n for n in graph.nodes() if n.op.name == "matmul"][-1]
    node = last.args[0]
    while node.op.name in ("reshape", "transpose", "slice"):
        node = node.args[0]
    lowered = node.op is elementwise.CAST and node.dtype is bf16
    return torch.float32 if lowered else torch.bfloat16


@pytest.mark.sliced
@pytest.mark.parametrize("name", PAIRS)
def test_the_same_operators_compute_low(name: str) -> None:
    theirs, ours = PAIRS[name]
    asked = decided_by_torch(theirs)
    if name in CUDA_F32:
        assert asked is torch.bfloat16  # or it has moved to the list for CPUs
        asked = torch.float32
    assert decided_here(ours) is asked


# --- a convolutional network and a transformer block ---------------------------------------------

BATCH = 16
cnn = nn.chain(nn.conv(8, 3, padding=1), nn.relu, nn.max_pool(2), nn.conv(16, 3), nn.relu,
               nn.flatten, nn.dense(10))
first, second = nn.layer_norm(), nn.layer_norm()
query, key, value, out = (nn.dense(16, name=n) for n in ("query", "key", "value", "out"))
wide, narrow, head = (nn.dense(n, name=w) for n, w in ((64, "wide"), (16, "narrow"), (10, "head")))


@dlc.task(optimizer=optim.sgd(0.1), batch=BATCH, precision="bf16")
def convolving(x: f32["batch", 1, 12, 12], label: i32["batch"]) -> Any:
    return dlc.loss(nn.cross_entropy(cnn(x), label))


@dlc.task(optimizer=optim.sgd(0.1), batch=BATCH, precision="bf16")
def attending(x: f32["batch", 6, 16], label: i32["batch"]) -> Any:
    h = first(x)
    scores = query(h) @ key(h).transpose(0, 2, 1) * 0.25
    x = x + out(nn.softmax(scores) @ value(h))
    x = x + narrow(nn.gelu(wide(second(x))))
    return dlc.loss(nn.cross_entropy(head(x).mean(1), label))


def torch_cnn(p: dict[str, Tensor], x: Tensor) -> Tensor:
    h = F.max_pool2d(F.relu(F.conv2d(x, p["conv1.weight"], p["conv1.bias"], padding=1)), 2)
    h = F.relu(F.conv2d(h, p["conv2.weight"], p["conv2.bias"]))
    return linear(p, "dense1", h.flatten(1))


def torch_block(p: dict[str, Tensor], x: Tensor) -> Tensor:
    h = F.layer_norm(x, (16,), p["first.weight"], p["first.bias"])
    scores = linear(p, "query", h) @ linear(p, "key", h).transpose(1, 2) * 0.25
    x = x + linear(p, "out", F.softmax(scores, -1) @ linear(p, "value", h))
    h = F.layer_norm(x, (16,), p["second.weight"], p["second.bias"])
    x = x + linear(p, "narrow", F.gelu(linear(p, "wide", h)))
    return linear(p, "head", x).mean(1)


def linear(p: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.linear(x, p[f"{name}.weight"].T, p[f"{name}.bias"])


SHAPES = {"convolving": (BATCH, 1, 12, 12), "attending": (BATCH, 6, 16)}
NETWORKS = {"convolving": (convolving, torch_cnn), "attending": (attending, torch_block)}


def in_f64(graph: Graph, arrays: dict[str, Any]) -> list[Any]:
    wider = retyped_arrays(arrays, f64)
    return run(retyped(graph, f64), [wider[n.attrs["label"]] for n in graph.inputs])


@pytest.mark.sliced
@pytest.mark.parametrize("name", NETWORKS)
def test_losses_and_gradients_are_within_one_budget(name: str) -> None:
    """Both systems' loss, and both gradients along the signs of the exact one. The compiled step
    gives what it is planned from, so its error is that of the graph."""
    task, theirs = NETWORKS[name]
    graphs = task.graphs()
    arrays = {**task.initial_values(graphs, 0),
              "x": RNG.normal(size=SHAPES[name]).astype(np.float32),
              "label": RNG.integers(0, 10, BATCH).astype(np.int32)}
    gradients = gradients_of(task, BATCH)
    assert gradients is not None
    signs = [np.sign(g) for g in in_f64(gradients, arrays)]
    names = [n.attrs["label"] for n in graphs["train"].inputs if n.attrs["role"] == "param"]
    loss, gradient = budget(loss_of(task, BATCH), arrays), budget(along(gradients, signs), arrays)

    p = {n: torch.tensor(arrays[n], requires_grad=True) for n in names}
    with torch.autocast("cpu", torch.bfloat16):
        found = F.cross_entropy(theirs(p, torch.tensor(arrays["x"])),
                                torch.tensor(arrays["label"]).long())
    found.backward()
    along_signs = sum(float((p[n].grad.double().numpy() * s).sum())
                      for n, s in zip(names, signs, strict=True))
    with dlc.compile(task).load() as program:
        step = program(x=arrays["x"], label=arrays["label"], entry="train")
    for planned, results in ((loss, (loss.found, found.item(), float(step["loss"]))),
                             (gradient, (gradient.found, along_signs))):
        for result in results:
            assert 0 < abs(result - planned.exact) <= planned.bound < 0.5 * planned.exact


def test_both_store_what_they_multiply_in_bf16() -> None:
    """What torch saves for the backward pass of its products is bf16; so are our operands."""
    saved: list[torch.dtype] = []
    p = {n: torch.tensor(v, requires_grad=True) for n, v in convolving.initial_values(
        convolving.graphs(), 0).items() if n.endswith(("weight", "bias"))}
    with torch.autograd.graph.saved_tensors_hooks(
            lambda t: saved.append(t.dtype) or t, lambda t: t), torch.autocast(
            "cpu", torch.bfloat16):
        torch_cnn(p, torch.zeros(SHAPES["convolving"]))
    floats = {d for d in saved if d.is_floating_point}
    assert torch.bfloat16 in floats
    graph = gradients_of(convolving, BATCH)
    assert graph is not None
    products = [n for n in graph.nodes() if n.op.precision == "low"]
    assert len(products) == 8 and all(
        isinstance(a.type, Type) and a.dtype is bf16 for n in products for a in n.args)
