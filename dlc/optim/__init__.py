"""Optimizers as values: sgd, momentum, nesterov, adam, adamw; clipping; the schedules beside them.

A rule gives the new value of one parameter in a few operators; the task predicates and stores it.
Names that PyTorch has too mean exactly what they mean there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from dlc.errors import DlcError, Loc, here
from dlc.init import zeros
from dlc.ir.graph import Node, serving
from dlc.ir.types import DType, f32, f64
from dlc.lang.scope import Variable, state, update_state
from dlc.ops import elementwise, reduce
from dlc.ops.convert import as_node, cast, widened
from dlc.optim import learning_rate as schedule
from dlc.optim.learning_rate import (
    Clock,
    Rate,
    Schedule,
    constant,
    cosine,
    exponential,
    piecewise,
    step_decay,
    warmup,
)

__all__ = ["Optimizer", "Slot", "adam", "adamw", "clip_by_norm", "clip_by_value", "constant",
           "cosine", "exponential", "momentum", "nesterov", "piecewise", "sgd", "step_decay",
           "warmup"]

# the gradients of all parameters -> the gradients that the rule sees
Clip = Callable[[Sequence[Node]], list[Node]]


@dataclass(frozen=True)
class Slot:
    """One parameter in an update: its value, its gradient, and its named state."""

    optimizer: str
    name: str
    param: Node
    grad: Node

    def state(self, name: str, update: Callable[[Node], Node]) -> Node:
        """The new value `update(old)` of a state of the parameter's type: adam.m/conv1.weight."""
        handle = state(f"{self.optimizer}.{name}/{self.name}", self.param.type, zeros)
        new = update(handle)
        update_state(handle, new)
        return new


@dataclass(frozen=True, eq=False)
class Optimizer:
    """`rule(slot, *scalars(lr, t))` is the new parameter; t [()] counts updates from 1."""

    name: str
    rule: Callable[..., Node]
    learning_rate: Schedule
    scalars: Callable[[Node, Node], tuple[Node, ...]] = lambda lr, t: (lr,)
    clip: tuple[Clip, ...] = ()
    loc: Loc | None = None

    def __str__(self) -> str:
        return self.name

    def with_rate(self, rate: Rate) -> Optimizer:
        """This optimizer with another learning rate."""
        return replace(self, learning_rate=schedule.as_schedule(rate))


def update(optimizer: Optimizer, variables: Sequence[Variable], grads: Sequence[Node],
           step: Node, epochs: int, prefix: str) -> tuple[dict[str, Node], Node]:
    """(new value of each variable, the learning rate) of one step; moments go to the scope.

    Shared scalars serve the optimizer's line, each update the line of its parameter. `prefix` keeps
    the states of several phases apart.
    """
    with serving(_lines(optimizer)):
        clock = Clock(cast(step, widest(v.type.dtype for v in variables)), epochs)
        lr = optimizer.learning_rate.at(clock)
        scalars = optimizer.scalars(lr, clock.step + 1.0)
        grads = [widened(g) for g in grads]
        for clip in optimizer.clip:
            grads = clip(grads)
    new = {}
    for variable, g in zip(variables, grads, strict=True):
        with serving((*variable.node.locs, *_lines(optimizer))):
            # moments are sums, of squares too: those of halves are f32
            slot = Slot(prefix + optimizer.name, variable.name, widened(variable.node), g)
            new[variable.name] = cast(optimizer.rule(slot, *scalars), variable.node.dtype)
    return new, lr


def widest(kinds: Iterable[DType]) -> DType:
    """What scalars beside arrays of `kinds` are computed in: f64 where one is f64, else f32."""
    return f64 if f64 in kinds else f32


def _lines(optimizer: Optimizer) -> tuple[Loc, ...]:
    return () if optimizer.loc is None else (optimizer.loc,)


def _clips(clip: Clip | Sequence[Clip] | None) -> tuple[Clip, ...]:
    if clip is None:
        return ()
    return (clip,) if callable(clip) else tuple(clip)


def _checked(what: str, **values: float) -> None:
    for name, value in values.items():
        low_one = name in ("b1", "b2", "momentum")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not (
                0 <= value < (1 if low_one else math.inf)):
            raise DlcError(f"optim.{what}: {name}={value!r} is out of range", here(),
                           f"0 <= {name}{' < 1' if low_one else ''}")


# --- optimizers -----------------------------------------------------------------------------------


def sgd(lr: Rate = 1e-2, weight_decay: float = 0.0,
        clip: Clip | Sequence[Clip] | None = None) -> Optimizer:
    """p - lr * g, with g = grad + weight_decay * p (torch.optim.SGD)."""
    _checked("sgd", weight_decay=weight_decay)

    def rule(slot: Slot, lr: Node) -> Node:
        return slot.param - lr * _decayed(slot, weight_decay)

    return Optimizer("sgd", rule, schedule.as_schedule(lr), clip=_clips(clip), loc=here())


