"""The packing launch: copy tiles lay an array out in blocks for gemm tiles.

    packed: f32[1, 2, 128, 64] = fused_pack(w)      # [batch, blocks, k, lanes]; w [128, 120]

One kernel for all shapes, which are its arguments; a second one for arrays whose lanes are not
contiguous. Any view of an array in which lanes or k are contiguous can be packed: lowering
recognizes it from the index map (`pack_launch`); otherwise the launch is a loop nest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from dlc.backend.contract.matrix import index, times
from dlc.backend.contract.ready import same
from dlc.backend.cpu.limits import Limits
from dlc.backend.emit.emitter import Emitter
from dlc.backend.ir import (
    Binary,
    Call,
    Expression,
    For,
    Function,
    Let,
    Load,
    Number,
    Pointer,
    Position,
    Ref,
    Statement,
    Store,
    tile_call,
)
from dlc.backend.ir.index import Sum, Term, Var, least, sum_of
from dlc.backend.ir.reading import sum_in_order
from dlc.ir.graph import Graph, Kind
from dlc.ir.types import DTYPES, i64
from dlc.ops import view
from dlc.program import Parameter

NUMBERS = ("k", "width", "lanes", "blocks", "step", "leap", "first", "each", "groups", "deep",
           "parts")
_LAYOUTS = {"copy": "lanes side by side in memory, step elements from one k to the next",
            "transpose": "k side by side in memory, step elements from one lane to the next"}


@lru_cache(maxsize=4)
def blocks_kernel(tile: str, kind: str) -> Function:
    """Packing by tile "copy" (lanes lie side by side) or "transpose" (k does)."""
    params = (Parameter("x", kind, "pointer"), Parameter("packed", kind, "pointer", True),
              *(Parameter(n, "i64", "scalar") for n in NUMBERS))
    doc = ("Blocks of `width` lanes, k by k, zeros where lanes are missing, for the tiles of "
           "products", "", f"{_LAYOUTS[tile]}.",
           "lanes, blocks: of a matrix; leap: elements between matrices; each: blocks a chunk;",
           "groups: chunks a matrix; deep: k a chunk; parts: chunks of that.")
    rest, first = Call("idiv", (index("chunk"), index("parts")), i64), times(
        index("g"), index("each"))
    part = Call("imod", (index("chunk"), index("parts")), i64)
    many = least(sum_in_order(index("deep")), sum_in_order(minus(index("k"), index("low"))))
    last = Call("min", (plus(first, index("each")), index("blocks")), i64)
    return Function(f"blocks_{tile}_{kind}", params, doc, (
        Let("g", Call("imod", (rest, index("groups")), i64)),
        Let("b", Call("idiv", (rest, index("groups")), i64)),
        Let("low", times(part, index("deep"))),
        Let("many", Position(many, i64)),
        For("p", sum_in_order(first), sum_in_order(last), _block(tile, kind))))


def _block(tile: str, kind: str) -> tuple[Statement, ...]:
    """Rows low, low + 1, ... of block p of matrix b."""
    low, width, step, live, many = (index(n) for n in ("low", "width", "step", "live", "many"))
    lane, block = times(index("p"), width), times(
        plus(times(index("b"), index("blocks")), index("p")), index("k"))
    if tile == "copy":
        start, rows = plus(lane, times(low, step)), (many, live)
    else:
        start, rows = plus(times(lane, step), low), (live, many)
    source = plus(plus(index("first"), times(index("b"), index("leap"))), start)
    zero = Store("packed", sum_in_order(plus(times(plus(block, index("i")), width), index("j"))),
                 Number(0, DTYPES[kind]), DTYPES[kind])
    return (Let("live", Call("min", (width, minus(index("lanes"), lane)), i64)),
            tile_call(f"{tile}_{kind}",
                      Pointer("packed", sum_in_order(times(plus(block, low), width))),
                      sum_in_order(width), Pointer("x", sum_in_order(source)), sum_in_order(step),
                      *map(sum_in_order, rows)),
            For("i", sum_in_order(low), sum_in_order(plus(low, many)), (
                For("j", sum_in_order(live), sum_in_order(width), (zero,)),)))


def plus(a: Expression, b: Expression) -> Binary:
    return Binary("+", a, b, i64)


def minus(a: Expression, b: Expression) -> Binary:
    return Binary("-", a, b, i64)


@dataclass(frozen=True)
class PackLaunch:
    """How a component is packed: what it lays out, and how that is cut."""

    source: Matrices
    kind: str
    extents: tuple[int, int, int, int]  # of the result
    each: int  # blocks a chunk
    deep: int  # k a chunk

    @property
    def tile(self) -> str:
        return "copy" if self.source.lane == 1 else "transpose"

    @property
    def numbers(self) -> tuple[int, ...]:
        """The arguments of the shared kernel."""
        (_, blocks, k, width), source = self.extents, self.source
        step = source.k if self.tile == "copy" else source.lane
        return (k, width, source.lanes, blocks, step, source.leap, source.first, self.each,
                -(-blocks // self.each), self.deep, -(-k // self.deep))

    @property
    def chunks(self) -> int:
        batch, blocks, k, _ = self.extents
        return batch * -(-blocks // self.each) * -(-k // self.deep)

    def write(self, e: Emitter, x: str, packed: str) -> None:
        """The same over parallel axes: matrices, blocks and parts of k."""
        (batch, blocks, k, width), source = self.extents, self.source
        b, p = e.axis("b", batch, leads=True), e.axis("p", blocks)
        low = e.axis("part", -(-k // self.deep)) * self.deep
        many, live = least(self.deep, k - low), least(width, source.lanes - p * width)
        start = b * source.leap + p * (width * source.lane) + low * source.k + source.first
        step, rows = (source.k, (many, live)) if self.tile == "copy" else (
            source.lane, (live, many))
        block = (b * blocks + p) * k
        e.tile(f"{self.tile}_{self.kind}", Pointer(packed, (block + low) * width), width,
               Pointer(x, start), step, *rows)
        i, j = e.open("i", 0, k), e.open("j", 0, width)
        zero = Number(0, DTYPES[self.kind])
        e.write(Store(packed, (block + i) * width + j, zero, zero.dtype))
        e.close(j, live, sum_of(width))
        e.close(i, low, low + many)


def pack_launch(part: Graph, limits: Limits) -> PackLaunch | None:
    """How a component that lays out an array in blocks is run by tiles; None for any other."""
    source = matrices_of(part, limits) if lays_out_blocks(part) else None
    if source is None:
        return None
    (out,) = part.outputs
    batch, blocks, k, width = map(int, out.type.shape)
    each = min(blocks, max(1, limits.chunk_elements // (k * width)))
    deep = min(k, max(1, limits.chunk_elements // width))
    return PackLaunch(source, out.type.dtype.name, (batch, blocks, k, width), each, deep)


def lays_out_blocks(part: Graph) -> bool:
    """Whether a component is views alone, of one array that tiles copy, as [b, block, k, lane]."""
    if len(part.inputs) != 1 or len(part.outputs) != 1:
        return False
    (x,), (out,) = part.inputs, part.outputs
    kinds = {x.type.dtype.name, out.type.dtype.name}
    return out.ndim == 4 and bool(out.type.size) and out is not x and (
        kinds in ({"f32"}, {"f64"}) and all(
            n is x or n.op.kind is Kind.VIEW for n in part.nodes()))


@dataclass(frozen=True)
class Matrices:
    """A stack of matrices in memory: `first` is where it begins, the others are the elements from
    one lane, k and matrix to the next; `lanes` a matrix has."""

    lanes: int
    first: int
    lane: int
    k: int
    leap: int


def matrices_of(part: Graph, limits: Limits) -> Matrices | None:
    """What a component of blocks lays out, where that is a stack of matrices with lanes or k side
    by side, and no lanes are missing but at the end of each."""
    (out,) = part.outputs
    batch, blocks, k, width = map(int, out.type.shape)
    lanes = lanes_of(part)
    whole, rest = divmod(lanes, width)
    if blocks != -(-lanes // width):
        return None
    b, i = Var("b_probe", 0, batch - 1), Var("k_probe", 0, k - 1)
    blocks_ = [(sum_of(Var("p_probe", 0, whole - 1)), width)] if whole else []
    blocks_ += [(sum_of(whole), rest)] if rest else []
    found = None
    for p, count in blocks_:
        lane = Var("lane_probe", 0, count - 1)
        load = read_at(part, (b, p, i, lane), limits)
        if not isinstance(load, Load) or load.guard:
            return None
        found = found or steps_of(load.index, lanes, b, i, lane)
        if found is None or not same(load.index, place_of(found, b, p * width + lane, i)):
            return None
    missing = Var("lane_probe", rest, width - 1)
    if rest and read_at(part, (b, whole, i, missing), limits) != Number(0, out.type.dtype):
        return None
    return found


def steps_of(index: Sum, lanes: int, b: Var, i: Var, lane: Var) -> Matrices | None:
    """The steps of an index that is linear in its variables, with lanes or k side by side."""
    by_lane, by_k, by_b = (1 if v.high == v.low else index.coefficient(v.name)
                           for v in (lane, i, b))
    if by_lane is None or by_k is None or by_b is None or 1 not in (by_lane, by_k):
        return None
    return Matrices(lanes, index.const, by_lane, by_k, by_b)


def place_of(found: Matrices, b: Var, lane: Sum, i: Var) -> Sum:
    """Where an element lies."""
    return sum_of(b) * found.leap + lane * found.lane + sum_of(i) * found.k + found.first


def lanes_of(part: Graph) -> int:
    """The lanes of a matrix that are not padding."""
    (out,) = part.outputs
    padded = [n.args[0] for n in part.nodes() if n.op is view.PAD and n.ndim == 3]
    return int(padded[0].shape[1]) if len(padded) == 1 else int(out.shape[1] * out.shape[3])


def read_at(part: Graph, at: tuple[Term, ...], limits: Limits) -> Expression | None:
    """What the component's result is made of at an index: a load, a number, or something else."""
    (x,), (out,) = part.inputs, part.outputs
    e = Emitter({x: "x"}, {}, limits)
    e.levels.update(dict.fromkeys((v.name for v in at if isinstance(v, Var)), 0))
    e.levels.update(dict.fromkeys(("p_probe",), 0))
    value = e.value(out, at)
    match e.stack[0].statements:
        case [Let(name=name, value=Load() as load)] if isinstance(value, Ref) and (
                value.name == name):
            return load
        case []:
            return value
    return None
