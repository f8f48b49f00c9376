"""Initializers by the variance that reaches every one of 50 compiled layers, and comes back.

Widths alternate, so that fan in and fan out differ. In the mean over draws the rules keep the mean
square; a layer of n inputs adds a variance of at most 5 / n to its logarithm (2 / n without relu:
Hanin and Rolnick 2018), whose mean is then half of that lower.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, init, nn

DEPTH, BATCH, SEEDS = 50, 16, 4
WIDTHS = [64 if i % 2 == 0 else 192 for i in range(DEPTH + 1)]
# (initializer, activation, whether gradients are looked at, the factor that a layer of so many
# inputs and outputs has of the mean square)
RULES: dict[str, tuple[Any, Any, bool, Callable[[int, int], float]]] = {
    "he_normal": (init.he_normal, nn.relu, False, lambda i, o: 1.0),
    "he by fan out": (init.variance_scaling(2.0, "fan_out", "normal"), nn.relu, True,
                      lambda i, o: 1.0),
    "lecun_uniform": (init.lecun_uniform, None, False, lambda i, o: 1.0),
    "glorot_normal": (init.glorot_normal, None, False, lambda i, o: 2 * i / (i + o)),
    "PyTorch's default": (init.fan_in_uniform, None, False, lambda i, o: 1 / 3),
}


def squares(rule: Any, activation: Any, back: bool) -> Any:
    """The mean square after each layer, or of the gradient that reaches it."""
    layers = [nn.dense(n, bias=False, weight_init=rule, name=f"d{i}")
              for i, n in enumerate(WIDTHS[1:])]

    def values(x: Any, *extra: Any) -> list[Any]:
        found = []
        for layer, more in itertools.zip_longest(layers, extra):
            x = layer(x if activation is None or not found else activation(x))
            x = x if more is None else x + more
            found.append(x)
        return found

    def forward(x: Any) -> list[Any]:
        return [dlc.mean(h * h) for h in values(x)]

    def backward(x: Any, g: Any) -> list[Any]:
        nothing = [dlc.zeros((BATCH, n)) for n in WIDTHS[1:]]
        _, pullback = dlc.vjp(lambda *extra: values(x, *extra)[-1], *nothing)
        return [dlc.mean(s * s) for s in pullback(g)]

    return backward if back else forward


@pytest.mark.parametrize("name", RULES)
def test_fifty_layers(name: str) -> None:
    rule, activation, back, gain = RULES[name]
    shapes = [f32[BATCH, WIDTHS[0]], *([f32[BATCH, WIDTHS[-1]]] if back else [])]
    compiled = dlc.compile(dlc.trace(squares(rule, activation, back), *shapes))
    rng, logs = np.random.default_rng(1), []
    for seed in range(SEEDS):
        with compiled.load(seed=seed) as program:
            found = program(*(rng.normal(size=tuple(map(int, s.shape))).astype(np.float32)
                              for s in shapes))
        logs.append(np.log([float(v) for v in found.values()]))
    mean = np.mean(logs, 0)
    pairs = list(itertools.pairwise(WIDTHS))
    each = np.log([gain(i, o) for i, o in pairs])
    spread = (2.0 if activation is None else 5.0) / np.array([o if back else i for i, o in pairs])
    if back:  # from the last, whose gradient is the cotangent
        mean = mean[::-1]
        each, spread = (np.concatenate([[0.0], v[:0:-1]]) for v in (each, spread))
    elif activation is not None:
        each[0] += math.log(2)  # no relu halves the mean square of the input
    spread = np.cumsum(spread)
    middle = np.cumsum(each) - spread / 2
    own = 2.0 / (BATCH * WIDTHS[0])  # of the input's own mean square, over BATCH rows
    off = np.abs(mean - middle)
    assert (off < 5 * np.sqrt((spread + own) / SEEDS) + spread / 2).all(), off


def test_orthogonal_layers_keep_every_length() -> None:
    net = nn.chain(*(nn.dense(64, bias=False, weight_init=init.orthogonal()) for _ in range(DEPTH)))
    x = np.random.default_rng(0).normal(size=(BATCH, 64)).astype(np.float32)
    with dlc.compile(dlc.trace(net, f32[BATCH, 64])).load() as program:
        y = program(x)
    # each layer rounds a length by some units of its last place
    np.testing.assert_allclose(np.linalg.norm(y, axis=1), np.linalg.norm(x, axis=1),
                               rtol=DEPTH * 8 * 2.0 ** -24)
