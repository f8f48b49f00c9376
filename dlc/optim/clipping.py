"""Clipping: what is done to gradients before an optimizer sees them."""

from __future__ import annotations

from collections.abc import Sequence

from dlc.ir.graph import Node
from dlc.ops import elementwise, reduce
from dlc.ops.convert import as_node, cast
from dlc.optim.optimizer import Clip, checked, widest


def clip_by_norm(limit: float) -> Clip:
    """Scale all gradients together so that their norm is at most `limit` (Pascanu et al. 2013).

    The factor is limit / (norm + 1e-6), at most 1: torch.nn.utils.clip_grad_norm_.
    """
    checked("clip_by_norm", limit=limit)

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
    checked("clip_by_value", limit=limit)

    def clip(grads: Sequence[Node]) -> list[Node]:
        return [elementwise.clip(g, -limit, limit) for g in grads]

    return clip
