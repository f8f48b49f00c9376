"""Optimizers around others: by name, over several steps, averaged, constrained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dlc.errors import DlcError, here
from dlc.ir.graph import Node
from dlc.ops import elementwise, reduce
from dlc.optim.optimizer import Clips, Constraint, Optimizer, checked, clips


def by_name(groups: Mapping[str, Optimizer], clip: Clips = None) -> Optimizer:
    """An optimizer for each group of parameters, by name pattern; the first that fits counts.

    by_name({"*.bias": adam(1e-3), "*": adamw(1e-3, weight_decay=0.1)}): rates, decay and kinds of
    optimizers may differ. `clip` sees all gradients. The rate that is reported is the first one's.
    """
    loc = here()
    if not isinstance(groups, Mapping) or not groups:
        raise DlcError(f"optim.by_name: {groups!r} has no group", loc,
                       'e.g. {"*": optim.adam(1e-3)}')
    for pattern, part in groups.items():
        if not isinstance(pattern, str) or not isinstance(part, Optimizer):
            raise DlcError(f"optim.by_name: {pattern!r}: {part!r} is not a group", loc,
                           'a name pattern and an optimizer, e.g. "*.bias": optim.sgd(0.1)')
        if (part.groups or part.every != 1 or part.average is not None or part.clip
                or part.constraints):
            raise DlcError(f"optim.by_name: {pattern}: {part} can't be one of several", loc,
                           "clip, accumulate, average and constrain stand around by_name")
    first = next(iter(groups.values()))
    return Optimizer("by_name", None, first.learning_rate, clip=clips(clip), loc=loc,
                     groups=tuple(groups.items()))


def accumulate(optimizer: Optimizer, steps: int) -> Optimizer:
    """`optimizer` with the mean gradient of `steps` steps for each update: as if the batch were so
    many times as large, where the loss is a mean over it.

    Clipping sees the mean. Schedules go on counting steps; metrics are those of each step.
    """
    whole = isinstance(steps, int) and not isinstance(steps, bool)
    if not isinstance(optimizer, Optimizer) or not whole or steps < 1 or optimizer.every != 1:
        raise DlcError(f"optim.accumulate: {steps!r} steps of {optimizer}", here(),
                       "a whole number of steps from 1, and once")
    return replace(optimizer, every=steps)


def average(optimizer: Optimizer, decay: float = 0.999) -> Optimizer:
    """`optimizer` with a moving average of the parameters, which evaluation and prediction use:
    a = decay * a + (1 - decay) * p after each update (Polyak and Juditsky 1992; as the exponential
    AveragedModel of torch). The state average/NAME is that of the parameter NAME.
    """
    checked("average", b1=decay)
    if not isinstance(optimizer, Optimizer):
        raise DlcError(f"optim.average: {optimizer!r} is not an optimizer", here(),
                       "e.g. optim.average(optim.adam(1e-3))")
    return replace(optimizer, average=float(decay))


def constrain(optimizer: Optimizer, constraints: Mapping[str, Constraint]) -> Optimizer:
    """`optimizer` whose parameters fit a constraint after each update, by name pattern; the first
    that fits counts.

    constrain(adam(1e-3), {"dense*.weight": max_norm(3.0)}): max_norm, unit_norm, non_negative, or a
    function of the updated parameter (f32 or f64) that gives one of its shape.
    """
    if not isinstance(optimizer, Optimizer):
        raise DlcError(f"optim.constrain: {optimizer!r} is not an optimizer", here(),
                       "e.g. optim.constrain(optim.adam(1e-3), {...})")
    named = isinstance(constraints, Mapping) and constraints and all(
        isinstance(p, str) and callable(c) for p, c in constraints.items())
    if not named:
        raise DlcError(f"optim.constrain: {constraints!r} is not a constraint by name", here(),
                       'e.g. {"*.weight": optim.max_norm(3.0)}')
    return replace(optimizer, constraints=(*optimizer.constraints, *constraints.items()))


def max_norm(limit: float = 3.0) -> Constraint:
    """The weights that go into each unit, scaled to a norm of at most `limit` (Srebro and Shraibman
    2005; beside dropout, Srivastava et al. 2014): columns of [in, out], rows of [out, in, ...],
    a vector as a whole."""
    checked("max_norm", limit=limit)

    def fit(weight: Node) -> Node:
        norm = _norms(weight)
        over = norm > limit
        return elementwise.where(over, weight * (limit / elementwise.where(over, norm, 1.0)),
                                 weight)

    return fit


def unit_norm() -> Constraint:
    """The weights that go into each unit, scaled to norm 1; zeros stay."""
    def fit(weight: Node) -> Node:
        norm = _norms(weight)
        return weight / elementwise.where(norm > 0, norm, 1.0)

    return fit


def non_negative() -> Constraint:
    """Weights below 0 become 0."""
    return elementwise.relu


def _norms(weight: Node) -> Node:
    """The 2-norm of what goes into each unit, with axes of size 1 beside it."""
    axes = (0,) if weight.ndim <= 2 else tuple(range(1, weight.ndim))
    if weight.ndim == 0:
        return elementwise.abs_(weight)
    return elementwise.sqrt(reduce.sum_(weight * weight, axes, keepdims=True))
