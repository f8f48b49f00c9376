"""Fused groups around a matmul or convolution: to kernels and stages.

`lower_contract` is the entry. A group holds one contraction; what its operands are made of is
evaluated while they are packed (prologue), what is made of its result while a block of it is still
in cache (epilogue). docs/design/contractions.md says which scheme runs when, and why.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlc.graph import Graph, Kind, Node
from dlc.kernel.contract_conv import dots_writer, taps_writer
from dlc.kernel.contract_gemm import GemmWriter
from dlc.kernel.contract_matrix import packing
from dlc.kernel.contract_pack import Index, Job
from dlc.kernel.contract_plan import Shape, blocking, ravel
from dlc.kernel.emit import Emitter
from dlc.kernel.index import Sum, Var, sum_of
from dlc.kernel.ir import block, computing, function_text
from dlc.kernel.isa import Isa
from dlc.passes.plan_memory import Scratch
from dlc.program import Kernel, Parameter
from dlc.types import accumulator


@dataclass(frozen=True)
class Part:
    """One kernel of a launch; `args` are its parameters: group buffers, workspace, numbers."""

    kernel: Kernel
    args: tuple[Node | Scratch | int, ...]
    chunks: int


@dataclass(frozen=True)
class Lowered:
    """A launch: stages with a barrier between them, the workspace they share, and its cost."""

    stages: tuple[tuple[Part, ...], ...]
    scratch: tuple[Scratch, ...]
    flops: int


def contraction_of(body: Graph) -> Node | None:
    """The contraction that a group is built around, if it has exactly one."""
    found = [n for n in body.nodes() if n.op.kind is Kind.CONTRACT]
    return found[0] if len(found) == 1 else None


def shape_of(y: Node) -> Shape:
    """The extents of contraction `y` by role."""
    c, dims = y.op.emit(y), [int(d) for d in y.type.shape]
    batch, rows, cols = (tuple(dims[a] for a in axes) for axes in (c.batch, c.rows, c.cols))
    return Shape(batch, rows, cols, tuple(c.extents))


def uses_tiles(body: Graph) -> bool:
    """Whether `lower_contract` takes the group: one contraction, not too small for packing, and
    outputs that stand one to one with its elements. Plain loops serve the others."""
    y = contraction_of(body)
    return (y is not None and not shape_of(y).tiny
            and all(output_index(y, o) is not None for o in body.outputs))


def lower_contract(name: str, doc: Sequence[str], body: Graph, loads: Mapping[Node, str],
                   stores: Mapping[Node, str], isa: Isa) -> Lowered:
    """The kernels and stages of a group for which `uses_tiles` holds.

    `loads` and `stores` name the group's inputs and outputs as the kernels' parameters; an output
    written over an input has its name. `doc` are the lines of the kernels' docstring. Raises
    ValueError for a group that tiles can't run.
    """
    y = contraction_of(body)
    if y is None or not uses_tiles(body):
        raise ValueError(f"{name}: no group around one contraction that tiles can run")
    kind, shape = computing(accumulator(y.type.dtype)), shape_of(y)
    job = Job(y, y.op.emit(y), shape, kind, blocking(shape, kind, isa), loads, stores)
    finish = finisher(y, body.outputs)
    writer = (dots_writer(job, finish, isa) or taps_writer(job, finish, isa)
              or GemmWriter(job, finish))
    if writer.cuts.splits:
        space = Scratch("parts", kind, shape.b * writer.parts * writer.partial)
        suffix, first, second = "sums", writer.write_partial, writer.write_sum
    else:
        space = Scratch("packed", kind, writer.packed)
        suffix, first, second = "pack", writer.write_pack, writer.write_multiply
    before = None if writer.cuts.splits else pack_part(writer, space)
    before = before or kernel_part(f"{name}_{suffix}", doc, job, space, first, True)
    after = kernel_part(name, doc, job, space, second, False)
    return Lowered(((before,), (after,)), (space,), shape.flops)


def pack_part(writer: GemmWriter, space: Scratch) -> Part | None:
    """Packing A by a kernel that all contractions share, where A lies in memory as a matrix."""
    found = packing(writer)
    if found is None:
        return None
    owner = {label: node for node, label in writer.job.loads.items()}
    params = (Parameter("a", space.dtype.name, "pointer"),
              Parameter("packed", space.dtype.name, "pointer", True),
              *(Parameter(n, "i64", "scalar") for n in found.numbers))
    kernel = Kernel(found.name, params, found.text, (found.tile,))
    return Part(kernel, (owner[found.buffer], space, *found.numbers.values()), found.chunks)


def kernel_part(name: str, doc: Sequence[str], job: Job, space: Scratch,
                write: Callable[[Emitter, str], int], fills: bool) -> Part:
    """The kernel that `write` emits, with the buffers that its text uses and the workspace, which
    it fills or reads."""
    e = job.emitter()
    label = e.names.new(space.name)
    chunks = write(e, label)
    statements = e.stack[0].statements
    words = set(re.findall(r"\w+", "\n".join(block(statements, ""))))
    written = set(job.stores.values())
    owner = {n: node for node, n in job.stores.items()} | {n: node for node, n in job.loads.items()}
    names = dict.fromkeys((*job.loads.values(), *job.stores.values()))
    used = [(n, owner[n]) for n in names if n in words]
    params = [Parameter(n, node.type.dtype.name, "pointer", n in written and not fills)
              for n, node in used]
    params.append(Parameter(label, space.dtype.name, "pointer", fills))
    text = function_text(name, [p.name for p in params], doc, statements)
    tiles = tuple(sorted(set(_TILE.findall(text))))
    return Part(Kernel(name, tuple(params), text, tiles), (*(n for _, n in used), space), chunks)


_TILE = re.compile(r"\b(?:(?:gemm|taps|dots)_f\d+_\d+x\d+|(?:transpose|copy)_f\d+)(?=\()")


def finisher(y: Node, outputs: Sequence[Node]) -> Callable[[Emitter, Index, Any], None]:
    """What stores every output's element, given the index and value of the contraction's."""
    places = {o: output_index(y, o) for o in dict.fromkeys(outputs)}

    def finish(e: Emitter, index: Index, value: Any) -> None:
        exact = e.k.rounded(value, y.type.dtype)
        e.results[y] = lambda _: exact
        at = {output: place(index) for output, place in places.items() if place is not None}
        # all values before the first store: a store may overwrite what another value is made of
        values = {output: e.value(output, where) for output, where in at.items()}
        for output, where in at.items():
            e.store(output, where, values[output])
    return finish


# ---- where an output's element stands ------------------------------------------------------------


def output_index(y: Node, output: Node) -> Callable[[Index], Index] | None:
    """Maps an index of contraction `y` to that of the element of `output` made from it.

    Between the two may stand elementwise operators and views that only rearrange (transpose, flip,
    reshape). None where `output` is anything else of `y`.
    """
    at = tuple(sum_of(Var(f"o{i}", 0, int(d) - 1)) for i, d in enumerate(output.type.shape))
    found: set[Index] = set()
    if output.type.size != y.type.size or not _reads(y, output, at, found) or len(found) != 1:
        return None
    (index,) = found
    dims = tuple(int(d) for d in y.type.shape)
    if any(i.low < 0 or i.high >= n for i, n in zip(index, dims, strict=True)):
        return None
    steps = _steps(ravel(index, dims), output)
    if steps is None:
        return None

    def place(at_y: Index) -> Index:
        if index == at:
            return at_y
        position = ravel(at_y, dims)
        return tuple((position // s) % n if sign > 0 else sum_of(n - 1) - (position // s) % n
                     for s, sign, n in steps)
    return place


def _reads(y: Node, node: Node, at: Index, found: set[Index]) -> bool:
    """Collect the indices at which `node` at `at` reads `y`; False where a path is no chain."""
    if node is y:
        found.add(at)
        return True
    if not _reaches(y, node):
        return True
    if node.op.kind is Kind.ELEMENTWISE:
        return all(_reads(y, a, at, found) for a in node.args)
    if node.op.kind is not Kind.VIEW:
        return False
    access = node.op.emit(at, node)
    if len(access.pieces) != 1 or access.pieces[0].conditions:
        return False
    return _reads(y, node.args[access.pieces[0].operand],
                  tuple(map(sum_of, access.pieces[0].index)), found)


def _reaches(y: Node, node: Node) -> bool:
    return node is y or any(_reaches(y, a) for a in node.args)


def _steps(position: Sum, output: Node) -> list[tuple[int, int, int]] | None:
    """(step, sign, extent) per axis of `output`, when its index is a mixed-radix number of y's
    position; None when it is not."""
    extents = [int(d) for d in output.type.shape]
    found = []
    low = position.const
    for i, n in enumerate(extents):
        c = position.coefficient(f"o{i}") if n > 1 else 1
        if not c:
            return None
        low += c * (n - 1) if c < 0 and n > 1 else 0
        found.append((abs(c) if n > 1 else output.type.size, 1 if c > 0 else -1, n))
    expected = 1
    for step, _, n in sorted(f for f in found if f[2] > 1):
        if step != expected:
            return None
        expected *= n
    return found if low == 0 and expected == output.type.size else None
