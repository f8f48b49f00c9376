"""The Adam family: adam, adamw, adamax, nadam, radam."""

from __future__ import annotations

import math

from dlc.init import ones
from dlc.ir.graph import Node
from dlc.ir.types import f64
from dlc.ops import elementwise
from dlc.ops.convert import as_node, cast
from dlc.optim.learning_rate import Rate
from dlc.optim.optimizer import (
    Clips,
    Optimizer,
    Slot,
    bias,
    checked,
    decayed,
    made,
    shrunk,
)


def adam(lr: Rate = 1e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8,
         weight_decay: float = 0.0, amsgrad: bool = False, clip: Clips = None) -> Optimizer:
    """Adam (Kingma and Ba 2015, algorithm 1); the gradient gets weight_decay * p, as in torch.

    `amsgrad` divides by the largest second moment so far (Reddi et al. 2018).
    """
    return _adam("adam", lr, b1, b2, eps, clip, weight_decay, 0.0, amsgrad)


def adamw(lr: Rate = 1e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8,
          weight_decay: float = 1e-2, amsgrad: bool = False, clip: Clips = None) -> Optimizer:
    """Adam with decoupled weight decay: p * (1 - lr * decay) first (Loshchilov and Hutter 2019)."""
    return _adam("adamw", lr, b1, b2, eps, clip, 0.0, weight_decay, amsgrad)


def _adam(name: str, lr: Rate, b1: float, b2: float, eps: float, clip: Clips, coupled: float,
          decoupled: float, amsgrad: bool) -> Optimizer:
    checked(name, b1=b1, b2=b2, eps=eps, weight_decay=coupled or decoupled)

    def scalars(lr: Node, t: Node) -> tuple[Node, ...]:
        return lr / bias(b1, t), elementwise.rsqrt(bias(b2, t)), lr * decoupled

    def rule(slot: Slot, size: Node, scale: Node, shrink: Node) -> Node:
        g = decayed(slot, coupled)
        m, v = moments(slot, g, b1, b2)
        if amsgrad:
            v = slot.state("top", lambda old: elementwise.maximum(old, v))
        return shrunk(slot, shrink, decoupled) - size * m / (elementwise.sqrt(v) * scale + eps)

    return made(name, rule, lr, clip, scalars)


def moments(slot: Slot, g: Node, b1: float, b2: float) -> tuple[Node, Node]:
    """The moving averages of a gradient and of its square: states m and v."""
    m = slot.state("m", lambda old: old * b1 + g * (1 - b1))
    v = slot.state("v", lambda old: old * b2 + g * g * (1 - b2))
    return m, v


def adamax(lr: Rate = 2e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8,
           weight_decay: float = 0.0, clip: Clips = None) -> Optimizer:
    """Adam over the largest gradient, which decays, in place of the second moment (Kingma and Ba
    2015, algorithm 2; torch.optim.Adamax): u = max(b2 * u, |g| + eps)."""
    checked("adamax", b1=b1, b2=b2, eps=eps, weight_decay=weight_decay)

    def rule(slot: Slot, size: Node) -> Node:
        g = decayed(slot, weight_decay)
        m = slot.state("m", lambda old: old * b1 + g * (1 - b1))
        u = slot.state("u", lambda old: elementwise.maximum(old * b2, elementwise.abs_(g) + eps))
        return slot.param - size * m / u

    return made("adamax", rule, lr, clip, lambda lr, t: (lr / bias(b1, t),))


def nadam(lr: Rate = 2e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8,
          weight_decay: float = 0.0, momentum_decay: float = 4e-3, decoupled: bool = False,
          clip: Clips = None) -> Optimizer:
    """Adam with Nesterov's momentum (Dozat 2016, torch.optim.NAdam): momentum grows with the step,
    mu(t) = b1 * (1 - 0.96 ** (t * momentum_decay) / 2); `decoupled` decays weights as AdamW does.
    """
    checked("nadam", b1=b1, b2=b2, eps=eps, weight_decay=weight_decay,
            momentum_decay=momentum_decay)
    separate = weight_decay if decoupled else 0.0

    def mu(t: Node) -> Node:
        return (1.0 - elementwise.exp(t * (momentum_decay * math.log(0.96))) * 0.5) * b1

    def scalars(lr: Node, t: Node) -> tuple[Node, ...]:
        return lr, mu(t), mu(t + 1.0), elementwise.rsqrt(bias(b2, t)), lr * separate

    def rule(slot: Slot, lr: Node, now: Node, following: Node, scale: Node,
             shrink: Node) -> Node:
        g = decayed(slot, weight_decay - separate)
        m, v = moments(slot, g, b1, b2)
        product = slot.shared("mu", lambda old: old * now, now, ones)
        root = elementwise.sqrt(v) * scale + eps
        share = (1.0 - now) / (1.0 - product) * lr
        ahead = following / (1.0 - product * following) * lr
        return shrunk(slot, shrink, separate) - (share * g + ahead * m) / root

    return made("nadam", rule, lr, clip, scalars)


def radam(lr: Rate = 1e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8,
          weight_decay: float = 0.0, decoupled: bool = False, clip: Clips = None) -> Optimizer:
    """Adam whose second moment counts once its variance is known (Liu et al. 2020, algorithm 2;
    torch.optim.RAdam): until then momentum alone; `decoupled` decays weights as AdamW does."""
    checked("radam", b1=b1, b2=b2, eps=eps, weight_decay=weight_decay)
    separate = weight_decay if decoupled else 0.0

    def scalars(lr: Node, t: Node) -> tuple[Node, ...]:
        known, factor = rectification(t, b2)
        scale = factor * elementwise.sqrt(bias(b2, t))
        return lr / bias(b1, t), known, scale, lr * separate

    def rule(slot: Slot, size: Node, known: Node, scale: Node, shrink: Node) -> Node:
        m, v = moments(slot, decayed(slot, weight_decay - separate), b1, b2)
        adaptive = scale / (elementwise.sqrt(v) + eps)
        factor = elementwise.where(known, adaptive, as_node(1.0, v.dtype))
        return shrunk(slot, shrink, separate) - size * m * factor

    return made("radam", rule, lr, clip, scalars)


def rectification(t: Node, b2: float) -> tuple[Node, Node]:
    """(whether the variance of the second moment is known, the factor of the update then), [()].

    The length of the average is a difference of numbers near 2 / (1 - b2): f64 keeps its digits.
    """
    wide = cast(t, f64)
    longest = 2.0 / (1.0 - b2) - 1.0
    power = elementwise.exp(wide * math.log(b2)) if b2 else wide * 0.0
    length = longest - 2.0 * wide * power / (1.0 - power)
    known = length > 5.0
    safe = elementwise.where(known, length, as_node(6.0, f64))
    square = (safe - 4.0) * (safe - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * safe)
    return known, cast(elementwise.sqrt(square), t.dtype)
