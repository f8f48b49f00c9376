"""Smoothing by convolution is numpy.convolve's and scipy.ndimage's, in one dimension and in two."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

import dlc
from dlc import Node, f32
from dlc.models.smoothing import RADIUS, SIGMA, gaussian, smooth

pytestmark = pytest.mark.conformance
EPS = 2.0**-24


def both(signal: f32[3, 64], image: f32[2, 28, 28]) -> tuple[Node, Node, Node]:
    """The Gaussian, and signals and images under it."""
    kernel = gaussian()
    return kernel, smooth(signal, kernel), smooth(image, dlc.outer(kernel, kernel))


def test_smoothing_is_that_of_numpy_and_scipy() -> None:
    """A sum of n products rounds each at most n + 1 times; the kernel's own rounding, of exp, of
    its sum of nine and a quotient, comes before, in two dimensions twice."""
    draws = np.random.default_rng(5)
    signal, image = (draws.normal(size=s).astype(np.float32) for s in ((3, 64), (2, 28, 28)))
    with dlc.compile(both).load() as run:
        kernel, smoothed, smoothed_image = run(signal, image).values()
    width, own = len(kernel), 16
    bell = np.exp(-0.5 * ((np.arange(width) - RADIUS) / SIGMA) ** 2)
    bell /= bell.sum()
    assert np.all(abs(kernel - bell) <= own * EPS * bell)
    for row, found in zip(signal.astype(np.float64), smoothed, strict=True):
        bound = (own + width + 1) * EPS * np.convolve(abs(row), bell, "valid")
        assert np.all(abs(found - np.convolve(row, bell, "valid")) <= bound)
    inner = slice(RADIUS, -RADIUS)
    for picture, found in zip(image.astype(np.float64), smoothed_image, strict=True):
        right, size = (ndimage.gaussian_filter(p, SIGMA, radius=RADIUS)[inner, inner]
                       for p in (picture, abs(picture)))
        assert np.all(abs(found - right) <= (2 * own + width * width + 2) * EPS * size)
