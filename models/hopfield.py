"""A Hopfield network of 400 units: patterns stored by Hebb's rule, recalled from corrupted ones.

After J. J. Hopfield, Neural networks and physical systems with emergent collective computational
abilities, 1982. One in ten units of each pattern is flipped; units then follow the sign of their
input. `hopfield` stores 40 patterns, a load of .10; `hopfield_full` stores 80, a load of .20,
beyond the capacity of .138 (D. J. Amit, H. Gutfreund and H. Sompolinsky 1985): recall breaks
down. `--set patterns=52` stores as many: the overlap is 1.00, .997, .980, .957, .90 and .56 at
loads of .05, .10, .13, .14, .15 and .20, and passes .967, which theory gives at capacity, between
.13 and .14. Differs: all units change at once, twenty times, in place of one after another.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32

UNITS, FLIPPED, TIMES = 400, 0.1, 20


def recalled(weight: Node, x: Node) -> Node:
    """The state that each row of x settles in."""
    def turn(i: Node, state: Node) -> Node:
        return dlc.where(state @ weight >= 0, 1.0, -1.0)

    settled: Node = dlc.fori(TIMES, turn, x)
    return settled


def store(x: f32["batch", 400], y: f32["batch", 1], patterns: int = 40) -> dlc.Loss:
    """Hebb's rule on the first patterns, and how well they come back."""
    chosen = dlc.cast(y < patterns, f32)
    weight = dlc.parameter("weight", f32[UNITS, UNITS], lambda key, shape, kind: dlc.zeros(shape))
    if dlc.training():
        hebb = (chosen * x).T @ x / UNITS
        dlc.update_state(weight, hebb - dlc.diag_embed(dlc.diagonal(hebb)))
    found = recalled(weight, dlc.where(dlc.random.bernoulli(x.shape, FLIPPED), 0.0 - x, x))
    overlap = (chosen * found * x).sum() / (patterns * UNITS)
    return dlc.loss(1.0 - overlap, overlap=overlap)


def store_too_many(x: f32["batch", 400], y: f32["batch", 1]) -> dlc.Loss:
    return store(x, y, patterns=80)


hopfield = dlc.task(name="hopfield", data="memories", batch=80, epochs=2,
                    phases=[dlc.phase("store", store)])
hopfield_full = dlc.task(name="hopfield_full", data="memories", batch=80, epochs=2,
                         phases=[dlc.phase("store", store_too_many)])
