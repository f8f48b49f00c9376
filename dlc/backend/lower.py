"""From a fused node to kernels: components, their buffers, and the lowering of each."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from dlc.backend.contract import lower as contract
from dlc.backend.contract.pack_launch import PackLaunch, blocks_kernel, pack_launch
from dlc.backend.cpu.isa import Isa
from dlc.backend.cuda.tiles import lower_tiled
from dlc.backend.emit.emitter import Emitter
from dlc.backend.emit.fold import mapped
from dlc.backend.emit.work import Lowered, Operand, Work
from dlc.backend.ir import Function, Store, computing
from dlc.backend.ir.names import Names
from dlc.backend.ir.parser import defined
from dlc.backend.ir.walks import buffers_of, flattened, functions_of
from dlc.backend.nest.analysis import analyse
from dlc.backend.nest.loops import LoopWriter
from dlc.backend.nest.parts import MergeWriter, PartWriter, SpaceNames, find_parts, is_short
from dlc.backend.nest.two_passes import in_two_passes
from dlc.errors import printable
from dlc.ir.attributes import comparable
from dlc.ir.graph import (
    Build,
    Graph,
    Kind,
    Node,
    building,
    make,
    serving,
    substitute,
    toposort,
)
from dlc.ops import leaf, view
from dlc.ops.leaf import input_
from dlc.passes.fuse.components import components
from dlc.passes.schedule.lives import Scratch
from dlc.program import Parameter

Known: TypeAlias = dict[Hashable, tuple[Graph, Lowered]]  # components, by what they compute


def lower(body: Graph, isa: Isa, aliases: Mapping[Node, Node], known: Known) -> list[Lowered]:
    """Each component of a fused body as kernels. `aliases` maps an output to the input whose place
    in memory it takes over (both become one parameter). One that is equal to a component in `known`
    but for names gets its kernels, whose texts have the names and lines of the first."""
    parts = [without_empty(part) for part in components(body)]
    return packed_once([_lower_once(part, isa, aliases, known) for part in parts if part.outputs])


def _lower_once(part: Graph, isa: Isa, aliases: Mapping[Node, Node], known: Known) -> Lowered:
    key = structure(part, aliases)
    if key not in known:
        known[key] = part, with_functions(_lower_component(part, isa, aliases), part)
        return known[key][1]
    first, done = known[key]
    return moved(done, dict(zip((*first.inputs, *first.outputs), (*part.inputs, *part.outputs),
                                strict=True)))


def structure(part: Graph, aliases: Mapping[Node, Node]) -> Hashable:
    """A key that two components share when they compute the same in the same places, under any
    names."""
    place: dict[Node, int] = {i: at for at, i in enumerate(part.inputs)}
    rows = []
    for node in part.nodes():
        if node.op is not leaf.INPUT:
            place[node] = len(place)
            rows.append((node.op, tuple(place[a] for a in node.args), comparable(node.attrs),
                         node.type))
    taken = tuple(place.get(aliases[o], -1) if o in aliases else -1 for o in part.outputs)
    return (tuple(i.type for i in part.inputs), tuple(rows),
            tuple(place[o] for o in part.outputs), taken)


def moved(lowered: Lowered, twins: Mapping[Node, Node]) -> Lowered:
    """The same kernels on the buffers of `twins`, and on workspaces of their own."""
    spaces: dict[Scratch, Scratch] = {}

    def operand(o: Operand) -> Operand:
        if isinstance(o, Scratch):
            return spaces.setdefault(o, Scratch(o.name, o.dtype, o.size))
        return twins[o] if isinstance(o, Node) else o

    return Lowered(tuple(tuple(replace(w, operands=tuple(map(operand, w.operands)))
                               for w in stage) for stage in lowered.stages))


def packed_once(parts: Sequence[Lowered]) -> list[Lowered]:
    """The components with one packing of an operand that several of them pack alike; all stages of
    one depth are done before the next one begins, so whoever reads it finds it."""
    first: dict[object, Scratch] = {}
    same: dict[Operand, Operand] = {}

    def is_new(work: Work) -> bool:
        *given, space = sorted(work.operands, key=lambda o: isinstance(o, Scratch))
        if not isinstance(space, Scratch) or any(isinstance(o, Scratch) for o in given):
            return True
        read = tuple(id(o) if isinstance(o, Node) else o for o in given)
        kept = first.setdefault((work.kernel, read, work.chunks, space.dtype, space.size), space)
        same[space] = kept
        return kept is space

    found = [Lowered((tuple(w for w in p.stages[0] if is_new(w)), *p.stages[1:]))
             if len(p.stages) > 1 else p for p in parts]
    return [Lowered(_placed(p, same)) for p in found]


def with_functions(lowered: Lowered, part: Graph) -> Lowered:
    """Kernels that call functions of custom operators, with the text of these behind their own."""
    texts = {name: text for n in part.nodes() if (text := n.op.functions)
             for name in sorted(defined(text))}
    if not texts:
        return lowered

    def extended(work: Work) -> Work:
        needed = dict.fromkeys(t for name, t in texts.items()
                               if name in functions_of(work.kernel.body))
        whole = work.whole and replace(work.whole, helpers="".join(needed))
        return replace(work, kernel=replace(work.kernel, helpers="".join(needed)), whole=whole)

    return Lowered(tuple(tuple(map(extended, stage)) for stage in lowered.stages))


def without_empty(part: Graph) -> Graph:
    """The part without outputs that have no elements: nothing computes them."""
    outs = tuple(o for o in part.outputs if o.type.size)
    if len(outs) == len(part.outputs):
        return part
    reached = set(toposort(outs))
    return Graph(part.name, tuple(i for i in part.inputs if i in reached), outs)


def _lower_component(part: Graph, isa: Isa, aliases: Mapping[Node, Node]) -> Lowered:
    nodes = part.nodes()
    tiled = _lower_tiles(part, isa, aliases)
    if tiled is not None:
        return tiled
    if any(n.op.kind is Kind.SCATTER for n in nodes):
        return _lower_scatter(part, isa, aliases)
    if any(n.op.kind is Kind.ROUTINE for n in nodes):
        return _lower_routine(part, isa)
    # tiles copy between two places: a copy that takes over its operand's is a loop
    apart = isa.limits.vectors and not {aliases.get(o) for o in part.outputs} & {*part.inputs}
    packing = pack_launch(part, isa.limits) if apart else None
    if packing is not None:
        return _lower_packing(part, packing, isa)
    return _lower_loops(part, isa, aliases) if not isa.limits.vectors else _lower_passes(
        part, isa, aliases)


@dataclass(eq=False)
class Buffers:
    """Parameters of one kernel: which buffer each input and output of the body is."""

    loads: dict[Node, str]
    stores: dict[Node, str]
    params: list[Parameter]
    operands: list[Operand]
    names: Names


def buffers(part: Graph, aliases: Mapping[Node, Node]) -> Buffers:
    """Name the buffers; an output that takes over an input's place shares its parameter."""
    names = Names()
    loads = {i: names.new(i.name or "x") for i in part.inputs}
    outs = list(dict.fromkeys(part.outputs))
    taken = {aliases[o]: o for o in outs if o in aliases and aliases[o] in loads}
    params = [Parameter(loads[i], i.type.dtype.name, "pointer", i in taken) for i in part.inputs]
    operands: list[Operand] = list(part.inputs)
    stores: dict[Node, str] = {}
    for out in outs:
        if aliases.get(out) in loads:
            stores[out] = loads[aliases[out]]
            continue
        stores[out] = names.new(out.name or "out")
        params.append(Parameter(stores[out], out.type.dtype.name, "pointer", True))
        operands.append(out)
    return Buffers(loads, stores, params, operands, names)


