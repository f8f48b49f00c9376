"""Optimizers and schedules: step by step against NumPy formulas written from the papers."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, optim

STEPS = 6
START = np.array([1.0, -2.0, 0.5])
Update = Callable[[Any, Any, dict[str, Any], int], Any]


def trained(optimizer: Any, steps: int = STEPS, epochs: int = 1, per_epoch: int = STEPS,
            pull: float = 1.0) -> tuple[list[Any], list[float]]:
    """(the parameter after each step of minimizing pull * x * sum(w ** 2), the learning rates)."""
    @dlc.task(optimizer=optimizer, batch=1, epochs=epochs)
    def bowl(x: f32["batch"]) -> Any:
        w = dlc.parameter("w", f32[3])
        return dlc.loss((w * w).sum() * pull * x[0])

    graphs = bowl.graphs()
    graph = graphs["train"]
    values = {**bowl.initial_values(graphs), "w": START.astype(np.float32)}
    if "steps_per_epoch" in values:
        values["steps_per_epoch"] = np.int32(per_epoch)
    history, rates = [], []
    for step in range(steps):
        out = dlc.evaluate(graph, x=np.array([step + 1], np.float32), **values)
        values.update({k: out[k] for k in graph.updates})
        history.append(values["w"])
        rates.append(float(out["lr"]))
    return history, rates


def reference(update: Update, pull: float = 1.0) -> list[Any]:
    """The same in f64: `update(w, g, state, t)` gives the new parameter."""
    w, state, history = START, {}, []
    for t in range(1, STEPS + 1):
        w = update(w, 2 * w * t * pull, state, t)
        history.append(w)
    return history


def follows(optimizer: Any, update: Update, pull: float = 1.0) -> None:
    found, _ = trained(optimizer, pull=pull)
    np.testing.assert_allclose(found, reference(update, pull), rtol=2e-5, atol=1e-6)


# --- rules ----------------------------------------------------------------------------------------


def test_sgd() -> None:
    follows(optim.sgd(0.01), lambda w, g, s, t: w - 0.01 * g)
    follows(optim.sgd(0.01, weight_decay=0.1), lambda w, g, s, t: w - 0.01 * (g + 0.1 * w))


def heavy_ball(lookahead: bool) -> Update:
    def update(w: Any, g: Any, s: dict[str, Any], t: int) -> Any:
        s["v"] = 0.9 * s.get("v", 0.0) + g
        return w - 0.01 * (g + 0.9 * s["v"] if lookahead else s["v"])

    return update


def test_momentum_and_nesterov() -> None:
    follows(optim.momentum(0.01, 0.9), heavy_ball(lookahead=False))
    follows(optim.nesterov(0.01, 0.9), heavy_ball(lookahead=True))


def adam(lr: float, b1: float, b2: float, eps: float, coupled: float = 0.0,
         decoupled: float = 0.0) -> Update:
    def update(w: Any, g: Any, s: dict[str, Any], t: int) -> Any:
        g = g + coupled * w
        s["m"] = b1 * s.get("m", 0.0) + (1 - b1) * g
        s["v"] = b2 * s.get("v", 0.0) + (1 - b2) * g * g
        unbiased_m, unbiased_v = s["m"] / (1 - b1 ** t), s["v"] / (1 - b2 ** t)
        return w * (1 - lr * decoupled) - lr * unbiased_m / (np.sqrt(unbiased_v) + eps)

    return update


def test_adam() -> None:
    follows(optim.adam(0.1), adam(0.1, 0.9, 0.999, 1e-8))
    follows(optim.adam(0.1, 0.5, 0.9, 1e-3), adam(0.1, 0.5, 0.9, 1e-3))
    follows(optim.adam(0.1, 0.0, 0.9), adam(0.1, 0.0, 0.9, 1e-8))
    follows(optim.adam(0.1, weight_decay=0.3), adam(0.1, 0.9, 0.999, 1e-8, coupled=0.3))


def test_adamw() -> None:
    follows(optim.adamw(0.1, weight_decay=0.3), adam(0.1, 0.9, 0.999, 1e-8, decoupled=0.3))
    follows(optim.adamw(0.1), adam(0.1, 0.9, 0.999, 1e-8, decoupled=1e-2))


def test_bias_correction_keeps_its_digits() -> None:
    """1 - 0.999 ** t at t = 1 is 1e-3; computed as 1 - exp it would lose four digits of f32."""
    found, _ = trained(optim.adam(0.1), steps=1)
    expected = START - 0.1 * np.sign(START)
    np.testing.assert_allclose(found[0], expected, rtol=3e-7)


def test_moments_are_named_state() -> None:
    @dlc.task(optimizer=optim.adam(0.1), batch=1)
    def bowl(x: f32["batch"]) -> Any:
        return dlc.loss((dlc.parameter("w", f32[3]) * x).sum())

    graph = bowl.graphs()["train"]
    assert set(graph.updates) == {"w", "step", "adam.m/w", "adam.v/w"}
    assert {n.attrs["label"]: n.attrs["role"] for n in graph.inputs} == {
        "x": "data", "w": "param", "adam.m/w": "state", "adam.v/w": "state", "step": "state"}


# --- clipping -------------------------------------------------------------------------------------


def test_clip_by_norm_scales_all_gradients_together() -> None:
    def update(w: Any, g: Any, s: dict[str, Any], t: int) -> Any:
        return w - 0.1 * g * min(1.0, 3.0 / (np.linalg.norm(g) + 1e-6))

    follows(optim.sgd(0.1, clip=optim.clip_by_norm(3.0)), update)


def test_clip_by_norm_is_global() -> None:
    grads = [dlc.cast(dlc.iota((3,)), f32), dlc.cast(dlc.iota((4,)), f32)]
    clipped = dlc.trace(lambda x: tuple(optim.clip_by_norm(1.0)(grads)), f32[1])
    out = dlc.evaluate(clipped, np.zeros(1, np.float32))
    norm = math.sqrt(sum(float((v * v).sum()) for v in out.values()))
    assert abs(norm - 1) < 1e-6


def test_clip_by_value() -> None:
    follows(optim.sgd(0.1, clip=optim.clip_by_value(0.7)),
            lambda w, g, s, t: w - 0.1 * np.clip(g, -0.7, 0.7))


def test_clips_apply_in_order() -> None:
    def update(w: Any, g: Any, s: dict[str, Any], t: int) -> Any:
        g = np.clip(g, -0.7, 0.7)
        return w - 0.1 * g * min(1.0, 0.5 / (np.linalg.norm(g) + 1e-6))

    both = (optim.clip_by_value(0.7), optim.clip_by_norm(0.5))
    follows(optim.sgd(0.1, clip=both), update)


def test_decayed_parameters_decay_after_clipping() -> None:
    """torch clips gradients before the optimizer adds weight decay."""
    follows(optim.sgd(0.1, weight_decay=0.5, clip=optim.clip_by_value(0.1)),
            lambda w, g, s, t: w - 0.1 * (np.clip(g, -0.1, 0.1) + 0.5 * w))


# --- schedules ------------------------------------------------------------------------------------


def rates(schedule: Any, steps: int = 8, epochs: int = 4, per_epoch: int = 2) -> Any:
    return trained(optim.sgd(schedule), steps, epochs, per_epoch, pull=0.0)[1]


@pytest.mark.parametrize(("schedule", "at"), [
    (0.3, lambda s: 0.3),
    (optim.constant(0.3), lambda s: 0.3),
    (optim.step_decay(1.0, 0.1, every=3), lambda s: 0.1 ** (s // 3)),
    (optim.step_decay(1.0, 0.5, every_epochs=2), lambda s: 0.5 ** (s // 4)),
    (optim.exponential(2.0, 0.5, every=4), lambda s: 2 * 0.5 ** (s / 4)),
    (optim.exponential(2.0, 0.01), lambda s: 2 * 0.01 ** (s / 8)),
    (optim.cosine(1.0), lambda s: (1 + math.cos(math.pi * s / 8)) / 2),
    (optim.cosine(1.0, 0.2, steps=4),
     lambda s: 0.2 + 0.4 * (1 + math.cos(math.pi * min(s, 4) / 4))),
    (optim.cosine(1.0, epochs=3), lambda s: (1 + math.cos(math.pi * min(s, 6) / 6)) / 2),
    (optim.warmup(0.4, steps=4), lambda s: 0.4 * min(1, (s + 1) / 4)),
    (optim.warmup(optim.cosine(1.0), epochs=1),
     lambda s: min(1, (s + 1) / 2) * (1 + math.cos(math.pi * s / 8)) / 2),
    (optim.piecewise({0: 1.0, 3: 0.1, 5: 0.01}),
     lambda s: 1.0 if s < 3 else 0.1 if s < 5 else 0.01),
    (optim.cosine(1.0).scaled(0.5), lambda s: (1 + math.cos(math.pi * s / 8)) / 4),
    (lambda step: 1.0 / (step + 1.0), lambda s: 1 / (s + 1)),
], ids=lambda v: "function" if inspect.isfunction(v) else str(v))
def test_schedules(schedule: Any, at: Callable[[int], float]) -> None:
    np.testing.assert_allclose(rates(schedule), [at(s) for s in range(8)], rtol=2e-6, atol=1e-7)


def test_the_rate_is_what_the_rule_uses() -> None:
    follows(optim.sgd(optim.piecewise({0: 0.1, 2: 0.01})),
            lambda w, g, s, t: w - (0.1 if t <= 2 else 0.01) * g)


def test_with_rate_replaces_the_schedule() -> None:
    assert trained(optim.adam(optim.cosine(1.0)).with_rate(0.25), pull=0.0)[1] == [0.25] * STEPS


@pytest.mark.parametrize("make", [
    lambda: optim.adam(float("nan")), lambda: optim.sgd("fast"), lambda: optim.adam(b1=1.0),
    lambda: optim.piecewise({5: 0.1}), lambda: optim.cosine(1.0, steps=0),
    lambda: optim.clip_by_norm(-1.0), lambda: optim.sgd(0.1, weight_decay=float("inf")),
])
def test_bad_settings_are_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(DlcError):
        make()
