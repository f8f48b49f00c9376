"""Gradient descent: sgd, momentum, nesterov."""

from __future__ import annotations

from dlc.ir.graph import Node
from dlc.ops import elementwise
from dlc.ops.convert import as_node
from dlc.optim.learning_rate import Rate
from dlc.optim.optimizer import Clips, Optimizer, Slot, checked, decayed, made, plain_scalars


def sgd(lr: Rate = 1e-2, *, weight_decay: float = 0.0, clip: Clips = None) -> Optimizer:
    """p - lr * g, with g = grad + weight_decay * p (torch.optim.SGD)."""
    checked("sgd", weight_decay=weight_decay)

    def rule(slot: Slot, lr: Node) -> Node:
        return slot.param - lr * decayed(slot, weight_decay)

    return made("sgd", rule, lr, clip)


def momentum(lr: Rate = 1e-2, momentum: float = 0.9, weight_decay: float = 0.0,
             dampening: float = 0.0, clip: Clips = None) -> Optimizer:
    """v = momentum * v + (1 - dampening) * g; p - lr * v (Polyak 1964, as torch.optim.SGD with
    momentum); the first v is g whatever the dampening."""
    return _heavy_ball("momentum", lr, momentum, weight_decay, clip, False, dampening)


def nesterov(lr: Rate = 1e-2, momentum: float = 0.9, weight_decay: float = 0.0,
             clip: Clips = None) -> Optimizer:
    """v = momentum * v + g; p - lr * (g + momentum * v) (Sutskever et al. 2013, as in torch)."""
    return _heavy_ball("nesterov", lr, momentum, weight_decay, clip, True)


def _heavy_ball(name: str, lr: Rate, decay: float, weight_decay: float, clip: Clips,
                lookahead: bool, dampening: float = 0.0) -> Optimizer:
    checked(name, momentum=decay, weight_decay=weight_decay, dampening=dampening)

    def scalars(lr: Node, t: Node) -> tuple[Node, ...]:
        return lr, elementwise.where(elementwise.eq(t, 1.0), as_node(1.0, t.dtype), 1.0 - dampening)

    def rule(slot: Slot, lr: Node, share: Node | None = None) -> Node:
        g = decayed(slot, weight_decay)
        taken = g if share is None else g * share
        v = slot.state("v", lambda old: old * decay + taken)
        return slot.param - lr * (g + v * decay if lookahead else v)

    return made(name, rule, lr, clip, scalars if dampening else plain_scalars)
