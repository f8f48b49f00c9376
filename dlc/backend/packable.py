"""Which operands of a launch's products another launch could pack, and what that saves.

A product packs A once, in a stage of its own; each run of panels packs the columns of B that it
reads, so several chunks may pack the same columns. The writer of the kernels (gemm.py) determines
what they pack and in which layout; nothing here decides the chunking.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

from dlc.backend.contract import lower as contract
from dlc.backend.contract.pack_launch import pack_launch
from dlc.backend.contract.ready import Form, pack, roles, unpack
from dlc.backend.cpu.isa import Isa
from dlc.backend.cpu.limits import Limits
from dlc.backend.lower import structure
from dlc.ir.graph import Graph, Node, serving, substitute, toposort
from dlc.ops import leaf
from dlc.ops.leaf import input_


@dataclass(frozen=True, eq=False)
class Packing:
    """An operand of a contraction that can be packed apart, made of `inputs` of the body; a launch
    that packs it for itself does so `times` times."""

    product: Node
    operand: Node
    inputs: tuple[Node, ...]
    order: tuple[int, ...]
    form: Form
    times: int

    @cached_property
    def key(self) -> Hashable:
        """Equal for operands that are packed alike, of whatever inputs."""
        return structure(Graph("", self.inputs, (self.operand,)), {}), self.order, self.form

    @cached_property
    def pack(self) -> Graph:
        """The body of the launch that packs it."""
        fresh = {i: input_(i.name, i.type) for i in self.inputs}
        for old, new in fresh.items():
            new.locs = old.locs
        with serving(self.operand.locs):
            (twin,) = substitute([self.operand], fresh)
            made = pack(twin, self.order, self.form)
        made.name = f"{self.inputs[0].name or 'operand'}_packed"
        return Graph("fused_pack", tuple(fresh.values()), (made,))

    def seen_in(self, packed: Node) -> Node:
        """The operand, seen in `packed`."""
        with serving(self.product.locs):
            return unpack(packed, self.operand, self.order, self.form)


Known: TypeAlias = dict[Hashable, tuple[Graph, list[Packing]]]  # components, by what they compute


def packings_of(part: Graph, isa: Isa, known: Known) -> list[Packing]:
    """The operands of a component's contraction that its tiles want packed whole."""
    if not part.outputs or contract.contraction_of(part) is None:
        return []
    first, found = known.setdefault(structure(part, {}), (part, []))
    if first is part:
        found += _packings_of(part, isa)
        return found
    twin = dict(zip(first.nodes(), part.nodes(), strict=True))
    return [replace(p, product=twin[p.product], operand=twin[p.operand],
                    inputs=tuple(twin[i] for i in p.inputs)) for p in found]


def _packings_of(part: Graph, isa: Isa) -> Iterator[Packing]:
    y = contract.contraction_of(part) if isa.limits.vectors else None
    residues = contract.residues_of(y) if y is not None else []
    if y is None or len(residues) != 1 or not contract.shape_of(y).k or not contract.uses_tiles(
            part, isa.limits):
        return
    loads = {i: f"x{at}" for at, i in enumerate(part.inputs)}
    job = contract.job_of(residues[0], y, loads, {}, isa)
    writer = contract.writer_of(job, lambda *_: None, isa)
    for side in ("a", "b"):
        form, read = writer.form(side), roles(writer.job, side)
        if form is None or read is None or writer.ready[side] is not None:
            continue
        operand, order = read
        inputs = tuple(n for n in toposort([operand]) if n.op is leaf.INPUT)
        if inputs and operand.type.dtype is writer.job.kind and (
                sum(a is operand for a in y.args) == 1 and is_worth(operand, inputs, form)):
            yield Packing(y, operand, inputs, order, form, writer.times(side))


def is_worth(operand: Node, inputs: Sequence[Node], form: Form) -> bool:
    """Whether the packed form has not many times the elements of what it is made of: broadcasts
    and windows repeat theirs, and a few rows would be filled up to a whole panel."""
    size = max(int(operand.type.size), form.size)
    return size <= 2 * sum(int(i.type.size) for i in inputs)


def pays(packing: Packing, times: int, limits: Limits) -> bool:
    """Whether packing apart is worth a launch where launches would pack `times` times in all: it
    spares them enough elements, and tiles copy these."""
    return (times - 1) * packing.form.size > limits.apart and (
        pack_launch(packing.pack, limits) is not None)
