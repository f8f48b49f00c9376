"""The launch that packs: an array laid out in blocks for tiles, by the tiles that copy.

    packed: f32[1, 2, 128, 64] = fused_pack(w)      # [batch, blocks, k, lanes]; w [128, 120]

One kernel for all shapes, which are its arguments; a second one for arrays whose lanes do not lie
side by side. What is packed may be any views of one array in which lanes or k do: by the index at
which an element is read the lowering finds that (`pack_launch`), else the launch is a loop nest.
"""

from __future__ import annotations

from dataclasses import dataclass

from dlc.backend.contract.ready import same
from dlc.backend.cpu.limits import Limits
from dlc.backend.emit.emitter import Emitter
from dlc.backend.ir import Expression, Let, Load, Number, Ref
from dlc.backend.ir.index import Sum, Term, Var, sum_of
from dlc.ir.graph import Graph, Kind
from dlc.ops import view

_TEXT = '''\
def {name}(x, packed, k, width, lanes, blocks, step, leap, first, each, groups, deep, parts, chunk):
    """Blocks of `width` lanes, k by k, zeros where lanes are missing, for the tiles of products

    {layout}.
    lanes, blocks: of a matrix; leap: elements between matrices; each: blocks a chunk;
    groups: chunks a matrix; deep: k a chunk; parts: chunks of that."""
    part = imod(chunk, parts)
    g = imod(idiv(chunk, parts), groups)
    b = idiv(idiv(chunk, parts), groups)
    low = part * deep
    many = min(deep, k - low)
    for p in range(g * each, min(g * each + each, blocks)):
        live = min(width, lanes - p * width)
        {call}
        for i in range(low, low + many):
            for j in range(live, width):
                packed[((b * blocks + p) * k + i) * width + j] = {kind}(0.0)
'''
_TO = "at(packed, ((b * blocks + p) * k + low) * width), width"
_CALLS = {
    "copy": "copy_{kind}({to}, at(x, first + b * leap + p * width + low * step), step, many, live)",
    "transpose": "transpose_{kind}({to}, at(x, first + b * leap + p * width * step + low), step, "
                 "live, many)",
}
_LAYOUTS = {"copy": "lanes side by side in memory, step elements from one k to the next",
            "transpose": "k side by side in memory, step elements from one lane to the next"}


@dataclass(frozen=True)
class PackLaunch:
    """A call of a shared kernel: its text, its numbers by name, and how many chunks it has."""

    text: str
    numbers: dict[str, int]
    chunks: int


def pack_launch(part: Graph, limits: Limits) -> PackLaunch | None:
    """How a component that lays out an array in blocks is run by tiles; None for any other."""
    if not lays_out_blocks(part):
        return None
    (out,) = part.outputs
    batch, blocks, k, width = map(int, out.type.shape)
    source = matrices_of(part, limits)
    if source is None:
        return None
    tile, step = ("copy", source.k) if source.lane == 1 else ("transpose", source.lane)
    each = min(blocks, max(1, limits.chunk_elements // (k * width)))
    deep = min(k, max(1, limits.chunk_elements // width))
    groups, parts = -(-blocks // each), -(-k // deep)
    numbers = {"k": k, "width": width, "lanes": source.lanes, "blocks": blocks, "step": step,
               "leap": source.leap, "first": source.first, "each": each, "groups": groups,
               "deep": deep, "parts": parts}
    return PackLaunch(text_of(tile, out.type.dtype.name), numbers, batch * groups * parts)


def text_of(tile: str, kind: str) -> str:
    """The shared kernel around the tile "copy" or "transpose"."""
    call = _CALLS[tile].format(kind=kind, to=_TO)
    return _TEXT.format(name=f"blocks_{tile}_{kind}", layout=_LAYOUTS[tile], kind=kind, call=call)


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
    """The lanes of a matrix that are no padding."""
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
