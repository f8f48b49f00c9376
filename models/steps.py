"""Universal approximation by steps: fifty steep sigmoid units add up to a curve.

After G. Cybenko, Approximation by superpositions of a sigmoidal function, 1989. The thresholds
stand at even distances and the slopes are fixed, so each unit is nearly a step; training finds
the heights. With more units the towers between two steps become narrower, and the error falls as
1 / units^2.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, init, nn, optim


def towers(x: Node, units: int) -> Node:
    """The sum of `units` steps of trained heights, at x [n, 1]."""
    height = dlc.parameter("height", f32[units], init.zeros)
    threshold = dlc.arange(units, dtype=f32) / units
    return dlc.sigmoid(20.0 * units * (x - threshold)) @ height


@dlc.task(data="wave", optimizer=optim.lbfgs(), batch=400, epochs=400)
def steps(x: f32["batch", 1], y: f32["batch", 1], units: int = 50) -> dlc.Loss:
    return dlc.loss(nn.mse(towers(x, units), y[:, 0]))
