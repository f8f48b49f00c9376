"""ONNX's optimizers (ai.onnx.preview.training), and operators of ai.onnx.ml on plain arrays."""

from __future__ import annotations

from collections.abc import Sequence

import dlc
from dlc.errors import DlcError
from dlc.ir.graph import Node
from dlc.onnx.call import TRAINING, Call, Results, chosen, converts

ML = "ai.onnx.ml"


def columns(call: Call, kinds: int) -> list[list[Node]]:
    """The operands after rate and count: for each tensor its `kinds` of values together."""
    nodes = call.nodes_from(2)
    if not nodes or len(nodes) % kinds:
        raise DlcError(f"{len(nodes)} tensors, {kinds} for each parameter are needed")
    count = len(nodes) // kinds
    return [[nodes[k * count + i] for k in range(kinds)] for i in range(count)]


def rows(results: Sequence[tuple[Node, ...]]) -> tuple[Node, ...]:
    """Results of every tensor, kind after kind."""
    return tuple(value for kind in zip(*results, strict=True) for value in kind)


@converts("Adagrad", domain=TRAINING)
def adagrad(call: Call) -> Results:
    """Duchi, Hazan and Singer 2011."""
    rate, count = call.x(0), call.x(1)
    rate = rate / (1.0 + dlc.cast(count, rate.dtype) * call.number("decay_factor", 0.0))
    norm, eps = call.number("norm_coefficient", 0.0), call.number("epsilon", 1e-6)
    results = []
    for x, g, h in columns(call, 3):
        g = g + x * norm
        h = h + g * g
        results.append((x - rate * g / (dlc.sqrt(h) + eps), h))
    return rows(results)


@converts("Momentum", domain=TRAINING)
def momentum(call: Call) -> Results:
    """Polyak 1964, or Nesterov's."""
    rate, count = call.x(0), call.x(1)
    alpha, norm = call.number("alpha", 0.0), call.number("norm_coefficient", 0.0)
    beta = dlc.where(count > 0, call.number("beta", 1.0), 1.0)
    nesterov = chosen("mode", call.text("mode"), ("standard", "nesterov")) == "nesterov"
    results = []
    for x, g, v in columns(call, 3):
        g = g + x * norm
        v = v * alpha + g * beta
        results.append((x - rate * (g + v * alpha if nesterov else v), v))
    return rows(results)


@converts("Adam", domain=TRAINING)
def adam(call: Call) -> Results:
    """Kingma and Ba 2015, with the decay of weights before and after."""
    rate, count = call.x(0), call.x(1)
    alpha, beta = call.number("alpha", 0.9), call.number("beta", 0.999)
    eps, norm = call.number("epsilon", 0.0), call.number("norm_coefficient", 0.0)
    steps = dlc.cast(count, rate.dtype)
    corrected = rate * dlc.sqrt(1.0 - dlc.power(beta, steps)) / (1.0 - dlc.power(alpha, steps))
    rate = dlc.where(count > 0, corrected, rate)
    results = []
    for x, g, v, h in columns(call, 4):
        g = g + x * norm
        v, h = v * alpha + g * (1 - alpha), h * beta + g * g * (1 - beta)
        new = x - rate * v / (dlc.sqrt(h) + eps)
        results.append((new * (1.0 - call.number("norm_coefficient_post", 0.0)), v, h))
    return rows(results)


@converts("Binarizer", domain=ML)
def binarizer(call: Call) -> Results:
    x = call.x()
    return dlc.cast(x > call.number("threshold", 0.0), x.dtype)


@converts("ArrayFeatureExtractor", domain=ML)
def features(call: Call) -> Results:
    """Columns of the last axis."""
    x, index = call.x(0), dlc.reshape(call.x(1), (-1,))
    found = dlc.take(x, index, x.ndim - 1)
    return dlc.reshape(found, (1, -1)) if x.ndim == 1 else found