def doc_lines(part: Graph) -> list[str]:
    """The kernel's docstring: what it computes, and the user's lines that it serves."""
    ops = [n.op.name for n in part.nodes()
           if n.op.kind not in (Kind.LEAF, Kind.VIEW, Kind.ITEM)]
    what = " ".join(dict.fromkeys(ops)) or "copy"
    locs = dict.fromkeys(printable(str(loc)) for n in part.nodes()
                         if n.op not in (leaf.INPUT, leaf.CONSTANT)  # all share a constant
                         for loc in n.locs)
    lines = [what if len(what) < 80 else what[:76] + " ..."]
    current = ""
    for loc in locs:
        if current and len(current) + len(loc) > 88:
            lines.append(current)
            current = ""
        current += ("  " if current else "") + loc
    return [*lines, current] if current else lines


def _lower_passes(part: Graph, isa: Isa, aliases: Mapping[Node, Node]) -> Lowered:
    """One loop nest, in which a fold that rescales its sum is a maximum and a sum."""
    twin = in_two_passes(part)
    places: dict[Operand, Operand] = dict(zip(twin.outputs, part.outputs, strict=True))
    found = _lower_loops(twin, isa, {t: aliases[o] for t, o in zip(
        twin.outputs, part.outputs, strict=True) if o in aliases})
    return found if twin is part else Lowered(_placed(found, places))


