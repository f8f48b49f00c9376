"""Convolution as smoothing: a kernel that is found from signals and the smooth ones beside them.

After N. Wiener, Extrapolation, interpolation, and smoothing of stationary time series, 1949.
Smoothing by a Gaussian is convolution with a fixed kernel; least squares over pairs of a signal
and its smooth form give the kernel back, in one dimension for a signal that was played and in two
for images under noise. The figure is the largest difference of an element from the Gaussian's.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, init, optim

SIGMA, RADIUS = 1.5, 4


def gaussian() -> Node:
    """f32[9]: a Gaussian of deviation 1.5 at whole numbers, of sum 1."""
    bell = dlc.exp(-0.5 * dlc.square((dlc.arange(2 * RADIUS + 1, dtype=f32) - RADIUS) / SIGMA))
    return bell / bell.sum()


def smooth(x: Node, kernel: Node) -> Node:
    """x [n, length] or [n, height, width] under `kernel`, where it fits."""
    return dlc.conv(x[:, None], kernel[None, None])[:, 0]


def found(x: Node, right: Node) -> dlc.Loss:
    """The squared error of a kernel from 0 on, beside the smooth signal."""
    kernel = dlc.parameter("kernel", right.type, init.zeros)
    smoothed = smooth(x, kernel)
    return dlc.loss(dlc.square(smoothed - smooth(x, right)).mean(), prediction=smoothed,
                    off=abs(kernel - right).max())


@dlc.task(data="echo", optimizer=optim.lbfgs(), batch=500, epochs=2)
def smoothing(x: f32["batch", 64]) -> dlc.Loss:
    return found(x, gaussian())


@dlc.task(data="shapes", optimizer=optim.lbfgs(), batch=480, epochs=40)
def smoothing_2d(image: f32["batch", 32, 32]) -> dlc.Loss:
    return found(image, dlc.outer(gaussian(), gaussian()))
