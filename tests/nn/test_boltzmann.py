"""nn.rbm against sums over all hidden states, the rule of contrastive divergence, and chance."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, nn, optim

RNG = np.random.default_rng(3)
N, VISIBLE, HIDDEN = 24, 5, 3
X = RNG.integers(0, 2, (N, VISIBLE)).astype(np.float32)
VALUES = {"m.weight": RNG.normal(size=(VISIBLE, HIDDEN)), "m.visible": RNG.normal(size=VISIBLE),
          "m.hidden": RNG.normal(size=HIDDEN)}
VALUES = {name: value.astype(np.float32) for name, value in VALUES.items()}
W, B, C = (VALUES[f"m.{k}"].astype(np.float64) for k in ("weight", "visible", "hidden"))
# sums of at most 8 products of numbers of size 1, each rounded, through functions of slope 1
CLOSE: dict[str, Any] = {"rtol": 1e-5, "atol": 20 * float(np.finfo(np.float32).eps)}


def asked(function: Any, x: np.ndarray[Any, Any] = X,
          values: dict[str, Any] = VALUES) -> np.ndarray[Any, Any]:
    """What `function(x)` gives with these parameters, compiled."""
    graph = dlc.trace(lambda x: function(x), f32[x.shape])
    with dlc.compile(graph).load() as run:
        for name, value in values.items():
            run.write(name, value)
        return np.asarray(run(x))


def test_the_free_energy_sums_over_all_hidden_states() -> None:
    states = np.array(list(itertools.product((0, 1), repeat=HIDDEN)))
    joint = X @ B[:, None] + states @ C + X @ W @ states.T
    machine = nn.rbm(VISIBLE, HIDDEN, name="m")
    np.testing.assert_allclose(asked(machine.energy), -np.log(np.exp(joint).sum(1)), **CLOSE)
    shares = np.exp(joint) / np.exp(joint).sum(1, keepdims=True)
    np.testing.assert_allclose(asked(machine), shares @ states, **CLOSE)


def test_gaussian_hidden_units_are_integrated() -> None:
    """The integral of exp(h (xW + c) - h^2 / 2) over h is exp((xW + c)^2 / 2), but for 2 pi."""
    machine = nn.rbm(VISIBLE, HIDDEN, "gaussian", name="m")
    told = X @ W + C
    np.testing.assert_allclose(asked(machine), told, **CLOSE)
    np.testing.assert_allclose(asked(machine.energy), -X @ B - (told ** 2).sum(1) / 2, **CLOSE)


def test_it_goes_back_by_the_transposed_weights() -> None:
    machine = nn.rbm(VISIBLE, HIDDEN, name="m")
    hidden = X[:, :HIDDEN]
    np.testing.assert_allclose(asked(machine.back, hidden), 1 / (1 + np.exp(-hidden @ W.T - B)),
                               **CLOSE)


def test_the_contrast_has_the_gradient_of_contrastive_divergence() -> None:
    """A step of plain descent at rate 1 moves by the statistics of the data less those of the
    fantasies; with weights this large, every fantasy of an all-on machine is all on."""
    machine = nn.rbm(VISIBLE, HIDDEN, name="m")

    @dlc.task(optimizer=optim.sgd(1.0), batch=N)
    def task(x: f32["batch", VISIBLE]) -> dlc.Loss:
        return dlc.loss(machine.contrast(x, 2))

    certain = {"m.weight": np.full((VISIBLE, HIDDEN), 2.0, np.float32),
               "m.visible": np.full(VISIBLE, 60.0, np.float32),
               "m.hidden": np.zeros(HIDDEN, np.float32)}
    moved = task.train(({"x": X}, {"x": X}), init=certain, epochs=1).values
    fantasy = np.ones_like(X)
    p, q = (1 / (1 + np.exp(-v @ certain["m.weight"])) for v in (X, fantasy))
    for name, slope in (("weight", (X.T @ p - fantasy.T @ q) / N), ("hidden", (p - q).mean(0)),
                        ("visible", (X - fantasy).mean(0))):
        np.testing.assert_allclose(moved[f"m.{name}"], certain[f"m.{name}"] + slope, **CLOSE)


@pytest.mark.parametrize("units", ["binary", "gaussian"])
def test_a_long_chain_draws_from_the_machine(units: str) -> None:
    """Means of the visible units after 30 steps of 4,000 chains, within five deviations."""
    states = np.array(list(itertools.product((0, 1), repeat=VISIBLE)))
    told = states @ W / 2 + C
    free = np.log1p(np.exp(told)).sum(1) if units == "binary" else (told ** 2).sum(1) / 2
    share = np.exp(states @ B + free)
    exact = (share / share.sum()) @ states
    machine = nn.rbm(VISIBLE, HIDDEN, units, name="m")
    chains = np.zeros((4000, VISIBLE), np.float32)
    halved = {**VALUES, "m.weight": VALUES["m.weight"] / 2}
    found = asked(lambda x: machine.gibbs(x, 30), chains, halved).mean(0)
    assert np.all(np.abs(found - exact) < 5 * np.sqrt(exact * (1 - exact) / len(chains)))


@pytest.mark.parametrize("turned", [False, True])
def test_the_partition_function_sums_over_all_states(turned: bool) -> None:
    """Of both layers, whichever is the smaller; the probabilities of all visible states sum to 1.
    """
    values = {"m.weight": VALUES["m.weight"].T.copy(), "m.visible": VALUES["m.hidden"],
              "m.hidden": VALUES["m.visible"]} if turned else VALUES
    machine = nn.rbm(*((HIDDEN, VISIBLE) if turned else (VISIBLE, HIDDEN)), name="m")
    seen, told = (np.array(list(itertools.product((0.0, 1.0), repeat=n))) for n in (
        VISIBLE, HIDDEN))
    joint = (seen @ B)[:, None] + told @ C + seen @ W @ told.T
    exact = np.log(np.exp(joint).sum())
    np.testing.assert_allclose(asked(lambda x: machine.log_partition() + 0 * x.sum(),
                                     values=values), exact, **CLOSE)


def test_a_partition_function_of_too_many_states() -> None:
    for machine, message in ((nn.rbm(17, 20), "17 in the smaller layer"),
                             (nn.rbm(4, 3, "gaussian"), "gaussian hidden units")):
        with pytest.raises(DlcError, match=message):
            dlc.trace(machine.log_partition)


def test_what_is_no_machine() -> None:
    for wrong, message in ((lambda: nn.rbm(0, 3), "visible"),
                           (lambda: nn.rbm(3, 3, "real"), "real"),
                           (lambda: asked(nn.rbm(4, 3, name="m").energy), "5")):
        with pytest.raises(DlcError, match=message):
            wrong()
