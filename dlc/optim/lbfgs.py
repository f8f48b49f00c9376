"""Second order: L-BFGS."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dlc.errors import DlcError, here
from dlc.init import ones, zeros
from dlc.ir.graph import Node
from dlc.ir.types import Type
from dlc.lang.array.elementwise_functions import logical_and, logical_not
from dlc.lang.scope import state, update_state
from dlc.ops import elementwise, reduce
from dlc.ops.convert import as_node, cast
from dlc.ops.view import concat, reshape
from dlc.optim.learning_rate import Rate
from dlc.optim.optimizer import Clips, Optimizer, Slot, checked, kept, made, when, widest

CURVED = 1e-10  # y . s below which a pair tells nothing of the curvature


def lbfgs(lr: Rate = 1.0, history: int = 10, tolerance: float = 1e-9,
          clip: Clips = None) -> Optimizer:
    """p + lr * d, where d is the quasi-Newton direction of the last `history` changes of parameters
    and gradients (Nocedal 1980; Nocedal and Wright 2006, algorithm 7.4): all parameters together,
    one iteration a step, as torch.optim.LBFGS with max_iter=1 and no line search.

    The first step is min(1, 1 / |g|_1) * lr long. A direction that does not descend by more than
    `tolerance` moves nothing. It is for large batches: changes of the gradient that come from
    another batch are taken for curvature.
    """
    checked("lbfgs", tolerance=tolerance)
    if isinstance(history, bool) or not isinstance(history, int) or history < 1:
        raise DlcError(f"optim.lbfgs: history={history!r} is invalid", here(),
                       "a whole number from 1")

    def joint(slots: Sequence[Slot], lr: Node, t: Node) -> list[Node]:
        first, g = slots[0], flat([slot.grad for slot in slots])
        begins = elementwise.eq(t, 1.0)
        before, last = (state(own(first, name), g.type, zeros) for name in ("g", "moved"))
        d = direction(first, g, g - before, last, begins, history)
        rate = cast(lr, g.dtype)
        size = elementwise.minimum(1.0 / reduce.sum_(elementwise.abs_(g)), 1.0) * rate
        size = elementwise.where(begins, size, rate)
        descends = reduce.sum_(g * d) <= -tolerance
        moved = elementwise.where(descends, size * d, as_node(0.0, g.dtype))
        for handle, new in ((before, g), (last, moved)):
            update_state(handle, when(first.due, new, handle))
        return parted(moved, slots)

    return made("lbfgs", None, lr, clip, joint=joint)


def flat(arrays: Sequence[Node]) -> Node:
    """All values in one row, in the widest dtype."""
    kind = widest(a.dtype for a in arrays)
    return concat([reshape(cast(a, kind), (a.type.size,)) for a in arrays])


def parted(row: Node, slots: Sequence[Slot]) -> list[Node]:
    """Each parameter with its part of `row` added."""
    found, at = [], 0
    for slot in slots:
        count = math.prod(map(int, slot.param.shape))
        change = reshape(row[at:at + count], tuple(slot.param.shape))
        found.append(slot.param + cast(change, slot.param.dtype))
        at += count
    return found


def own(slot: Slot, name: str) -> str:
    """The name of a state of the group that begins with this parameter."""
    return f"{slot.optimizer}.{name}/{slot.name}"


def direction(slot: Slot, g: Node, y: Node, s: Node, begins: Node, history: int) -> Node:
    """-H g by the two loops over the stored pairs and the new one, the changes s of parameters and
    y of gradients; those that are not there yet have rho = 0."""
    ys = reduce.sum_(y * s)
    taken = logical_and(ys > CURVED, logical_not(begins))
    last = {"s": s, "y": y, "rho": elementwise.where(taken, 1.0 / ys, as_node(0.0, g.dtype))}
    pairs = {k: pushed(slot, k, value, history, taken) for k, value in last.items()}
    scale = kept(own(slot, "scale"), Type(g.dtype), lambda old: elementwise.where(
        taken, ys / reduce.sum_(y * y), old), ones, slot.due)
    return two_loops(g, pairs["s"], pairs["y"], pairs["rho"], scale, history)


def pushed(slot: Slot, name: str, value: Node, history: int, taken: Node) -> Node:
    """The last `history` values, newest last: [history, ...]."""
    shape = (history, *map(int, value.shape))
    row = reshape(value, (1, *shape[1:]))
    return kept(own(slot, name), Type(value.dtype, shape), lambda old: elementwise.where(
        taken, concat([old[1:], row]) if history > 1 else row, old), zeros, slot.due)


def two_loops(g: Node, s: Node, y: Node, rho: Node, scale: Node, history: int) -> Node:
    """-H g, where H is scale * 1 with the updates of the pairs."""
    q, shares = -g, []
    for i in reversed(range(history)):
        share = reduce.sum_(s[i] * q) * rho[i]
        shares.append(share)
        q = q - share * y[i]
    r = q * scale
    for i, share in zip(range(history), reversed(shares), strict=True):
        r = r + s[i] * (share - reduce.sum_(y[i] * r) * rho[i])
    return r
