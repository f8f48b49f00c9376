"""Writes to a few elements of a loop's carry become scatters, so that only those are written.

    x' = where(written(i), gather(u, winner(i)), x)    ->   x' = scatter_onto(i, u, x, fold="set")
    x' = add(x, scatter_add(i, u))                     ->   x' = scatter_onto(i, u, x, fold="add")

The left side touches all of x in every step. The right side is a launch that overwrites x in place
if every other reader of the old x runs first; then only the indexed elements are written. Otherwise
the carry alternates between two buffers and is copied whole, as on the left. This is done only if
the updates are at most half of x. Half precisions are left as they are: their sums need f32.
"""

from __future__ import annotations

from collections.abc import Sequence

from dlc.derive.control import COND, Loop, results
from dlc.derive.control_tidy import BODIES
from dlc.ir.graph import Node, make, serving, substitute, toposort
from dlc.ir.types import bf16, bool_, f16
from dlc.ops import elementwise, gather, leaf, scatter, view
from dlc.ops.scatter_onto import SCATTER_ONTO
from dlc.ops.tuples import ITEM
from dlc.passes.loops.products import with_outputs


def writes_onto_carries(loop: Loop) -> Sequence[Node] | None:
    """The results of the loop whose carries are written in place; None where there is none."""
    found: dict[Node, Node] = {}
    for (x, _), value in zip(loop.carries, loop.new, strict=True):
        with serving(value.locs):
            new = as_write(value, x)
        if new is not None:
            found[value] = new
    found.update(written_in_branches(loop))
    if not found:
        return None
    outputs = [found.get(o, o) for o in loop.new]  # the old value may also be a row of results
    return with_outputs(loop, substitute([*outputs, *loop.ys], {
        old: new for old, new in found.items() if old.op is ITEM}), ())


def written_in_branches(loop: Loop) -> dict[Node, Node]:
    """For the results of branches that write to carries, those of branches that do so in place:
    the step of a while loop is such a branch."""
    found: dict[Node, Node] = {}
    items = [n for n in toposort((*loop.new, *loop.ys)) if n.op is ITEM and n.args[0].op is COND]
    for node in {v.args[0]: None for v in items}:
        bodies = {key: node.attrs[key].outputs for key in BODIES[COND]}
        for (x, _), value in zip(loop.carries, loop.new, strict=True):
            places = [i for i, a in enumerate(node.args[1:]) if a is x]
            if value.op is not ITEM or value.args[0] is not node or len(places) != 1:
                continue
            at = value.attrs["index"]
            for key, outputs in bodies.items():
                with serving(outputs[at].locs):
                    write = as_write(outputs[at], node.attrs[key].inputs[places[0]])
                if write is not None:
                    bodies[key] = (*outputs[:at], write, *outputs[at + 1:])
        if any(bodies[key] is not node.attrs[key].outputs for key in bodies):
            with serving(node.locs):
                new = results(make(COND, node.args, node.name, **{
                    key: node.attrs[key].with_outputs(bodies[key]) for key in bodies}))
            found.update((v, new[v.attrs["index"]]) for v in items if v.args[0] is node)
    return found


def as_write(value: Node, x: Node) -> Node | None:
    """`value`, x with some of its places written, as one operator; None for anything else."""
    found = as_add(value, x) if value.op is elementwise.ADD else as_set(value, x)
    if found is None or x.dtype in (f16, bf16, bool_):
        return None
    return found if 2 * found.args[1].type.size <= x.type.size else None


def as_add(value: Node, x: Node) -> Node | None:
    """add(x, scatter_add(index, updates))."""
    for base, added in (value.args, value.args[::-1]):
        if base is x and added.op is gather.SCATTER_ADD:
            return make(SCATTER_ONTO, (*added.args, x), value.name, axis=added.attrs["axis"],
                        batch=added.attrs["batch"], fold="add")
    return None


def as_set(value: Node, x: Node) -> Node | None:
    """What dlc.scatter makes of "set": where some update names a place, the last one of them."""
    if value.op is not elementwise.WHERE or value.args[2] is not x:
        return None
    written, chosen, _ = value.args
    if chosen.op is not gather.GATHER:
        return None
    (updates, pick), axis, batch = chosen.args, chosen.attrs["axis"], chosen.attrs["batch"]
    winner = at_least_zero(pick)
    if winner is None or winner is not named(written, x, axis, batch):
        return None
    return make(SCATTER_ONTO, (winner.args[0], updates, x), value.name, axis=axis, batch=batch,
                fold="set")


def at_least_zero(pick: Node) -> Node | None:
    """The winners [B..., N] of maximum(winners, 0)."""
    if pick.op is not elementwise.MAXIMUM:
        return None
    return next((a for a, b in (pick.args, pick.args[::-1])
                 if a.op is scatter.SCATTER_LAST and is_zero(b)), None)


def named(written: Node, x: Node, axis: int, batch: int) -> Node | None:
    """The winners of ge(winners, 0), [B..., N], where it is repeated to x's shape beside `axis`."""
    if written.op is view.BROADCAST:
        (written,) = written.args
    shape = (*(1,) * (x.ndim - written.ndim), *map(int, written.shape))
    if shape != tuple(int(d) if a < batch or a == axis else 1 for a, d in enumerate(x.shape)):
        return None
    if written.op is view.RESHAPE:
        (written,) = written.args
    if written.op is not elementwise.GE or not is_zero(written.args[1]):
        return None
    winner = written.args[0]
    fits = winner.op is scatter.SCATTER_LAST and tuple(map(int, winner.shape)) == (
        *map(int, x.shape[:batch]), int(x.shape[axis]))
    return winner if fits else None


def is_zero(node: Node) -> bool:
    """Whether a node is 0 everywhere."""
    while node.op in (view.BROADCAST, view.RESHAPE):
        (node,) = node.args
    return bool(node.op is leaf.CONSTANT and node.attrs["value"] == 0)
