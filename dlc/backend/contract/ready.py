"""Operands already packed in memory: the layouts that tiles read, as views of an ordinary array.

    packed: f32[1, 2, 128, 64] = fused_pack(w)    # w [128, 120]: two boxes of 64 columns, k by k
    y = matmul(x, w seen in packed)               # its tiles read `packed` as it lies

A packed operand is a value like any other, written by one launch and read by others. Readers go
through views (`unpack`), so no additional operator is needed; lowering recognizes from the index
map that the operand already has the tiles' layout (`ready_buffer`). A matrix of 32 or 64 columns
has it anyway.
"""

from __future__ import annotations

from dataclasses import dataclass

from dlc.backend.contract.pack import Job
from dlc.backend.ir import Let, Load
from dlc.backend.ir.index import Sum, Var, sum_of
from dlc.ir.access import unravel
from dlc.ir.graph import Kind, Node
from dlc.ir.types import DType
from dlc.ops import leaf, view


@dataclass(frozen=True)
class Form:
    """[batch, blocks, k, width]: panels of rows of A, or boxes of columns of B, k by k.

    `lanes` of the blocks * width rows or columns are the operand's; the others are zeros.
    """

    side: str
    batch: int
    blocks: int
    k: int
    width: int
    lanes: int

    @property
    def size(self) -> int:
        return self.batch * self.blocks * self.k * self.width


def roles(job: Job, side: str) -> tuple[Node, tuple[int, ...]] | None:
    """(operand, its axes in the order batch, rows of A or columns of B, summed) where each axis is
    read by one of these as it stands; None where the operand is read in any other way."""
    shape = job.shape
    lanes = shape.rows if side == "a" else shape.cols
    extents = (*shape.batch, *lanes, *shape.inner)
    at = [Var(f"axis{i}", 0, n - 1) for i, n in enumerate(extents)]
    first, last = len(shape.batch), len(shape.batch) + len(lanes)
    access = job.read(side, at[:first], at[first:last], at[last:])
    if len(access.pieces) != 1 or access.pieces[0].conditions:
        return None
    piece = access.pieces[0]
    operand = job.y.args[piece.operand]
    index = tuple(map(sum_of, piece.index))
    order: tuple[int, ...] = ()
    for value in map(sum_of, at):  # axes of one element are all read at 0
        order += tuple(a for a, i in enumerate(index) if i == value and a not in order)[:1]
    same = tuple(int(operand.shape[a]) for a in order) == extents
    return (operand, order) if same and len(order) == operand.ndim else None


def pack(operand: Node, order: tuple[int, ...], form: Form) -> Node:
    """The operand as its tiles read it: zeros where a block has more rows than are left."""
    x = view.transpose(operand, order)
    x = view.reshape(x, (form.batch, form.lanes, form.k))
    more = form.blocks * form.width - form.lanes
    x = view.pad(x, (0, 0, 0), (0, more, 0))
    x = view.reshape(x, (form.batch, form.blocks, form.width, form.k))
    return view.transpose(x, (0, 1, 3, 2))


def unpack(packed: Node, like: Node, order: tuple[int, ...], form: Form) -> Node:
    """The operand, of the type of `like`, seen in its packed form."""
    x = view.transpose(packed, (0, 1, 3, 2))
    x = view.reshape(x, (form.batch, form.blocks * form.width, form.k))
    x = view.narrow(x, 1, 0, form.lanes) if form.lanes < form.blocks * form.width else x
    x = view.reshape(x, tuple(int(like.shape[a]) for a in order))
    return view.transpose(x, tuple(order.index(a) for a in range(len(order))))


def ready_buffer(job: Job, form: Form) -> str | None:
    """The buffer that holds an operand in this form, if one does."""
    found = roles(job, form.side)
    if found is None or not _may_hold(found[0], form, job.kind):
        return None
    lanes = [lane_of(job, form, block, width) for block, width in whole_and_rest(form)]
    return lanes[0] if lanes and all(x == lanes[0] for x in lanes) else None


def whole_and_rest(form: Form) -> list[tuple[Sum, int]]:
    """The blocks whose lanes are all the operand's, and the last one where it has some of it: the
    number of the block, and how many."""
    whole, rest = divmod(form.lanes, form.width)
    found = [(sum_of(Var("block_probe", 0, whole - 1)), form.width)] if whole else []
    return found + ([(sum_of(whole), rest)] if rest else [])


def lane_of(job: Job, form: Form, block: Sum, width: int) -> str | None:
    """The buffer in which `width` lanes of a block lie in this form, if there is one."""
    b = Var("b_probe", 0, form.batch - 1)
    lane, k = Var("lane_probe", 0, width - 1), Var("k_probe", 0, form.k - 1)
    shape, e = job.shape, job.emitter()
    batch = unravel(sum_of(b), shape.batch) if shape.batch else []
    lanes = unravel(block * form.width + lane, shape.rows if form.side == "a" else shape.cols)
    e.levels.update(dict.fromkeys(("b_probe", "block_probe", "lane_probe", "k_probe"), 0))
    e.access(job.read(form.side, batch, lanes, unravel(sum_of(k), shape.inner)), job.y, ())
    wanted = ((sum_of(b) * form.blocks + block) * form.k + k) * form.width + lane
    match e.stack[0].statements:
        case [Let(value=Load() as load)] if not load.guard and same(load.index, wanted):
            return load.buffer
    return None


def _may_hold(operand: Node, form: Form, kind: DType) -> bool:
    """Whether an operand is seen in an array in memory of the form's size and the tiles' dtype."""
    while operand.op.kind is Kind.VIEW and len(operand.args) == 1:
        operand = operand.args[0]
    return operand.op is leaf.INPUT and int(operand.type.size) == form.size and (
        operand.type.dtype is kind)


def same(index: Sum, wanted: Sum) -> bool:
    """Whether two indices are equal; variables of a single value count for nothing."""
    def varying(value: Sum) -> Sum:
        return Sum(value.const, tuple((a, c) for a, c in value.terms if a.high > 0))

    return varying(index) == varying(wanted)