def _lower_loops(part: Graph, isa: Isa, aliases: Mapping[Node, Node]) -> Lowered:
    """One loop nest; long reductions to few elements in parts, before what is made of them."""
    nest = analyse(part, isa.limits)
    parts = find_parts(nest, Emitter({}, {}, isa.limits), isa.limits)
    if parts is None:
        return Lowered(((loops(part, isa, aliases),),))
    alone = set(parts.body.outputs) == set(part.outputs)  # nothing would be left for later
    if not alone and not is_short(nest, parts, isa.limits):
        return _reduce_first(part, parts.body, isa, aliases)
    folded = _written(parts.body, isa, {}, f"{part.name}_parts", parts.spaces,
                      lambda e, names: PartWriter(parts, e, isa.limits, names))
    merged = _written(part, isa, aliases, part.name, parts.spaces,
                      lambda e, names: MergeWriter(nest, e, isa.limits, parts, names))
    return Lowered(((folded,), (merged,)))


def _reduce_first(part: Graph, alone: Graph, isa: Isa, aliases: Mapping[Node, Node]) -> Lowered:
    """The reductions of `alone` into workspaces, then the rest, which reads them from there."""
    twins, outs = {}, []
    with building(Build()):
        for node in alone.outputs:
            with serving(node.locs):
                twins[node] = input_(node.name or node.op.name, node.type.with_(layout=None))
        for old, new in zip(part.outputs, substitute(part.outputs, twins), strict=True):
            with serving(old.locs):
                same = make(view.RESHAPE, (new,), shape=tuple(map(int, new.type.shape)))
            outs.append(same if new.op is leaf.INPUT else new)
    spaces: dict[Operand, Operand] = {
        n: Scratch(twins[n].name, n.type.dtype, n.type.size) for n in alone.outputs}
    reached = set(toposort(outs))
    inputs = (*part.inputs, *twins.values())
    rest = Graph(part.name, tuple(i for i in inputs if i in reached), tuple(outs))
    written = dict(zip(outs, part.outputs, strict=True))
    later = _lower_loops(rest, isa, {o: aliases[w] for o, w in written.items() if w in aliases})
    places: dict[Operand, Operand] = dict(written.items())
    places.update((twins[n], spaces[n]) for n in alone.outputs)
    before = _lower_loops(replace(alone, name=f"{part.name}_first"), isa, {})
    return Lowered((*_placed(before, spaces), *_placed(later, places)))


def _placed(lowered: Lowered, places: Mapping[Operand, Operand]) -> tuple[tuple[Work, ...], ...]:
    """The stages with other operands in the places of some."""
    return tuple(tuple(replace(w, operands=tuple(places.get(o, o) for o in w.operands))
                       for w in stage) for stage in lowered.stages)


