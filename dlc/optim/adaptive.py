"""Rates that follow the gradient's size: adagrad, adadelta, rmsprop."""

from __future__ import annotations

from dlc.init import constant
from dlc.ir.graph import Node
from dlc.ops import elementwise
from dlc.optim.learning_rate import Rate
from dlc.optim.optimizer import Clips, Optimizer, Slot, checked, decayed, made


def adagrad(lr: Rate = 1e-2, lr_decay: float = 0.0, initial: float = 0.0, eps: float = 1e-10,
            weight_decay: float = 0.0, clip: Clips = None) -> Optimizer:
    """s = s + g * g; p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps) (Duchi et al. 2011,
    torch.optim.Adagrad); s begins at `initial`."""
    checked("adagrad", lr_decay=lr_decay, initial=initial, eps=eps, weight_decay=weight_decay)
    first = constant(initial)

    def scalars(lr: Node, t: Node) -> tuple[Node, ...]:
        return (lr / ((t - 1.0) * lr_decay + 1.0) if lr_decay else lr,)

    def rule(slot: Slot, size: Node) -> Node:
        g = decayed(slot, weight_decay)
        s = slot.state("s", lambda old: old + g * g, first)
        return slot.param - size * g / (elementwise.sqrt(s) + eps)

    return made("adagrad", rule, lr, clip, scalars)


def adadelta(lr: Rate = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0,
             clip: Clips = None) -> Optimizer:
    """Updates in the parameter's own units (Zeiler 2012, torch.optim.Adadelta):
    d = sqrt(u + eps) / sqrt(s + eps) * g, where s and u are moving averages of g * g and d * d."""
    checked("adadelta", rho=rho, eps=eps, weight_decay=weight_decay)

    def rule(slot: Slot, lr: Node) -> Node:
        g = decayed(slot, weight_decay)
        s = slot.state("s", lambda old: old * rho + g * g * (1 - rho))
        change: list[Node] = []

        def moved(old: Node) -> Node:
            change.append(elementwise.sqrt(old + eps) / elementwise.sqrt(s + eps) * g)
            return old * rho + change[0] * change[0] * (1 - rho)

        slot.state("u", moved)
        return slot.param - lr * change[0]

    return made("adadelta", rule, lr, clip)


def rmsprop(lr: Rate = 1e-2, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0.0,
            momentum: float = 0.0, centred: bool = False, clip: Clips = None) -> Optimizer:
    """g over the root of the moving average of g * g (Tieleman and Hinton 2012), as in torch.

    `centred` takes the average of g from it first (Graves 2013); with `momentum` the quotients are
    summed as gradients are.
    """
    checked("rmsprop", alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum)

    def rule(slot: Slot, lr: Node) -> Node:
        g = decayed(slot, weight_decay)
        s = slot.state("s", lambda old: old * alpha + g * g * (1 - alpha))
        if centred:
            mean = slot.state("g", lambda old: old * alpha + g * (1 - alpha))
            # rounding may leave it below 0 where g hardly varies
            s = elementwise.maximum(s - mean * mean, 0.0)
        quotient = g / (elementwise.sqrt(s) + eps)
        if momentum:
            return slot.param - lr * slot.state("v", lambda old: old * momentum + quotient)
        return slot.param - lr * quotient

    return made("rmsprop", rule, lr, clip)
