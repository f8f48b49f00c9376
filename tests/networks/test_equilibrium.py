"""A deep equilibrium model beside the same layer unrolled: the same loss, in less memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.cli.source import load_task
from dlc.runtime.data import load_dataset

# What models/equilibrium.py promises: changes below 1e-5, in a layer of Lipschitz constant .8.
TOLERANCE, LIPSCHITZ, DEPTH, BATCH, WIDTH = 1e-5, 0.8, 64, 64, 128
EPS = float(np.finfo(np.float32).eps)


def test_memory_is_below_that_of_the_unrolled_twin_at_equal_loss() -> None:
    values = load_task("equilibrium").train(seed=0, epochs=2).values
    programs = [dlc.compile(load_task(n), batch=BATCH) for n in ("equilibrium", "unrolled")]
    one, other = (loss(program, values) for program in programs)
    # how far a state is from the fixed point: its last change, its rounding, and what is left of
    # the distance of the first state, as a geometric series of layers carries them on
    apart = (TOLERANCE + 2 * WIDTH * EPS + LIPSCHITZ ** DEPTH) / (1 - LIPSCHITZ)
    # a logit moves by at most the sum of its weights times that, cross-entropy by twice as much
    reach = 2 * float(np.abs(values["head.weight"]).sum(0).max()) * (apart + WIDTH * EPS)
    assert other == pytest.approx(one, abs=reach)
    # the twin keeps the state after each layer but the last few, whose place others take
    held, kept = (program.peak_bytes for program in programs)
    assert held + (DEPTH - 8) * BATCH * WIDTH * 4 < kept


def loss(program: dlc.Compiled, values: Mapping[str, Any]) -> float:
    """Of a batch of test digits, with these parameters."""
    digits = load_dataset("digits8").test
    assert digits is not None
    with program.load() as loaded:
        for name, value in values.items():
            loaded.write(name, value)
        return float(loaded(digits["image"][:BATCH].reshape(BATCH, 64), digits["label"][:BATCH],
                            entry="eval")["loss"])