def loops(part: Graph, isa: Isa, aliases: Mapping[Node, Node]) -> Work:
    """The part as one loop nest."""
    return _written(part, isa, aliases, part.name, {}, lambda e, _: LoopWriter(
        analyse(part, isa.limits), e, isa.limits))


def _written(part: Graph, isa: Isa, aliases: Mapping[Node, Node], name: str,
             spaces: Mapping[Node, Sequence[Scratch]],
             writer: Callable[[Emitter, SpaceNames], LoopWriter]) -> Work:
    """The kernel that `writer` writes of a part, with workspaces for the states of reductions."""
    table = buffers(part, aliases)
    emitter = Emitter(table.loads, table.stores, isa.limits)
    names = {node: [emitter.names.new(s.name) for s in found] for node, found in spaces.items()}
    cuts = writer(emitter, names).write()
    statements = emitter.body()
    used = buffers_of(statements)
    stored = {s.buffer for s in flattened(statements) if isinstance(s, Store)}
    rows = [*zip(table.params, table.operands, strict=True),
            *((Parameter(n, s.dtype.name, "pointer", n in stored), s)
              for node, found in spaces.items()
              for n, s in zip(names[node], found, strict=True))]
    if spaces:
        rows = [(p, o) for p, o in rows if p.name in used]
    params = tuple(replace(p, written=p.name in stored) if spaces else p for p, _ in rows)
    whole = Function(name, params, tuple(doc_lines(part)), statements, chunked=False)
    kernel, chunks = mapped(whole, cuts)
    return Work(kernel, tuple(o for _, o in rows), chunks, whole)


def _lower_tiles(part: Graph, isa: Isa, aliases: Mapping[Node, Node]) -> Lowered | None:
    """A group around one contraction by the tiles of a CPU or of a block of threads; None for a
    group that plain loops serve."""
    if not contract.uses_tiles(part, isa.limits):
        return None
    table = buffers(part, aliases)
    write = contract.lower_contract if isa.limits.vectors else lower_tiled
    return write(part.name, doc_lines(part), part, table.loads, table.stores, isa)


def _lower_packing(part: Graph, packing: PackLaunch, isa: Isa) -> Lowered:
    """An array laid out in blocks by tiles: a kernel whose numbers follow the buffers."""
    table = buffers(part, {})
    emitter = Emitter(table.loads, table.stores, isa.limits)
    (x,), (packed,) = table.loads.values(), table.stores.values()
    packing.write(emitter, x, packed)
    whole = Function(part.name, tuple(table.params), tuple(doc_lines(part)), emitter.body(),
                     chunked=False)
    kernel = blocks_kernel(packing.tile, packing.kind)
    return Lowered(((Work(kernel, (*table.operands, *packing.numbers), packing.chunks, whole),),))


def _lower_scatter(part: Graph, isa: Isa, aliases: Mapping[Node, Node]) -> Lowered:
    """scatter_add alone: zeros, then the updates in index order."""
    from dlc.backend.nest.scatter import write_scatter

    table = buffers(part, aliases)
    (node,) = part.outputs
    emitter = Emitter(table.loads, table.stores, isa.limits)
    sums = None
    if computing(node.type.dtype) is not node.type.dtype:
        # half precisions add up in f32 and round once
        space = Scratch("sums", computing(node.type.dtype), node.type.size)
        sums = emitter.names.new(space.name)
        table.params.append(Parameter(sums, space.dtype.name, "pointer", True))
        table.operands.append(space)
    cuts = write_scatter(node, emitter, isa.limits, sums)
    whole = Function(part.name, tuple(table.params), tuple(doc_lines(part)), emitter.body(),
                     chunked=False)
    kernel, chunks = mapped(whole, cuts)
    return Lowered(((Work(kernel, tuple(table.operands), chunks, whole),),))


def _lower_routine(part: Graph, isa: Isa) -> Lowered:
    """A routine's own text, after the loops that prepare its operands."""
    from dlc.backend.routine import lower_routine

    return lower_routine(part, lambda graph: loops(graph, isa, {}), isa.limits)
