"""Adaline, trained by least mean squares, as an adaptive filter that cancels an echo.

After B. Widrow and M. E. Hoff, Adaptive switching circuits, 1960. The filter sees the last 64
samples of the loudspeaker's signal, and learns the room's response from the microphone's, one
sample at a time. What is left of the echo is measured in decibels (echo return loss enhancement).
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, init, nn, optim

filter_ = nn.dense(1, bias=False, weight_init=init.zeros, name="filter")


def enhancement(echo: Node, error: Node) -> Node:
    """10 log10 of the echo's power over what is left of it, in decibels."""
    return 10.0 * dlc.log10(dlc.square(echo).mean() / dlc.square(error).mean())


@dlc.task(data="echo", optimizer=optim.sgd(0.005), batch=1, epochs=2)
def adaline(x: f32["batch", 64], y: f32["batch", 1]) -> dlc.Loss:
    heard = filter_(x)
    error = y - heard
    return dlc.loss(dlc.square(error).mean(), prediction=heard,
                    erle=dlc.over_set(enhancement, y, error))
