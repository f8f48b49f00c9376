"""A network whose training f32 rounds nowhere, so that every order of its sums gives the same."""

from __future__ import annotations

from typing import Any

import numpy as np

import dlc
from dlc import f32, optim

WIDTH = 3
MICRO, BATCH = 4, 16
SAMPLES = 38  # two batches of 16, and a last one of 6: a micro-batch of 4, one of 2, two of none


@dlc.task(optimizer=optim.sgd(0.25), batch=BATCH, micro_batches=MICRO)
def exact(x: f32["batch", WIDTH], y: f32["batch"]) -> Any:
    w = dlc.parameter("w", f32[WIDTH], dlc.init.zeros)
    seen = dlc.state("seen", f32[WIDTH], dlc.init.zeros)
    if dlc.training():
        dlc.update_state(seen, seen * 0.5 + x.mean(axis=0) * 0.5)
    off = (x * w).sum(axis=1) - y
    return dlc.loss((off * off).mean() * 0.5, bias=off.mean())


def rows(count: int = SAMPLES) -> dict[str, np.ndarray[Any, Any]]:
    """Small whole numbers: products and sums of a few steps are exact in f32."""
    rng = np.random.default_rng(2)
    return {"x": rng.integers(-2, 3, (count, WIDTH)).astype(np.float32),
            "y": rng.integers(-2, 3, count).astype(np.float32)}


def by_hand(batches: list[Any], shares: Any, data: Any) -> tuple[Any, Any, list[Any]]:
    """(w, seen, losses) after steps on `batches`, rows of `data` cut as `shares` says, in f64."""
    x, y = data["x"].astype(np.float64), data["y"].astype(np.float64)
    w, seen, losses = np.zeros(WIDTH), np.zeros(WIDTH), []
    for batch in batches:
        gradient, mean, loss = np.zeros(WIDTH), np.zeros(WIDTH), 0.0
        for part in shares(batch):
            off = x[part] @ w - y[part]
            share = len(part) / len(batch)
            gradient += share * (off @ x[part]) / len(part)
            mean += share * x[part].mean(axis=0)
            loss += share * 0.5 * float((off * off).mean())
        w, seen, losses = w - 0.25 * gradient, 0.5 * seen + 0.5 * mean, [*losses, loss]
    return w, seen, losses


def parts(batch: Any) -> list[Any]:
    """The micro-batches of a batch."""
    size = BATCH // MICRO
    return [batch[at:at + size] for at in range(0, len(batch), size)]
