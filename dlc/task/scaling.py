"""The precision of a task: its forward pass with casts, and dynamic loss scaling for f16.

The gradients of f16 vanish below 2 ** -24 and overflow from 65520. So the loss is multiplied by a
scale before they are taken (its cotangent is the scale instead of 1), and they are divided by it
once they are f32 (Micikevicius et al. 2018, section 3.2). A step whose gradients are not finite is
skipped and halves the scale; GROWS_AFTER sound steps in a row double it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dlc import init
from dlc.derive.precision import lowered
from dlc.ir.graph import Node
from dlc.ir.types import Type, f32, i32
from dlc.lang.names import name_returned
from dlc.lang.scope import Scope, state
from dlc.ops import elementwise, reduce
from dlc.ops.convert import cast

if TYPE_CHECKING:
    from dlc.task.step import Forward

FIRST, LARGEST, SMALLEST = 2.0**15, 2.0**24, 1.0  # powers of 2: scaling rounds nothing
GROWS_AFTER = 2000
STATE = "loss_scaling"


def in_task_precision(forward: Forward, precision: str) -> Forward:
    """`forward` with the casts of `precision` in everything that it computes."""
    if precision == "f32":
        return forward
    name_returned()
    scope, result = forward.scope, forward.result
    shown = [] if scope.prediction is None else [scope.prediction[0]]
    roots = [result.value, *result.metrics.values(), *scope.updates.values(),
             *(c.bad for c in forward.checks), *shown, *scope.whole,
             *(row for whole in scope.whole.values() for row in whole.rows),
             *([] if result.prediction is None else [result.prediction])]
    values, made = lowered(roots, precision)
    new = dict(zip(roots, values, strict=True))
    _renew(scope, new)
    scope.hints = [(made.get(node, node), name) for node, name in scope.hints]
    return replace(forward, checks=[replace(c, bad=new[c.bad]) for c in forward.checks],
                   result=replace(
                       result, value=new[result.value],
                       metrics={name: new[m] for name, m in result.metrics.items()},
                       prediction=None if result.prediction is None else new[result.prediction]))


def _renew(scope: Scope, new: dict[Node, Node]) -> None:
    """Let what the trace has collected name the nodes that now stand for others."""
    scope.updates = {name: new[value] for name, value in scope.updates.items()}
    if scope.prediction is not None:
        scope.prediction = (new[scope.prediction[0]], *scope.prediction[1:])
    scope.whole = {new[metric]: replace(whole, rows=tuple(new[row] for row in whole.rows))
                   for metric, whole in scope.whole.items()}


@dataclass(frozen=True)
class Scaling:
    """The state of dynamic loss scaling, as this step reads it: `scale` f32[()]; how many `sound`
    steps it has lasted, and how many were `skipped` since training began, i32[()]."""

    prefix: str
    scale: Node
    sound: Node
    skipped: Node

    def unscaled(self, grads: Sequence[Node]) -> list[Node]:
        """The gradients of the loss from those of the scaled loss."""
        return [g * cast(1.0 / self.scale, g.dtype) for g in grads]

    def finite(self, value: Node, grads: Sequence[Node]) -> Node:
        """bool[()]: whether the loss and all gradients are finite."""
        found = elementwise.isfinite(value)
        for g in grads:
            found = elementwise.and_(found, reduce.all_(elementwise.isfinite(g)))
        return found

    def may_shrink(self) -> Node:
        """bool[()]: whether a step may be skipped for its scale. At the smallest scale a loss or
        gradient that is not finite is a fault, as in f32."""
        return elementwise.gt(self.scale, SMALLEST)

    def updates(self, finite: Node) -> dict[str, Node]:
        """The new state, by name."""
        grows = elementwise.and_(finite, elementwise.ge(self.sound + 1, GROWS_AFTER))
        larger = elementwise.minimum(self.scale * 2.0, LARGEST)
        smaller = elementwise.maximum(self.scale * 0.5, SMALLEST)
        kept = elementwise.and_(finite, elementwise.not_(grows))
        scale = elementwise.where(finite, elementwise.where(grows, larger, self.scale), smaller)
        return {f"{self.prefix}{STATE}.scale": scale,
                f"{self.prefix}{STATE}.sound": elementwise.where(kept, self.sound + 1, 0),
                f"{self.prefix}{STATE}.skipped": self.skipped + cast(elementwise.not_(finite),
                                                                      i32)}

    def metrics(self, finite: Node) -> dict[str, Node]:
        """What a step reports: the scale that it used, and whether it was skipped."""
        return {"loss_scale": self.scale, "skipped": cast(elementwise.not_(finite), f32)}


def scaling(prefix: str) -> Scaling:
    """The loss scaling of a phase; `prefix` keeps the states of several phases apart."""
    return Scaling(prefix, state(f"{prefix}{STATE}.scale", Type(f32), init.constant(FIRST)),
                   state(f"{prefix}{STATE}.sound", Type(i32)),
                   state(f"{prefix}{STATE}.skipped", Type(i32)))
