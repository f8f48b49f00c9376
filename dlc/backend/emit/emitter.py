"""Demand-driven emission: the scalar value of a node at an index, placed in the outermost loop.

`Emitter.value(node, index)` walks from a node to its operands: views rewrite the index, elementwise
operators become scalar expressions, reductions become loops. Values that do not depend on an inner
loop are placed before it, so hoisting and sharing follow from placement, not from a pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from dlc.backend.cpu.limits import Limits
from dlc.backend.emit import lanes
from dlc.backend.emit.blocks import Blocks, Guard, Index
from dlc.backend.emit.guards import divides, within
from dlc.backend.emit.runs import runs_over, walk
from dlc.backend.emit.scalar import ScalarBuilder, result_dtype
from dlc.backend.ir import (
    Binary,
    Call,
    Compare,
    Condition,
    Expression,
    Let,
    Load,
    Number,
    Position,
    Ref,
    Store,
    Truth,
    computing,
)
from dlc.backend.ir.index import Sum, Term, Var, sum_of
from dlc.ir.access import Access, Combine, Within
from dlc.ir.graph import Kind, Node
from dlc.ir.types import DType, Type, bool_, f64, i32, i64, strides
from dlc.ops import leaf
from dlc.ops.elementwise import ADD, SUB
from dlc.ops.reduce import SUM
from dlc.ops.sums import are_squares, products_of


def flat(index: Sequence[Term], type_: Type) -> Sum:
    """The element offset of `index` in a buffer of `type_`."""
    total = Sum()
    for i, step in zip(index, strides(type_), strict=True):
        total = total + sum_of(i) * step
    return total


class Emitter(Blocks):
    """Writes one kernel. `loads` names the nodes that lie in memory, `stores` those it computes."""

    def __init__(self, loads: Mapping[Node, str], stores: Mapping[Node, str],
                 limits: Limits) -> None:
        super().__init__([*loads.values(), *stores.values()])
        self.k = ScalarBuilder(self.let)
        self.loads, self.stores, self.limits = loads, stores, limits
        # reductions whose value has been computed: node -> function of the index
        self.results: dict[Node, Callable[[Index], Expression | None]] = {}

    def store(self, node: Node, index: Index, value: Expression) -> None:
        self.stack[-1].statements.append(
            Store(self.stores[node], flat(index, node.type), value, node.type.dtype))

    # --- values -----------------------------------------------------------------------------------

    def value(self, node: Node, index: Sequence[Term], guard: Guard = ()) -> Expression:
        """The scalar value of `node` at `index`, valid where the conditions of `guard` hold.

        Elementwise operands come first, on a stack: a chain of them may have any length.
        """
        at = tuple(map(sum_of, index))
        stack = [(node, False)]
        while True:
            part, ready = stack.pop()
            result = self._known(part, at, guard)
            if result is None and not ready and self._of_operands(part):
                stack += [(part, True), *((a, False) for a in reversed(part.args))]
                continue
            if result is None:
                result = self._settle(part, at, guard)
            if not stack:
                return result

    def _known(self, node: Node, index: Index, guard: Guard) -> Expression | None:
        key = (node, index, guard)
        return next((b.known[key] for b in reversed(self.stack) if key in b.known), None)

    def _of_operands(self, node: Node) -> bool:
        """Whether the value follows from those of the operands at the same index."""
        return (node.op.kind is Kind.ELEMENTWISE and node not in self.loads
                and node not in self.results)

    def _settle(self, node: Node, index: Index, guard: Guard) -> Expression:
        """Write the value down, under a name, in the outermost block where it is valid."""
        result = self._make(node, index, guard)
        if not isinstance(result, Number):
            result = self.let(node.name or node.op.name, result)
        self.stack[result.level].known[(node, index, guard)] = result
        return result

    def _make(self, node: Node, index: Index, guard: Guard) -> Expression:
        if node in self.results:
            found = self.results[node](index)
            if found is not None:
                return found
        if node in self.loads:
            return self._load(node, index, guard)
        if node.op.kind is Kind.LEAF:
            return self._leaf(node, index, guard)
        if node.op.kind is Kind.VIEW:
            return self.access(node.op.emit(index, node), node, guard)
        if node.op.kind in (Kind.REDUCE, Kind.FOLD):
            return self._reduce(node, index, guard)
        if node.op.kind is Kind.CONTRACT:
            return self._contract(node, index, guard)
        if node.op.kind is Kind.GATHER:
            return self._gather(node, index, guard)
        args = [self.value(a, index, guard) for a in node.args]
        return self.k.rounded(node.op.emit(self.k, *args, **node.attrs), node.type.dtype)

    def _load(self, node: Node, index: Index, guard: Guard) -> Expression:
        at = flat(index, node.type)
        condition, level = self.condition(guard)
        if condition is None:
            return Number(0, result_dtype(node))
        return Load(self.loads[node], at, result_dtype(node), max(level, self.level_of((at,))),
                    condition, node.type.dtype)

    def _leaf(self, node: Node, index: Index, guard: Guard) -> Expression:
        if node.op is leaf.CONSTANT:
            return Number(node.attrs["value"], result_dtype(node))
        if node.op is leaf.IOTA:
            return self.integer(index[node.attrs["axis"]], node.type.dtype)
        if node.op is leaf.RANDOM_BITS:
            seed, step = (self.value(a, ()) for a in node.args)
            position = self.integer(flat(index, node.type), i64)
            site = Number(node.attrs["site"], node.type.dtype)
            args = [self.k.cast(seed, node.type.dtype), step, site, position]
            return Call("random_bits", tuple(args), node.type.dtype, max(a.level for a in args))
        raise TypeError(f"{node.op.name} has no value inside a kernel")

    def integer(self, value: Term, dtype: DType) -> Expression:
        """An index as a scalar of `dtype`."""
        value = sum_of(value)
        if not value.terms:
            return Number(value.const, dtype)
        return Position(value, dtype, self.level_of((value,)))

    # --- guards -----------------------------------------------------------------------------------

    def condition(self, guard: Guard) -> tuple[Condition | None, int]:
        """The conditions that are not always true, and the loop that they depend on; (None, 0) if
        one never is."""
        parts: dict[Compare, None] = {}
        for c in guard:
            value = sum_of(c.value)
            found = within(value, c) if isinstance(c, Within) else divides(value, c)
            if found is None:
                return None, 0
            parts.update(dict.fromkeys(found))
        return tuple(parts), self.level_of(c.value for c in parts)

    def access(self, access: Access, node: Node | _Reader,
               guard: Guard) -> Expression:
        """The first piece of a view whose conditions hold, else its fill."""
        dtype = result_dtype(node)
        result: Expression = Number(access.fill, dtype)
        for piece in reversed(access.pieces):
            condition, level = self.condition(piece.conditions)
            if condition is None:
                continue
            inner = guard + piece.conditions if condition else guard
            value = self.value(node.args[piece.operand], piece.index, inner)
            if not condition:
                result = value
                continue
            if access.fill == 0 and len(access.pieces) == 1 and (
                    node.args[piece.operand] in self.loads):
                result = value  # a guarded load already gives 0 where its guard fails
                continue
            result = self.k.select(Truth(condition, bool_, level), value, result)
        return result

    # --- reductions, contractions, gathers --------------------------------------------------------

    def _reduce(self, node: Node, index: Index, guard: Guard) -> Expression:
        """A reduction where it is needed: a loop in the outermost block that knows its index."""
        reduction = node.op.emit(node)

        def element(inner: Index) -> Expression:
            return self.term(node, reduction.read(index, inner), guard)

        level = max(self.level_of(index), self.condition(guard)[1])
        with self.at_level(level):
            if not reduction.extents and node.op.linear:
                return self.k.cast(element(()), self.reduction_dtype(node))
            return self.fold_loop(node, reduction.extents, reduction.combine, element, "r")

    def term(self, node: Node, access: Access, guard: Guard = ()) -> Expression:
        """An element of its operand as the reduction `node` folds it. Squares that a sum adds up
        in more precision than their own are not rounded before."""
        source = node.args[0]
        if node.op is not SUM or not are_squares(node):
            return self.access(access, _Reader(source), guard)
        (piece,) = access.pieces
        root = self.let("root", self._unrounded(source.args[0], piece.index, guard))
        return self.k.binary("*", root, root)

    def _unrounded(self, node: Node, index: Index, guard: Guard) -> Expression:
        """The value of an f32 in f64: a sum or difference that is made here is exact."""
        sign = {ADD: "+", SUB: "-"}.get(node.op)
        if sign is None or not self._of_operands(node):
            return self.k.cast(self.value(node, index, guard), f64)
        a, b = (self.k.cast(self.value(x, index, guard), f64) for x in node.args)
        return self.k.binary(sign, a, b)

    def fold_loop(self, node: Node, extents: Sequence[int], combine: Combine,
                  element: Callable[[Index], Expression], hint: str) -> Expression:
        """States, loops over the extents, and the finished value in the current block."""
        runs = runs_over(extents, combine, self.reduction_dtype(node), False, self.limits)
        fold = lanes.Fold(self, node, runs, combine)
        fold.start()
        if 0 in extents:  # loads of what is not there would be hoisted out of the loops
            return self.finish(node, fold.whole, fold.result)

        def visit(inner: Index) -> None:
            depth = len(inner)
            if depth == len(extents):
                place = flat(inner, Type(i64, tuple(extents)))
                fold.step(element(inner), self.integer(place, i64))
                return
            mine = runs if runs and runs.depth == depth else None
            for at, lane in walk(self, f"{hint}{depth}", int(extents[depth]), mine, fold.begin,
                                 fold.end):
                fold.lane = lane if mine else fold.lane
                visit((*inner, at))

        visit(())
        fold.settle()
        return self.finish(node, fold.whole, fold.result)

    def reduction_dtype(self, node: Node) -> DType:
        """The dtype in which a reduction folds: argmax folds its operand's, a sum its result's."""
        return result_dtype(node.args[0] if node.type.dtype is i32 and node.op.gradient == "none"
                            else node)

    def start(self, node: Node, combine: Combine, dtype: DType, hint: str = "") -> list[Ref]:
        """Let the reduction's states be its identity, in the current block."""
        states = []
        for i, (value, kind) in enumerate(zip(combine.identity(dtype), combine.state_dtypes(dtype),
                                              strict=True)):
            name = self.names.new((hint or node.name or node.op.name) + (f"_s{i}" if i else ""))
            self.stack[-1].statements.append(Let(name, Number(value, computing(kind))))
            states.append(Ref(name, computing(kind), len(self.stack) - 1))
        self.states_of(states, combine)
        return states

    def here(self, states: Sequence[Ref]) -> list[Ref]:
        return [Ref(s.name, s.dtype, len(self.stack) - 1) for s in states]

    def assign(self, states: Sequence[Ref], new: Sequence[Expression]) -> None:
        if len(new) > 1:
            # all new states are computed before the first is assigned
            new = [self.let(f"{s.name}_new", n) for s, n in zip(states, new, strict=True)]
        for s, n in zip(states, new, strict=True):
            self.stack[-1].statements.append(Let(s.name, n))

    def finish(self, node: Node, combine: Combine, states: Sequence[Ref]) -> Expression:
        result = self.k.cast(combine.finish(self.k, self.here(states)), result_dtype(node))
        return self.k.rounded(result, node.type.dtype)

    def _contract(self, node: Node, index: Index, guard: Guard) -> Expression:
        """A contraction as a plain loop: for those too small for a tile."""
        c = node.op.emit(node)

        def product(inner: Index) -> Expression:
            a, b = (self.access(read(index, inner), node, guard) for read in (c.read_a, c.read_b))
            return self.k.binary("*", a, b)

        level = max(self.level_of(index), self.condition(guard)[1])
        with self.at_level(level):
            combine = products_of(node, math.prod(c.extents) <= self.limits.products)
            if self.limits.fused and not combine.lanes:
                combine = replace(combine, step=fused(combine.step))
            return self.fold_loop(node, c.extents, combine, product, "k")

    def _gather(self, node: Node, index: Index, guard: Guard) -> Expression:
        at, source = node.op.emit(index, node)
        bound = int(node.args[0].type.shape[node.attrs["axis"]])
        var = self.clamped(self.value(node.args[1], at, guard), bound)
        return self.value(node.args[0], tuple(var if i is None else i for i in source), guard)

    def clamped(self, value: Expression, bound: int) -> Sum:
        """A loaded index as an index expression, limited to 0 .. bound-1: no access leaves a
        buffer."""
        name, level, most = self.names.new("index"), value.level, max(bound - 1, 0)
        whole = Call("i64", (value,), i64, level)
        limited = Call("max", (whole, Number(0, i64)), i64, level)
        limited = Call("min", (limited, Number(most, i64)), i64, level)
        self.stack[level].statements.append(Let(name, limited))
        self.levels[name] = level
        return sum_of(Var(name, 0, most))


def fused(step: Callable[..., tuple[Expression, ...]]) -> Callable[..., tuple[Expression, ...]]:
    """The step of a sum that takes a product of floats by one fma, and all else as `step` does."""
    def add(k: ScalarBuilder, states: Sequence[Expression], x: Expression,
            position: Expression) -> tuple[Expression, ...]:
        total = states[0]
        if isinstance(x, Binary) and x.sign == "*" and x.dtype.is_float and x.dtype is total.dtype:
            return (Call("fma", (x.a, x.b, total), x.dtype, max(x.level, total.level)),)
        return step(k, states, x, position)
    return add


class _Reader:
    """Lets a reduction's access read its operand like a view does."""

    def __init__(self, source: Node) -> None:
        self.args = (source,)
        self.type = source.type
