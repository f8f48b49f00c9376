"""A routine as kernels: operands copied to flat buffers, its own text, results rounded.

    stage 0   views and half-precision operands into workspaces (loops, as for any other group)
    stage 1   the routine's text, over its parallel axes, cut into chunks as any kernel
    stage 2   half-precision results out of workspaces
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dlc.backend.cpu.limits import Limits
from dlc.backend.cpu.mapping import Cuts, chunked, rows_per_chunk
from dlc.backend.emit.work import Lowered, Operand, Work
from dlc.backend.ir import computing
from dlc.backend.ir.parser import parameter_names, parse
from dlc.backend.lower import doc_lines
from dlc.ir.graph import Build, Graph, Kind, Node, building, make, serving, toposort
from dlc.ir.types import DType, Type
from dlc.ops import elementwise, leaf, tuples, view
from dlc.ops.leaf import input_
from dlc.ops.routine import Routine, result_types
from dlc.passes.schedule.lives import Scratch
from dlc.program import Parameter

Loops = Callable[[Graph], Work]
Storage = Node | Scratch


def lower_routine(part: Graph, loops: Loops, limits: Limits) -> Lowered:
    """The stages of a part that holds a routine; `loops` lowers a graph of other operators."""
    (node,) = [n for n in part.nodes() if n.op.kind is Kind.ROUTINE]
    routine: Routine = node.op.emit(node)
    before: list[Work] = []
    after: list[Work] = []
    operands: list[Storage] = [_operand(a, part.name, loops, before) for a in node.args]
    results = [_result(node, i, part, loops, after) for i in range(len(result_types(node)))]
    spaces = [Scratch(f"{node.op.name}_space", w.dtype, max(1, w.size * routine.positions))
              for w in routine.workspaces]
    work = _work(part, node, routine, [*operands, *results, *spaces], len(operands),
                 limits)
    return Lowered(tuple(tuple(s) for s in (before, [work], after) if s))


def _work(part: Graph, node: Node, routine: Routine, places: list[Storage], read: int,
          limits: Limits) -> Work:
    dtypes = [computing(a.type.dtype) for a in node.args]
    dtypes += [computing(t.dtype) for t in result_types(node)]
    dtypes += [w.dtype for w in routine.workspaces]
    text = routine.over_axes()
    params = tuple(Parameter(name, dtype.name, "pointer", i >= read) for i, (name, dtype) in
                   enumerate(zip(parameter_names(text), dtypes, strict=True)))
    whole = replace(parse(text, params), name=part.name, doc=tuple(doc_lines(part)))
    kernel, chunks = chunked(whole, _cuts(routine, limits))
    return Work(kernel, tuple(places), chunks, whole, as_written=True)


def _cuts(routine: Routine, limits: Limits) -> Cuts:
    """Small positions of a single axis share a chunk; each large one, and each of which a failure
    is told, has its own."""
    work = routine.work or routine.flops // max(1, routine.positions)
    if len(routine.axes) > 1 or not work or routine.raises:
        return dict.fromkeys(routine.axes, 1)
    ((axis, extent),) = routine.axes.items()
    return {axis: rows_per_chunk(max(1, extent), work, limits)}


def _operand(value: Node, name: str, loops: Loops, before: list[Work]) -> Storage:
    """Where the operand lies flat, in the dtype that computes it: its own place or a workspace."""
    dtype = computing(value.type.dtype)
    if value.op is leaf.INPUT and value.type.layout is None and value.type.dtype is dtype:
        return value
    space = Scratch(f"{value.name or value.op.name}_flat", dtype, max(1, value.type.size))
    if value.type.size:
        with building(Build()), serving(value.locs):
            made = _copied(value, dtype)
        inputs = tuple(n for n in toposort([made]) if n.op is leaf.INPUT)
        before.append(_moved(loops(Graph(name, inputs, (made,))), made, space))
    return space


def _copied(value: Node, dtype: DType) -> Node:
    """`value` as a node that computes a row-major array of `dtype`."""
    if value.type.dtype is not dtype:
        return make(elementwise.CAST, (value,), dtype=dtype)
    return make(view.RESHAPE, (value,), shape=tuple(map(int, value.type.shape)))


def _moved(work: Work, value: Node, space: Scratch) -> Work:
    """`work` with `space` in the place of `value`."""
    places = tuple(space if o is value else o for o in work.operands)
    return replace(work, operands=places)


def _result(node: Node, index: int, part: Graph, loops: Loops, after: list[Work]) -> Storage:
    """Where result `index` is written: its own place, or a workspace that is rounded from, or that
    nobody reads."""
    type_ = result_types(node)[index]
    value = next((o for o in part.outputs if _is_result(o, node, index)), None)
    dtype = computing(type_.dtype)
    if value is not None and type_.dtype is dtype:
        return value
    space = Scratch(f"{node.op.name}_{index}", dtype, max(1, type_.size))
    if value is not None:
        with building(Build()), serving(node.locs):
            twin = input_("wide", Type(dtype, type_.shape))
            rounded = make(elementwise.CAST, (twin,), dtype=type_.dtype)
        work = loops(Graph(part.name, (twin,), (rounded,)))
        places: tuple[Operand, ...] = tuple(space if o is twin else value if o is rounded else o
                                        for o in work.operands)
        after.append(replace(work, operands=places))
    return space


def _is_result(output: Node, node: Node, index: int) -> bool:
    if output.op is tuples.ITEM and output.args[0] is node:
        return bool(output.attrs["index"] == index)
    return output is node
