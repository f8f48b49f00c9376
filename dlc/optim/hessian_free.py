"""Second order without the Hessian: Gauss-Newton products and conjugate gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlc.errors import DlcError, here
from dlc.init import constant, zeros
from dlc.ir.graph import Node, substitute, toposort
from dlc.ir.types import Type, i32
from dlc.lang.array.dynamic_slice import dynamic_update_slice
from dlc.lang.array.elementwise_functions import logical_and, logical_not
from dlc.lang.branches import cond, while_loop
from dlc.lang.scope import state, update_state
from dlc.lang.transform import hvp, jvp, vjp
from dlc.ops import elementwise, gather, leaf, reduce
from dlc.ops.convert import as_node, cast
from dlc.ops.view import reshape
from dlc.optim.lbfgs import flat, own, parted
from dlc.optim.learning_rate import Rate
from dlc.optim.optimizer import Optimizer, Slot, checked, made

PROGRESS = 0.0005  # conjugate gradients end when an iteration gains less than this share
GROWTH = 1.3  # the loss is looked at after 1.3 ** j iterations
SHORTER, SLOPE, TRIES = 0.8, 0.01, 60  # of the backtracking line search
WORSE, BETTER, HARDER = 0.25, 0.75, 1.5  # of the damping's rule, Levenberg and Marquardt's


@dataclass(frozen=True)
class Model:
    """A step's loss as a function: its value and, where a loss function was given one, the
    prediction that it judges; `params` are the nodes of the parameters that are trained."""

    loss: Node
    prediction: Node | None
    params: tuple[Node, ...]

    def at(self, row: Node, wanted: Node, **held: Node) -> Node:
        """`wanted` where the parameters are the parts of `row`, with `prediction=` held."""
        mapping = dict(zip(self.params, self.parts(row), strict=True))
        if held and self.prediction is not None:
            mapping[self.prediction] = held["prediction"]
        return substitute([wanted], mapping)[0]

    def parts(self, row: Node) -> list[Node]:
        """The parameters in `row` [size], in their shapes and dtypes."""
        found, at = [], 0
        for p in self.params:
            count = math.prod(map(int, p.shape))
            found.append(cast(reshape(row[at:at + count], tuple(p.shape)), p.dtype))
            at += count
        return found

    def product(self, row: Node, v: Node) -> Node:
        """G v at the parameters `row`: J^T H J v, with J the derivative of the prediction and H the
        Hessian of the loss by it (Schraudolph 2002); and the Hessian of what else the loss has."""
        prediction = self.prediction
        assert prediction is not None

        def predicted(row: Node) -> Node:
            return self.at(row, prediction)

        def judged(z: Node, row: Node) -> Node:
            return self.at(row, self.loss, prediction=z)

        z, pushed = jvp(predicted, (row,), (v,))
        curved: Node = hvp(lambda z: judged(z, row), z, pushed)
        pulled: Node = vjp(predicted, row)[1](curved)
        if not self.reads_parameters_beside():
            return pulled
        beside: Node = hvp(lambda row: judged(z, row), row, v)
        return pulled + beside

    def reads_parameters_beside(self) -> bool:
        """Whether the loss depends on parameters apart from its prediction, as penalties do."""
        assert self.prediction is not None
        held = leaf.input_("held", self.prediction.type)
        below = toposort(substitute([self.loss], {self.prediction: held}))
        return bool(set(self.params) & set(below))


@dataclass(frozen=True)
class Search:
    """The quadratic around the parameters `start`, whose gradient is g and whose loss is `loss`."""

    model: Model
    start: Node
    g: Node
    loss: Node

    def loss_at(self, change: Node) -> Node:
        return cast(self.model.at(self.start + change, self.model.loss), self.g.dtype)

    def solved(self, damping: Node, first: Node, limit: int) -> tuple[Node, Node, Node, Node]:
        """(the last solution; the best one, its loss, what the quadratic promised of it)."""
        def times(v: Node) -> Node:
            return self.model.product(self.start, v) + damping * v

        begin = begun(self.g, first, -self.g - times(first), limit)
        looked = as_node(looked_at(limit))

        def step(c: Solving) -> Solving:
            moved = advanced(c, self.g, times(c["p"]))
            worth = cond(gather.take(looked, c["i"], mode="clip"), self.loss_at,
                         lambda _: as_node(math.inf, self.g.dtype), moved["x"])
            return better(moved, worth)

        found, _ = while_loop(lambda c: going(c, limit), step, begin, bound=limit + 1)
        found = better(found, self.loss_at(found["x"]))
        return found["x"], found["best"], found["least"], found["promised"]

    def shortened(self, change: Node) -> Node:
        """The share of `change` after which the loss has fallen by SLOPE of what it does at first:
        1, times SHORTER as often as need be; 0 where no share does."""
        falls = reduce.sum_(self.g * change) * SLOPE

        def enough(share: Node, loss: Node) -> Node:
            return loss <= self.loss + share * falls

        def on(c: tuple[Node, Node, Node]) -> Node:
            return logical_and(logical_not(enough(c[0], c[1])), c[2] < TRIES)

        def shorter(c: tuple[Node, Node, Node]) -> tuple[Node, Node, Node]:
            share = c[0] * SHORTER
            return share, self.loss_at(change * share), c[2] + 1

        one = as_node(1.0, self.g.dtype)
        (share, loss, _), _ = while_loop(
            on, shorter, (one, self.loss_at(change), leaf.constant(0, Type(i32))), bound=TRIES + 1)
        return elementwise.where(enough(share, loss), share, 0.0)


# --- conjugate gradients --------------------------------------------------------------------------

# x, the residual r, the direction p and r . r; the value of the quadratic after each iteration;
# the best solution so far, its loss and value; `i` iterations are done, `sound` while p is one of
# positive curvature
Solving = dict[str, Node]


def looked_at(limit: int) -> np.ndarray[Any, Any]:
    """Whether the loss is looked at after iteration i + 1."""
    found = np.zeros(limit, bool)
    at = 1.0
    while math.ceil(at) <= limit:
        found[math.ceil(at) - 1] = True
        at *= GROWTH
    return found


def begun(g: Node, x: Node, r: Node, limit: int) -> Solving:
    """Before the first iteration, at x with the residual r = -g - A x."""
    values = dynamic_update_slice(leaf.constant(0.0, Type(g.dtype, (limit + 1,))),
                                  reshape(quadratic(g, x, r), (1,)), (0,))
    return {"i": leaf.constant(0, Type(i32)), "x": x, "r": r, "p": r, "rr": reduce.sum_(r * r),
            "values": values, "best": x, "least": as_node(math.inf, g.dtype),
            "promised": as_node(0.0, g.dtype), "sound": reduce.any_(elementwise.ne(r, 0.0))}


def quadratic(g: Node, x: Node, r: Node) -> Node:
    """x A x / 2 + g x, where r = -g - A x."""
    return reduce.sum_(x * (g - r)) * 0.5


def advanced(c: Solving, g: Node, product: Node) -> Solving:
    """After one more iteration, where `product` is A p (Hestenes and Stiefel 1952)."""
    curvature = reduce.sum_(c["p"] * product)
    sound = curvature > 0
    size = elementwise.where(sound, c["rr"] / elementwise.where(sound, curvature, 1.0), 0.0)
    x, r = c["x"] + size * c["p"], c["r"] - size * product
    rr, i = reduce.sum_(r * r), c["i"] + 1
    values = dynamic_update_slice(c["values"], reshape(quadratic(g, x, r), (1,)), (i,))
    return {**c, "i": i, "x": x, "r": r, "p": r + (rr / c["rr"]) * c["p"], "rr": rr,
            "values": values, "sound": logical_and(sound, rr > 0)}


def better(c: Solving, loss: Node) -> Solving:
    """With x as the best solution where `loss` is less than that of the best so far."""
    less = loss < c["least"]
    value = gather.take(c["values"], c["i"], mode="clip")
    return {**c, "best": elementwise.where(less, c["x"], c["best"]),
            "least": elementwise.where(less, loss, c["least"]),
            "promised": elementwise.where(less, value, c["promised"])}


def going(c: Solving, limit: int) -> Node:
    """Whether the next iteration is worth it: until the last k gained less than k PROGRESS of the
    value, k = max(10, i / 10) (Martens 2010, section 4.4)."""
    k = elementwise.maximum(c["i"] // 10, 10)
    value = gather.take(c["values"], c["i"], mode="clip")
    before = gather.take(c["values"], c["i"] - k, mode="clip")
    slow = before - value < cast(k, value.dtype) * PROGRESS * -value
    done = logical_and(logical_and(c["i"] > k, value < 0), slow)
    return logical_and(logical_and(c["i"] < limit, c["sound"]), logical_not(done))


def hessian_free(lr: Rate = 1.0, damping: float = 1.0, iterations: int = 100,
                 momentum: float = 0.95) -> Optimizer:
    """p + lr * d, where d solves (G + damping) d = -g by conjugate gradients, G the Gauss-Newton
    matrix of the loss, of which only products with vectors are taken (Martens 2010).

    All parameters together; of the solutions that conjugate gradients pass, the one of least loss
    is taken, and shortened until the loss falls enough. The damping grows by half where the loss
    falls by less than a quarter of what the quadratic promised, and shrinks where it falls by three
    quarters. The next search starts from `momentum` times this solution. It is for large batches: a
    step takes up to `iterations` products, each of three passes or four.
    """
    checked("hessian_free", damping=damping, momentum=momentum)
    if isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < 1:
        raise DlcError(f"optim.hessian_free: iterations={iterations!r} is invalid", here(),
                       "a whole number from 1")

    def curved(slots: Sequence[Slot], lr: Node, model: Model) -> list[Node]:
        if model.prediction is None:
            raise DlcError("optim.hessian_free: the loss has no prediction", optimizer.loc,
                           "it is what a loss of dlc.nn is given first, or dlc.loss(value, "
                           "prediction=z)")
        first, g = slots[0], flat([slot.grad for slot in slots])
        start = flat([slot.param for slot in slots])
        search = Search(model, start, g, cast(model.loss, g.dtype))
        previous = state(own(first, "solution"), g.type, zeros)
        strength = state(own(first, "damping"), Type(g.dtype), constant(damping))
        last, best, least, promised = search.solved(strength, previous * momentum, iterations)
        update_state(previous, last)
        ratio = (least - search.loss) / elementwise.minimum(promised, -1e-30)
        kept_damping = elementwise.where(ratio < WORSE, strength * HARDER, elementwise.where(
            ratio > BETTER, strength / HARDER, strength))
        update_state(strength, kept_damping)
        return parted(best * cast(lr, g.dtype) * search.shortened(best), slots)

    optimizer = made("hessian_free", None, lr, None, curved=curved)
    return optimizer
