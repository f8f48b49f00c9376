"""Noise of training: on values and on labels; in evaluation the input itself."""

from __future__ import annotations

from typing import Any

from dlc import random
from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe
from dlc.lang.layer import Layer
from dlc.lang.scope import training
from dlc.nn import checks
from dlc.nn.functions import softmax
from dlc.ops import elementwise, leaf, reduce, view
from dlc.ops.convert import as_node, broadcast_to, cast


def gaussian_noise(std: float = 0.1, name: str = "") -> Layer:
    """In training x plus normal numbers of mean 0 and deviation `std`; in evaluation x.

    On the input (Bishop 1995: small noise is Tikhonov's penalty) or between layers (Poole et al.
    2014).
    """
    checks.number("gaussian_noise", std=std)
    if std < 0:
        raise DlcError(f"nn.gaussian_noise: std={std} is out of range", here(), "0 or more")

    def apply(x: Node) -> Node:
        checks.floating(x)
        if not training() or std == 0:
            return x
        return x + random.normal(tuple(map(int, x.shape)), 0.0, std, dtype=x.dtype)

    return Layer("gaussian_noise", apply, f"gaussian_noise({std})", name, here())


def masking_noise(rate: float = 0.3, name: str = "") -> Layer:
    """In training zero each element with probability `rate`, the others as they are: what denoising
    autoencoders are given (Vincent et al. 2008); `dropout` scales the others."""
    checks.share("masking_noise", rate=rate)

    def apply(x: Node) -> Node:
        checks.floating(x)
        if not training() or rate == 0:
            return x
        keep = random.bernoulli(tuple(map(int, x.shape)), 1.0 - rate)
        return elementwise.where(keep, x, 0.0)

    return Layer("masking_noise", apply, f"masking_noise({rate})", name, here())


def salt_and_pepper(rate: float = 0.3, low: float = 0.0, high: float = 1.0,
                    name: str = "") -> Layer:
    """In training make each element with probability `rate` either `low` or `high`, by a fair coin
    (Vincent et al. 2010, section 3.3)."""
    checks.share("salt_and_pepper", rate=rate)
    checks.number("salt_and_pepper", low=low, high=high)

    def apply(x: Node) -> Node:
        checks.floating(x)
        if not training() or rate == 0:
            return x
        shape = tuple(map(int, x.shape))
        hit, top = random.bernoulli(shape, rate), random.bernoulli(shape, 0.5)
        extreme = elementwise.where(top, as_node(float(high), x.dtype), float(low))
        return elementwise.where(hit, extreme, x)

    return Layer("salt_and_pepper", apply, f"salt_and_pepper({rate})", name, here())


def label_noise(classes: int, rate: float = 0.1, name: str = "") -> Layer:
    """In training replace each label with probability `rate` by a class drawn uniformly.

    Labels are class numbers [...], i32 or i64. In the mean over draws their cross-entropy is that
    of `cross_entropy(..., smoothing=rate)` (Szegedy et al. 2016, section 7).
    """
    checks.at_least("label_noise", 1, classes=classes)
    checks.share("label_noise", rate=rate)

    def apply(label: Node) -> Node:
        if not label.dtype.is_integer or label.dtype.category == "uint":
            raise DlcError(f"the labels are {describe(label)}", here(),
                           "labels are class numbers in i32 or i64; cast them: label.cast(i32)")
        if not training() or rate == 0:
            return label
        shape = tuple(map(int, label.shape))
        other = cast(random.randint(shape, 0, classes), label.dtype)
        return elementwise.where(random.bernoulli(shape, rate), other, label)

    return Layer("label_noise", apply, f"label_noise({classes}, {rate})", name, here())


def gumbel_softmax(logits: Any, temperature: float = 1.0, hard: bool = False,
                   axis: int = -1) -> Node:
    """A draw from softmax(logits) along `axis` that has a gradient: softmax((logits + G) /
    temperature), G of Gumbel's distribution (Jang et al. 2017; Maddison et al. 2017).

    `hard` gives the one-hot vector of its largest, with the gradient of the soft one. It is drawn
    in evaluation too.
    """
    checks.number("gumbel_softmax", 0, temperature=temperature)
    x = as_node(logits)
    if not x.dtype.is_float:
        raise DlcError(f"gumbel_softmax({describe(x)})", here(), "logits are floats")
    axis = reduce.axis_of(x, axis, "gumbel_softmax")
    noise = random.gumbel(tuple(map(int, x.shape)))
    soft = softmax((x + cast(noise, x.dtype)) * (1.0 / temperature), axis)
    if not hard:
        return soft
    return soft + elementwise.stop_gradient(_largest(soft, axis) - soft)


def _largest(soft: Node, axis: int) -> Node:
    """1 at the first largest along `axis`, 0 elsewhere."""
    at = reduce.argmax(soft, axis)
    shape = tuple(map(int, soft.shape))
    wide = view.reshape(at, tuple(1 if a == axis else n for a, n in enumerate(shape)))
    return cast(elementwise.eq(broadcast_to(wide, shape), leaf.iota(shape, axis, at.dtype)),
                soft.dtype)
