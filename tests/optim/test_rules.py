"""Every optimizer: 20 compiled steps against formulas in NumPy, written from the papers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import dlc
from dlc import bf16, f16, f32, f64, optim
from tests.instruction_sets import NATIVE, generated_for

Array = np.ndarray[Any, Any]
Update = Callable[[Array, Array, dict[str, Any], int], Array]
STEPS = 20
START = np.array([[1.0, -2.0, 0.5], [0.3, 4.0, -0.7]])
CURVATURE = np.array([[0.1, 1.0, 3.0], [0.5, 0.02, 2.0]])
DECAY = 0.1


def damped(w: Array, g: Array, s: dict[str, Any], t: int) -> Array:
    s["v"] = g if t == 1 else 0.8 * s["v"] + 0.6 * g
    return w - 0.02 * s["v"]


def adagrad(lr: float, lr_decay: float = 0.0, first: float = 0.0, decay: float = 0.0) -> Update:
    def update(w: Array, g: Array, s: dict[str, Any], t: int) -> Array:
        g = g + decay * w
        s["s"] = s.get("s", first) + g * g
        return w - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s["s"]) + 1e-10)

    return update


def adadelta(lr: float, rho: float, decay: float) -> Update:
    def update(w: Array, g: Array, s: dict[str, Any], t: int) -> Array:
        g = g + decay * w
        s["s"] = rho * s.get("s", 0.0) + (1 - rho) * g * g
        change = np.sqrt(s.get("u", 0.0) + 1e-6) / np.sqrt(s["s"] + 1e-6) * g
        s["u"] = rho * s.get("u", 0.0) + (1 - rho) * change * change
        return w - lr * change

    return update


def rmsprop(alpha: float, centred: bool, momentum: float, decay: float = 0.0) -> Update:
    def update(w: Array, g: Array, s: dict[str, Any], t: int) -> Array:
        g = g + decay * w
        s["s"] = alpha * s.get("s", 0.0) + (1 - alpha) * g * g
        s["g"] = alpha * s.get("g", 0.0) + (1 - alpha) * g
        v = s["s"] - s["g"] ** 2 if centred else s["s"]
        s["v"] = momentum * s.get("v", 0.0) + g / (np.sqrt(v) + 1e-8)
        return w - 0.01 * s["v"]

    return update


def moments(s: dict[str, Any], g: Array, b1: float, b2: float) -> tuple[Array, Array]:
    s["m"] = b1 * s.get("m", 0.0) + (1 - b1) * g
    s["v"] = b2 * s.get("v", 0.0) + (1 - b2) * g * g
    return s["m"], s["v"]


def amsgrad(lr: float, decay: float, decoupled: float) -> Update:
    def update(w: Array, g: Array, s: dict[str, Any], t: int) -> Array:
        m, v = moments(s, g + decay * w, 0.9, 0.99)
        s["top"] = np.maximum(s.get("top", 0.0), v)
        root = np.sqrt(s["top"] / (1 - 0.99 ** t)) + 1e-8
        return w * (1 - lr * decoupled) - lr * m / (1 - 0.9 ** t) / root

    return update


def adamax(w: Array, g: Array, s: dict[str, Any], t: int) -> Array:
    g = g + DECAY * w
    s["m"] = 0.9 * s.get("m", 0.0) + 0.1 * g
    s["u"] = np.maximum(0.999 * s.get("u", 0.0), np.abs(g) + 1e-8)
    return w - 0.02 / (1 - 0.9 ** t) * s["m"] / s["u"]


def nadam(decay: float, decoupled: float) -> Update:
    def mu(t: int) -> float:
        return 0.9 * (1 - 0.5 * 0.96 ** (t * 0.004))

    def update(w: Array, g: Array, s: dict[str, Any], t: int) -> Array:
        g = g + decay * w
        m, v = moments(s, g, 0.9, 0.999)
        s["mu"] = s.get("mu", 1.0) * mu(t)
        root = np.sqrt(v / (1 - 0.999 ** t)) + 1e-8
        ahead = mu(t + 1) / (1 - s["mu"] * mu(t + 1)) * m
        moved = ((1 - mu(t)) / (1 - s["mu"]) * g + ahead) / root
        return w * (1 - 0.02 * decoupled) - 0.02 * moved

    return update


def radam(b2: float) -> Update:
    def update(w: Array, g: Array, s: dict[str, Any], t: int) -> Array:
        m, v = moments(s, g, 0.9, b2)
        most = 2 / (1 - b2) - 1
        length = most - 2 * t * b2 ** t / (1 - b2 ** t)
        factor: Any = 1.0
        if length > 5:
            share = (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)
            factor = math.sqrt(share * (1 - b2 ** t)) / (np.sqrt(v) + 1e-8)
        return w - 0.02 * m / (1 - 0.9 ** t) * factor

    return update


def lion(w: Array, g: Array, s: dict[str, Any], t: int) -> Array:
    mixed = 0.9 * s.get("m", 0.0) + 0.1 * g
    s["m"] = 0.99 * s.get("m", 0.0) + 0.01 * g
    return w * (1 - 0.01 * DECAY) - 0.01 * np.sign(mixed)


def lamb(w: Array, g: Array, s: dict[str, Any], t: int) -> Array:
    m, v = moments(s, g, 0.9, 0.999)
    u = m / (1 - 0.9 ** t) / (np.sqrt(v / (1 - 0.999 ** t)) + 1e-6) + DECAY * w
    return w - 0.05 * np.linalg.norm(w) / np.linalg.norm(u) * u


def muon(lookahead: bool) -> Update:
    def update(w: Array, g: Array, s: dict[str, Any], t: int) -> Array:
        s["m"] = 0.95 * s.get("m", 0.0) + 0.05 * g
        x = 0.95 * s["m"] + 0.05 * g if lookahead else s["m"]
        # by singular values: the iteration leaves the directions as they are
        left, values, right = np.linalg.svd(x, full_matrices=False)
        values = values / np.linalg.norm(values)
        for _ in range(5):
            values = 3.4445 * values - 4.7750 * values ** 3 + 2.0315 * values ** 5
        return w * (1 - 0.02 * DECAY) - 0.02 * math.sqrt(3 / 2) * (left * values) @ right

    return update


RULES: dict[str, tuple[optim.Optimizer, Update]] = {
    "damped": (optim.momentum(0.02, 0.8, dampening=0.4), damped),
    "adagrad": (optim.adagrad(0.1), adagrad(0.1)),
    "adagrad_decayed": (optim.adagrad(0.1, 0.5, 0.1, weight_decay=DECAY),
                        adagrad(0.1, 0.5, 0.1, DECAY)),
    "adadelta": (optim.adadelta(), adadelta(1.0, 0.9, 0.0)),
    "adadelta_decayed": (optim.adadelta(0.5, 0.95, weight_decay=0.9), adadelta(0.5, 0.95, 0.9)),
    "rmsprop": (optim.rmsprop(weight_decay=DECAY), rmsprop(0.99, False, 0.0, DECAY)),
    "rmsprop_centred": (optim.rmsprop(alpha=0.9, centred=True, momentum=0.5),
                        rmsprop(0.9, True, 0.5)),
    "amsgrad": (optim.adam(0.05, b2=0.99, weight_decay=DECAY, amsgrad=True),
                amsgrad(0.05, DECAY, 0.0)),
    "amsgradw": (optim.adamw(0.05, b2=0.99, weight_decay=DECAY, amsgrad=True),
                 amsgrad(0.05, 0.0, DECAY)),
    "adamax": (optim.adamax(0.02, weight_decay=DECAY), adamax),
    "nadam": (optim.nadam(0.02, weight_decay=DECAY), nadam(DECAY, 0.0)),
    "nadam_decoupled": (optim.nadam(0.02, weight_decay=DECAY, decoupled=True), nadam(0.0, DECAY)),
    "radam": (optim.radam(0.02), radam(0.999)),
    "radam_soon": (optim.radam(0.02, b2=0.9), radam(0.9)),
    "lion": (optim.lion(0.01, weight_decay=DECAY), lion),
    "lamb": (optim.lamb(0.05, weight_decay=DECAY), lamb),
    "muon": (optim.muon(0.02, weight_decay=DECAY), muon(True)),
    "muon_plain": (optim.muon(0.02, weight_decay=DECAY, nesterov=False), muon(False)),
}


def bowls(kind: Any, optimizer: optim.Optimizer, names: list[str]) -> dlc.Task:
    """A bowl for each parameter: loss(w) = sum(curvature * w ** 2) / 2, steeper with each step."""
    @dlc.task(optimizer=optimizer, batch=1)
    def all_bowls(x: f32["batch"]) -> Any:
        total = dlc.zeros((), kind)
        for name in names:
            w = dlc.parameter(name, kind[2, 3], lambda key, shape, dtype: dlc.asarray(
                START.astype(dtype.numpy)))
            total = total + (w * w * CURVATURE.astype(kind.numpy)).sum() / 2.0
        return dlc.loss(total * dlc.cast(x[0], kind))

    return all_bowls


def compiled_steps(kind: Any, optimizer: optim.Optimizer, names: list[str],
                   isa: str) -> Iterator[dict[str, Array]]:
    """The parameters after each step; gradients grow with the step."""
    with generated_for(isa), dlc.compile(bowls(kind, optimizer, names)).load() as run:
        for step in range(STEPS):
            run(np.array([steepness(step)], np.float32), entry="train")
            yield {name: run.read(name) for name in names}


def steepness(step: int) -> float:
    return float(np.float32(1 + step / 10))


def expected_steps(update: Update) -> Iterator[Array]:
    w, state = START, {}
    for t in range(1, STEPS + 1):
        w = update(w, CURVATURE * w * steepness(t - 1), state, t)
        yield w


@pytest.mark.swept(2)
@pytest.mark.parametrize(("kind", "isa"), [*((f32, isa) for isa in NATIVE), (f64, NATIVE[-1]),
                                           (f16, NATIVE[-1]), (bf16, NATIVE[-1])], ids=str)
def test_rules(kind: Any, isa: str) -> None:
    """All in one program, a parameter each. 20 updates of some 20 roundings, each of at most eps of
    the largest weight or of the update, which is smaller: 400 eps of it in all. Of halves, whose
    moments are f32, the parameter alone is rounded, and its gradient: twice a step."""
    roundings = 20 if kind in (f32, f64) else 2
    room = STEPS * roundings * float(ml_dtypes.finfo(kind.numpy).eps)
    optimizer = optim.by_name({name: rule for name, (rule, _) in RULES.items()})
    wanted = {name: expected_steps(update) for name, (_, update) in RULES.items()}
    for step, found in enumerate(compiled_steps(kind, optimizer, list(RULES), isa)):
        for name, values in wanted.items():
            want = next(values)
            np.testing.assert_allclose(np.asarray(found[name], np.float64), want, 0, room * 4,
                                       err_msg=f"{name} after step {step + 1}")


def lbfgs(lr: float, history: int) -> Update:
    """With the inverse Hessian as a matrix, made from the pairs by the BFGS formula."""
    def update(w: Array, g: Array, s: dict[str, Any], t: int) -> Array:
        g = g.reshape(-1)
        pairs = s.setdefault("pairs", [])
        if t > 1:
            y = g - s["g"]
            if y @ s["step"] > 1e-10:
                pairs.append((s["step"], y))
                s["scale"] = y @ s["step"] / (y @ y)
        h = np.eye(6) * s.get("scale", 1.0)
        for step, y in pairs[-history:]:
            rho = 1 / (y @ step)
            left = np.eye(6) - rho * np.outer(step, y)
            h = left @ h @ left.T + rho * np.outer(step, step)
        size = lr * (min(1.0, 1 / np.abs(g).sum()) if t == 1 else 1.0)
        s["g"], s["step"] = g, -size * (h @ g)
        return w + s["step"].reshape(w.shape)

    return update


@pytest.mark.swept(2)
@pytest.mark.parametrize("history", [1, 4, 10])
def test_lbfgs(history: int) -> None:
    """In f64: the formula with matrices, whose condition grows as the bowl is solved."""
    wanted = expected_steps(lbfgs(0.5, history))
    rule = optim.lbfgs(0.5, history)
    for step, found in enumerate(compiled_steps(f64, rule, ["w"], NATIVE[-1])):
        want = next(wanted)
        np.testing.assert_allclose(found["w"], want, 1e-6, 1e-8, err_msg=f"step {step + 1}")
    assert np.abs(found["w"]).max() < np.abs(START).max() / 10
