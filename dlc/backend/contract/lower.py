"""Lowering of fused groups around a matmul or convolution to kernels and stages.

`lower_contract` is the entry point. A group has one contraction; producers of its operands are
evaluated while these are packed (prologue), consumers of its result while a block of it is still
in cache (epilogue). docs/design/contractions.md says which scheme runs when, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dlc.backend.contract.conv import dots_writer, taps_writer
from dlc.backend.contract.gemm import Finish, GemmWriter
from dlc.backend.contract.matrix import packing
from dlc.backend.contract.pack import Index, Job, Run, grid, nest
from dlc.backend.contract.plan import Box, Shape, blocking
from dlc.backend.cpu.isa import Isa
from dlc.backend.cpu.limits import Limits
from dlc.backend.cpu.mapping import Cuts
from dlc.backend.emit.emitter import Emitter
from dlc.backend.emit.fold import mapped
from dlc.backend.emit.work import Lowered, Work
from dlc.backend.ir import Expression, Function, Number, computing
from dlc.backend.ir.index import Sum, Var, sum_of
from dlc.backend.ir.walks import buffers_of
from dlc.ir.access import Contraction, Residue, ravel, unravel
from dlc.ir.graph import Graph, Kind, Node
from dlc.ir.types import accumulator
from dlc.passes.schedule.lives import Scratch
from dlc.program import Parameter


def contraction_of(body: Graph) -> Node | None:
    """The contraction that a group is built around, if it has exactly one."""
    found = [n for n in body.nodes() if n.op.kind is Kind.CONTRACT]
    return found[0] if len(found) == 1 else None


def shape_of(y: Node) -> Shape:
    """The extents of contraction `y` by role."""
    return extents(y.op.emit(y), y.type.shape)


def extents(c: Contraction, dims: Sequence[int]) -> Shape:
    """The extents of a contraction with results of shape `dims`, by role."""
    batch, rows, cols = (tuple(int(dims[a]) for a in axes) for axes in (c.batch, c.rows, c.cols))
    return Shape(batch, rows, cols, tuple(c.extents))


def uses_tiles(body: Graph, limits: Limits) -> bool:
    """Whether `lower_contract` takes the group: one contraction, not too small for packing, and
    outputs that stand one to one with its elements. Plain loops serve the others."""
    y = contraction_of(body)
    return (y is not None and shape_of(y).products > limits.plain_products
            and all(output_index(y, o) is not None for o in body.outputs))


def lower_contract(name: str, doc: Sequence[str], body: Graph, loads: Mapping[Node, str],
                   stores: Mapping[Node, str], isa: Isa) -> Lowered:
    """The kernels and stages of a group for which `uses_tiles` holds.

    `loads` and `stores` name the group's inputs and outputs as the kernels' parameters; an output
    written over an input has its name. `doc` are the lines of the kernels' docstring. Raises
    ValueError for a group that tiles can't run.
    """
    y = contraction_of(body)
    if y is None or not uses_tiles(body, isa.limits):
        raise ValueError(f"{name}: no group around one contraction that tiles can run")
    finish, found = finisher(y, body.outputs), []
    for number, residue in enumerate(residues_of(y)):
        title = f"{name}_residue{number}" if number else name
        found.append(lower_residue(title, doc, residue, y, loads, stores, finish, isa))
    # residues write between each other's elements: one after the other, or no check could tell
    packs = tuple(part for each in found for part in each.stages[0] if len(each.stages) == 2)
    return Lowered(((packs,) if packs else ()) + tuple(each.stages[-1] for each in found))


def residues_of(y: Node) -> list[Residue]:
    """The residues of contraction `y` that have results; most have one, which is the whole."""
    whole = y.op.emit(y)
    residues = whole.residues or (Residue(tuple(y.type.shape), whole, lambda index: index),)
    return [r for r in residues if 0 not in r.shape]


def lower_residue(name: str, doc: Sequence[str], residue: Residue, y: Node,
                  loads: Mapping[Node, str], stores: Mapping[Node, str], finish: Finish,
                  isa: Isa) -> Lowered:
    """The stages of one residue of contraction `y`; a single one where its sums are empty."""
    def placed(e: Emitter, index: Index, value: Expression) -> None:
        finish(e, tuple(map(sum_of, residue.place(index))), value)

    job = job_of(residue, y, loads, stores, isa)
    kind, shape = job.kind, job.shape
    if shape.k == 0:
        part = kernel_part(name, doc, job, None, lambda e, _: write_zeros(e, job, placed), False)
        return Lowered(((part,),))
    writer = writer_of(job, placed, isa)
    if not writer.cuts.splits and not writer.packs_first:
        part = kernel_part(name, doc, job, None, writer.write_multiply, False)
        return Lowered(((part,),))
    if writer.cuts.splits:
        space = Scratch("parts", kind, shape.b * writer.parts * writer.partial)
        suffix, first, second = "sums", writer.write_partial, writer.write_sum
    else:
        space = Scratch("packed", kind, writer.packed)
        suffix, first, second = "pack", writer.write_pack, writer.write_multiply
    title = f"{name}_{suffix}"
    before = None if writer.cuts.splits else pack_part(title, doc, writer, space)
    before = before or kernel_part(title, doc, job, space, first, True)
    after = kernel_part(name, doc, job, space, second, False)
    return Lowered(((before,), (after,)))


def job_of(residue: Residue, y: Node, loads: Mapping[Node, str], stores: Mapping[Node, str],
           isa: Isa) -> Job:
    """One residue of contraction `y`, cut for an instruction set."""
    kind, shape = computing(accumulator(y.type.dtype)), extents(residue.contraction, residue.shape)
    return Job(y, residue.contraction, shape, kind, blocking(shape, kind, isa), isa.limits,
               loads, stores)


def writer_of(job: Job, finish: Finish, isa: Isa) -> GemmWriter:
    """What writes the kernels of a job: the first scheme that takes it."""
    return (dots_writer(job, finish, isa) or taps_writer(job, finish, isa)
            or GemmWriter(job, finish))


def write_zeros(e: Emitter, job: Job, finish: Finish) -> Cuts:
    """What the group makes of sums of no products; rows are the parallel axis."""
    shape = job.shape
    *batch, i = grid(e, shape.batch, i=shape.m)
    columns = shape.cols or (1,)
    run = Run(Box(columns, 0, columns[0]), (), sum_of(0), sum_of(columns[0]))
    index, _, close = nest(e, run, "n")
    col = index if shape.cols else []
    row = unravel(i, shape.rows)
    finish(e, job.out_index(batch, row, col), Number(0, job.kind))
    close()
    return dict.fromkeys(e.axes, 1)


def pack_part(name: str, doc: Sequence[str], writer: GemmWriter, space: Scratch) -> Work | None:
    """Packing A by a kernel that all contractions share, where A lies in memory as a matrix; its
    numbers follow the buffers of what is computed."""
    found = packing(writer)
    if found is None:
        return None
    whole, places, _ = emitted(name, doc, writer.job, space, writer.write_pack, True)
    return Work(found.kernel, (*places, *found.numbers), found.chunks, whole)


def kernel_part(name: str, doc: Sequence[str], job: Job, space: Scratch | None,
                write: Callable[[Emitter, str], Cuts], fills: bool) -> Work:
    """The kernel that `write` emits and says how to cut."""
    whole, places, cuts = emitted(name, doc, job, space, write, fills)
    kernel, chunks = mapped(whole, cuts)
    return Work(kernel, places, chunks, whole)


def emitted(name: str, doc: Sequence[str], job: Job, space: Scratch | None,
            write: Callable[[Emitter, str], Cuts], fills: bool,
            ) -> tuple[Function, tuple[Node | Scratch, ...], Cuts]:
    """What `write` emits, over its parallel axes, with the buffers that it uses and the workspace,
    which it fills or reads; and how it is to be cut."""
    e = job.emitter()
    label = e.names.new(space.name) if space else ""
    cuts = write(e, label)
    statements = e.body()
    named = buffers_of(statements)
    written = set(job.stores.values())
    owner = {n: node for node, n in job.stores.items()} | {n: node for node, n in job.loads.items()}
    names = dict.fromkeys((*job.loads.values(), *job.stores.values()))
    used = [(n, owner[n]) for n in names if n in named]
    params = [Parameter(n, node.type.dtype.name, "pointer", n in written and not fills)
              for n, node in used]
    spaces = (space,) if space else ()
    params += [Parameter(label, s.dtype.name, "pointer", fills) for s in spaces]
    whole = Function(name, tuple(params), tuple(doc), statements, chunked=False)
    return whole, (*(n for _, n in used), *spaces), cuts


def finisher(y: Node, outputs: Sequence[Node]) -> Finish:
    """What stores every output's element, given the index and value of the contraction's."""
    places = {o: output_index(y, o) for o in dict.fromkeys(outputs)}

    def finish(e: Emitter, index: Index, value: Expression) -> None:
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
        parts = (part_of_axis(at_y, dims, s, n) for s, _, n in steps)
        values = [(position // s) % n if part is None else part
                  for part, (s, _, n) in zip(parts, steps, strict=True)]
        return tuple(value if sign > 0 else sum_of(n - 1) - value
                     for value, (_, sign, n) in zip(values, steps, strict=True))
    return place


def part_of_axis(at: Index, dims: Sequence[int], step: int, extent: int) -> Sum | None:
    """Digit (position // step) % extent of the row-major position of index `at`, where the digit
    belongs to one axis alone: what is known of the other axes' ranges does not matter then.

    That is so where the axis begins a digit and ends one: of 2 axes of 5, the digits of base 2
    above the first are of both.
    """
    if extent == 1:
        return sum_of(0)
    stride = 1
    for i, d in zip(reversed(at), reversed(dims), strict=True):
        if step % stride == 0 and stride * d % (step * extent) == 0:
            digit = i // (step // stride)
            return digit if step * extent == stride * d else digit % extent
        stride *= d
    return None


def _reads(y: Node, node: Node, at: Index, found: set[Index]) -> bool:
    """Collect the indices at which `node` at `at` reads `y`; False where a path is not a chain."""
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
