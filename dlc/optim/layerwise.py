"""Updates of a set size: lion by signs, lamb by layers, muon by orthogonal matrices."""

from __future__ import annotations

import math

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe
from dlc.lang.array.elementwise_functions import logical_and
from dlc.ops import elementwise, reduce
from dlc.ops.contract import matmul
from dlc.ops.convert import as_node
from dlc.ops.view import transpose
from dlc.optim.adam import moments
from dlc.optim.learning_rate import Rate
from dlc.optim.optimizer import Clips, Optimizer, Slot, bias, checked, made, shrunk

# of the quintic that drives singular values towards 1: Jordan et al. 2024
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def lion(lr: Rate = 1e-4, b1: float = 0.9, b2: float = 0.99, weight_decay: float = 0.0,
         clip: Clips = None) -> Optimizer:
    """p * (1 - lr * decay) - lr * sign(b1 * m + (1 - b1) * g); then m = b2 * m + (1 - b2) * g
    (Chen et al. 2023, algorithm 2; optax.lion)."""
    checked("lion", b1=b1, b2=b2, weight_decay=weight_decay)

    def rule(slot: Slot, lr: Node, shrink: Node) -> Node:
        g = slot.grad
        mixed: list[Node] = []

        def moved(old: Node) -> Node:
            mixed.append(old * b1 + g * (1 - b1))
            return old * b2 + g * (1 - b2)

        slot.state("m", moved)
        return shrunk(slot, shrink, weight_decay) - lr * elementwise.sign(mixed[0])

    return made("lion", rule, lr, clip, lambda lr, t: (lr, lr * weight_decay))


def lamb(lr: Rate = 1e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-6,
         weight_decay: float = 0.0, clip: Clips = None) -> Optimizer:
    """Adam's update u + weight_decay * p, as long as the parameter: times |p| / |u|, layer by layer
    (You et al. 2020, algorithm 2; optax.lamb). A norm of 0 leaves the update as it is."""
    checked("lamb", b1=b1, b2=b2, eps=eps, weight_decay=weight_decay)

    def scalars(lr: Node, t: Node) -> tuple[Node, ...]:
        return lr, 1.0 / bias(b1, t), elementwise.rsqrt(bias(b2, t))

    def rule(slot: Slot, lr: Node, unbias: Node, scale: Node) -> Node:
        m, v = moments(slot, slot.grad, b1, b2)
        u = m * unbias / (elementwise.sqrt(v) * scale + eps)
        u = u + slot.param * weight_decay if weight_decay else u
        size, length = norm(slot.param), norm(u)
        whole = logical_and(size > 0.0, length > 0.0)
        ratio = elementwise.where(whole, size / length, as_node(1.0, u.dtype))
        return slot.param - lr * ratio * u

    return made("lamb", rule, lr, clip, scalars)


def norm(x: Node) -> Node:
    """The root of the sum of squares, [()]."""
    return elementwise.sqrt(reduce.sum_(x * x))


def muon(lr: Rate = 1e-3, momentum: float = 0.95, weight_decay: float = 0.1, steps: int = 5,
         nesterov: bool = True, eps: float = 1e-7,
         coefficients: tuple[float, float, float] = COEFFICIENTS, clip: Clips = None) -> Optimizer:
    """Momentum made orthogonal, for matrices (Jordan et al. 2024, torch.optim.Muon, in the dtype of
    the parameter throughout): of the moving average of g all singular values are brought near 1 by
    `steps` of Newton and Schulz' iteration, and lr is times sqrt(max(1, columns / rows)), where
    rows are a layer's inputs.

    Raises DlcError for a parameter that is not a matrix: by_name gives those to another optimizer.
    """
    checked("muon", momentum=momentum, weight_decay=weight_decay, eps=eps)
    if isinstance(steps, bool) or not isinstance(steps, int) or not 0 < steps < 100:
        raise DlcError(f"optim.muon: steps={steps!r} is invalid", here(), "1 to 99")

    def rule(slot: Slot, lr: Node, shrink: Node) -> Node:
        if slot.param.ndim != 2:
            raise DlcError(f"optim.muon: {slot.name} is {describe(slot.param)}, no matrix",
                           slot.param.loc, 'optim.by_name({"*.weight": optim.muon(), '
                           '"*": optim.adamw()})')
        m = slot.state("m", lambda old: old * momentum + slot.grad * (1 - momentum))
        update = m * momentum + slot.grad * (1 - momentum) if nesterov else m
        rows, columns = map(int, slot.param.shape)
        size = math.sqrt(max(1.0, columns / rows))
        change = lr * size * orthogonal(update, steps, eps, coefficients)
        return shrunk(slot, shrink, weight_decay) - change

    return made("muon", rule, lr, clip, lambda lr, t: (lr, lr * weight_decay))


def orthogonal(x: Node, steps: int, eps: float,
               coefficients: tuple[float, float, float] = COEFFICIENTS) -> Node:
    """A matrix with its singular values near 1: `steps` times x = a x + (b y + c y y) x, where
    y = x x^T, from x over its norm. The shorter side is in front, as the smaller products are."""
    a, b, c = coefficients
    rows, columns = map(int, x.shape)
    x = transpose(x) if rows > columns else x
    x = x / elementwise.maximum(norm(x), eps)
    for _ in range(steps):
        y = matmul(x, transpose(x))
        x = x * a + matmul(y * b + matmul(y, y) * c, x)
    return transpose(x) if rows > columns else x
