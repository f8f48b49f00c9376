"""Dropout in its variants: noise in training, the input itself in evaluation."""

from __future__ import annotations

from dlc import random
from dlc.errors import here
from dlc.ir.graph import Node
from dlc.lang.layer import Layer
from dlc.lang.scope import training
from dlc.nn import checks
from dlc.ops import elementwise


def dropout(rate: float = 0.5, name: str = "") -> Layer:
    """In training zero each element with probability `rate` and scale the rest by 1/(1 - rate).

    In evaluation, the input itself (Srivastava et al. 2014, inverted). Rate 1 gives zeros.
    """
    checks.share("dropout", rate=rate)

    def apply(x: Node) -> Node:
        checks.floating(x)
        if not training() or rate == 0:
            return x
        if rate == 1:
            return x * 0.0
        keep = random.bernoulli(tuple(map(int, x.shape)), 1.0 - rate)
        return elementwise.where(keep, x * (1.0 / (1.0 - rate)), 0.0)

    return Layer("dropout", apply, f"dropout({rate})", name, here())


def spatial_dropout(rate: float = 0.5, name: str = "") -> Layer:
    """dropout of whole channels: x [N, C, S...] (Tompson et al. 2015)."""
    checks.share("spatial_dropout", rate=rate)

    def apply(x: Node) -> Node:
        checks.rank(x, 2, "[batch, channels, ...]")
        checks.floating(x)
        if not training() or rate == 0:
            return x
        if rate == 1:
            return x * 0.0
        keep = random.bernoulli((*map(int, x.shape[:2]), *(1,) * (x.ndim - 2)), 1.0 - rate)
        return elementwise.where(keep, x * (1.0 / (1.0 - rate)), 0.0)

    return Layer("spatial_dropout", apply, f"spatial_dropout({rate})", name, here())


def alpha_dropout(rate: float = 0.5, name: str = "") -> Layer:
    """Dropout that keeps the mean 0 and variance 1 of selu's results (Klambauer et al. 2017).

    Dropped elements become selu's lower limit; then a x + b restores mean and variance.
    """
    checks.share("alpha_dropout", rate=rate)
    low = -1.0507009873554805 * 1.6732632423543772
    def apply(x: Node) -> Node:
        checks.floating(x)
        if not training() or rate == 0:
            return x
        if rate == 1:
            return x * 0.0
        keep = random.bernoulli(tuple(map(int, x.shape)), 1.0 - rate)
        scale = ((1.0 - rate) * (1.0 + rate * low * low)) ** -0.5
        shift = -scale * low * rate
        return elementwise.where(keep, x * scale + shift, low * scale + shift)

    return Layer("alpha_dropout", apply, f"alpha_dropout({rate})", name, here())


def gaussian_dropout(rate: float = 0.5, name: str = "") -> Layer:
    """In training x times normal numbers of mean 1 and variance rate / (1 - rate) (Srivastava
    et al. 2014, section 10)."""
    checks.fraction("gaussian_dropout", rate=rate)

    def apply(x: Node) -> Node:
        checks.floating(x)
        if not training() or rate == 0:
            return x
        std = (rate / (1.0 - rate)) ** 0.5
        return x * random.normal(tuple(map(int, x.shape)), 1.0, std, dtype=x.dtype)

    return Layer("gaussian_dropout", apply, f"gaussian_dropout({rate})", name, here())
