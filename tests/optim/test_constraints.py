"""Constraints on weights after each update, beside NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, nn, optim
from tests.instruction_sets import NATIVE, generated_for

RNG = np.random.default_rng(5)
STEPS, RATE = 12, 0.1
SHAPES = {"dense": (4, 3), "conv": (3, 2, 2, 2), "vector": (5,), "one": (), "unit": (4, 3),
          "sign": (4, 3), "own": (4, 3), "free": (4, 3)}
FIRST = {name: RNG.normal(size=shape).astype(np.float32) * 2 for name, shape in SHAPES.items()}
GOAL = {name: RNG.normal(size=shape).astype(np.float32) * 3 for name, shape in SHAPES.items()}


def limited(w: Any, axes: Any) -> Any:
    norm = np.sqrt((w * w).sum(axes, keepdims=True))
    return w * np.minimum(1.0, 1.5 / np.maximum(norm, 1e-30))


AFTER: dict[str, Callable[[Any], Any]] = {
    "dense": lambda w: limited(w, 0), "conv": lambda w: limited(w, (1, 2, 3)),
    "vector": lambda w: limited(w, 0), "one": lambda w: np.clip(w, -1.5, 1.5),
    "unit": lambda w: w / np.sqrt((w * w).sum(0)), "sign": lambda w: np.maximum(w, 0),
    "own": lambda w: np.clip(w, -0.5, 0.25), "free": lambda w: w,
}
LIMIT = optim.max_norm(1.5)
CONSTRAINED = {"unit": optim.unit_norm(), "sign": optim.non_negative(),
               "own": lambda w: dlc.clip(w, -0.5, 0.25), "free": lambda w: w, "*": LIMIT}


def bowls(optimizer: optim.Optimizer) -> dlc.Task:
    """(w - goal) ** 2 / 2 for each of SHAPES."""
    @dlc.task(optimizer=optimizer, batch=1)
    def all_bowls(x: f32["batch"]) -> Any:
        total = dlc.zeros(())
        for name, shape in SHAPES.items():
            w = dlc.parameter(name, f32[shape], lambda key, shape, dtype, name=name: dlc.asarray(
                FIRST[name]))
            total = total + dlc.square(w - GOAL[name]).sum() / 2
        return dlc.loss(total * x[0])

    return all_bowls


@pytest.mark.swept(4)
@pytest.mark.parametrize("isa", NATIVE)
@pytest.mark.parametrize("every", [1, 3])
def test_every_update_fits(isa: str, every: int) -> None:
    """As the formulas in f64, within the rounding of 12 steps of some 16 operations; between the
    updates of summed gradients the weights stay as they are."""
    rule = optim.constrain(optim.accumulate(optim.sgd(RATE), every), CONSTRAINED)
    wanted = {name: w.astype(np.float64) for name, w in FIRST.items()}
    room = STEPS * 16 * float(np.finfo(np.float32).eps)
    with generated_for(isa), dlc.compile(bowls(rule)).load() as run:
        for step in range(STEPS):
            run(np.ones(1, np.float32), entry="train")
            for name, w in wanted.items():
                if (step + 1) % every == 0:
                    w = AFTER[name](w - RATE * (w - GOAL[name]))
                    wanted[name] = np.asarray(w)
                np.testing.assert_allclose(run.read(name), w, 0, room * 4, err_msg=name)
    assert not np.allclose(wanted["dense"], wanted["free"])


def test_weights_of_zero_stay() -> None:
    graph = dlc.trace(lambda w: (optim.unit_norm()(w), LIMIT(w)), f32[3, 2])
    for found in dlc.evaluate(graph, np.zeros((3, 2), np.float32)).values():
        np.testing.assert_array_equal(found, 0)


line = nn.dense(1)


def fitted(optimizer: optim.Optimizer) -> dlc.Task:
    @dlc.task(optimizer=optimizer, batch=4)
    def fit(x: f32["batch", 3], y: f32["batch"]) -> Any:
        return dlc.loss(nn.mse(line(x)[:, 0], y))

    return fit


@pytest.mark.parametrize(("make", "says"), [
    (lambda: optim.constrain(optim.sgd(), {"*.wieght": LIMIT}), r"no parameter fits '\*\.wieght'"),
    (lambda: optim.constrain(optim.sgd(), {}), "not a constraint by name"),
    (lambda: optim.constrain(optim.sgd(), {"*": 3.0}), "not a constraint by name"),
    (lambda: optim.constrain(0.1, {"*": LIMIT}), "is not an optimizer"),
    (lambda: optim.by_name({"*": optim.constrain(optim.sgd(), {"*": LIMIT})}), "one of several"),
    (lambda: optim.max_norm(-1.0), "limit=-1.0"),
])
def test_what_does_not_fit(make: Any, says: str) -> None:
    with pytest.raises(DlcError, match=says):
        dlc.compile(fitted(make()))


def test_as_text() -> None:
    from dlc.optim.reading import from_text

    rule = from_text('constrain(adam(1e-3), {"*.weight": max_norm(2.0)})')
    assert [pattern for pattern, _ in rule.constraints] == ["*.weight"]