def momentum(lr: Rate = 1e-2, momentum: float = 0.9, weight_decay: float = 0.0,
             clip: Clip | Sequence[Clip] | None = None) -> Optimizer:
    """v = momentum * v + g; p - lr * v (Polyak 1964, as torch.optim.SGD with momentum)."""
    return _heavy_ball("momentum", lr, momentum, weight_decay, clip, lookahead=False)


def nesterov(lr: Rate = 1e-2, momentum: float = 0.9, weight_decay: float = 0.0,
             clip: Clip | Sequence[Clip] | None = None) -> Optimizer:
    """v = momentum * v + g; p - lr * (g + momentum * v) (Sutskever et al. 2013, as in torch)."""
    return _heavy_ball("nesterov", lr, momentum, weight_decay, clip, lookahead=True)


def _heavy_ball(name: str, lr: Rate, decay: float, weight_decay: float,
                clip: Clip | Sequence[Clip] | None, lookahead: bool) -> Optimizer:
    _checked(name, momentum=decay, weight_decay=weight_decay)

    def rule(slot: Slot, lr: Node) -> Node:
        g = _decayed(slot, weight_decay)
        v = slot.state("v", lambda old: old * decay + g)
        return slot.param - lr * (g + v * decay if lookahead else v)

    return Optimizer(name, rule, schedule.as_schedule(lr), clip=_clips(clip), loc=here())


def adam(lr: Rate = 1e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8,
         weight_decay: float = 0.0, clip: Clip | Sequence[Clip] | None = None) -> Optimizer:
    """Adam (Kingma and Ba 2015, algorithm 1); the gradient gets weight_decay * p, as in torch."""
    return _adam("adam", lr, b1, b2, eps, clip, coupled=weight_decay, decoupled=0.0)


def adamw(lr: Rate = 1e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8,
          weight_decay: float = 1e-2, clip: Clip | Sequence[Clip] | None = None) -> Optimizer:
    """Adam with decoupled weight decay: p * (1 - lr * decay) first (Loshchilov and Hutter 2019)."""
    return _adam("adamw", lr, b1, b2, eps, clip, coupled=0.0, decoupled=weight_decay)


def _adam(name: str, lr: Rate, b1: float, b2: float, eps: float,
          clip: Clip | Sequence[Clip] | None, coupled: float, decoupled: float) -> Optimizer:
    _checked(name, b1=b1, b2=b2, eps=eps, weight_decay=coupled + decoupled)

    def scalars(lr: Node, t: Node) -> tuple[Node, ...]:
        return lr / _bias(b1, t), elementwise.rsqrt(_bias(b2, t)), lr * decoupled

    def rule(slot: Slot, size: Node, scale: Node, shrink: Node) -> Node:
        g = _decayed(slot, coupled)
        m = slot.state("m", lambda old: old * b1 + g * (1 - b1))
        v = slot.state("v", lambda old: old * b2 + g * g * (1 - b2))
        p = slot.param - slot.param * shrink if decoupled else slot.param
        return p - size * m / (elementwise.sqrt(v) * scale + eps)

    return Optimizer(name, rule, schedule.as_schedule(lr), scalars, _clips(clip), here())


def _bias(decay: float, t: Node) -> Node:
    """1 - decay ** t; expm1 keeps f32's digits where decay ** t is near 1."""
    return -elementwise.expm1(t * math.log(decay)) if decay else elementwise.const_like(t, 1.0)


def _decayed(slot: Slot, weight_decay: float) -> Node:
    return slot.grad + slot.param * weight_decay if weight_decay else slot.grad


# --- clipping -------------------------------------------------------------------------------------


def clip_by_norm(limit: float) -> Clip:
    """Scale all gradients together so that their norm is at most `limit` (Pascanu et al. 2013).

    The factor is limit / (norm + 1e-6), at most 1: torch.nn.utils.clip_grad_norm_.
    """
    _checked("clip_by_norm", limit=limit)

    def clip(grads: Sequence[Node]) -> list[Node]:
        kind = widest(g.dtype for g in grads)
        squares = [reduce.sum_(cast(g, kind) * cast(g, kind)) for g in grads]
        total = as_node(0.0, kind)
        for square in squares:
            total = total + square
        factor = elementwise.minimum(limit / (elementwise.sqrt(total) + 1e-6), 1.0)
        return [g * cast(factor, g.dtype) for g in grads]

    return clip


def clip_by_value(limit: float) -> Clip:
    """Limit each element of each gradient to -limit .. limit."""
    _checked("clip_by_value", limit=limit)

    def clip(grads: Sequence[Node]) -> list[Node]:
        return [elementwise.clip(g, -limit, limit) for g in grads]

    return clip
