"""Layers that read rows of a table: embedding, embedding bags, unembedding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dlc import init
from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe
from dlc.ir.types import Type, bool_, f32, i32, i64
from dlc.lang.array import segments
from dlc.lang.layer import Layer, apply_layer
from dlc.lang.scope import Initializer, current_scope, parameter
from dlc.nn import checks
from dlc.ops import contract, elementwise, gather, reduce, searchsorted, view
from dlc.ops.convert import in_accumulator
from dlc.ops.leaf import constant, iota


@dataclass(frozen=True, eq=False)
class Table(Layer):
    """An embedding: a layer whose rows another one may read. `rows` gives them, [count, size]."""

    rows: Callable[[], Node] = field(kw_only=True)


def embedding(count: int, size: int, weight_init: Initializer | None = None, name: str = "",
              padding: int | None = None) -> Table:
    """Rows of a table: index [...] (i32 or i64) -> [..., size]; weight [count, size], normal.

    The row `padding` (-1 is the last) is initialized to zeros and gets no gradient. An index
    outside 0 .. count-1 stops the run after the step, at this line. nn.unembedding shares its
    weight.
    """
    checks.at_least("embedding", 1, count=count, size=size)
    empty = _row("embedding", count, padding)

    def apply(index: Node) -> Node:
        rows = gather.take(_table(count, size, weight_init, empty), index)
        if empty is None:
            return rows
        held = view.reshape(elementwise.eq(index, empty), (*index.shape, 1))
        return elementwise.where(held, elementwise.stop_gradient(rows), rows)

    def rows() -> Node:
        table = _table(count, size, weight_init, empty)
        held = elementwise.eq(iota((count, 1), 0), empty) if empty is not None else None
        return table if held is None else elementwise.where(
            held, elementwise.stop_gradient(table), table)

    return Table("embedding", apply, f"embedding({count}, {size})", name, here(), rows=rows)


def unembedding(table: Table, name: str = "") -> Layer:
    """The product of x with each row of an embedding's table: x [..., size] -> [..., count].

    `table` is nn.embedding(count, size): a language model whose last layer has no weight of its
    own. Raises DlcError for another kind of layer or another size.
    Source: Press and Wolf 2017, Using the Output Embedding to Improve Language Models.
    """
    if not isinstance(table, Table):
        raise DlcError(f"nn.unembedding({table!r}): no embedding", here(),
                       "words = nn.embedding(count, size); nn.unembedding(words)")

    def product(x: Node) -> Node:
        rows = table.rows()
        if x.ndim < 1 or x.shape[-1] != rows.shape[1]:
            raise DlcError(f"{describe(x)} has not the {rows.shape[1]} columns of {table}", here())
        return contract.matmul(x, view.transpose(rows))

    def apply(x: Node) -> Any:
        scope = current_scope("nn.unembedding")
        return apply_layer(scope, table, (x,), lambda: scope.part(table, table.kind, table.name),
                           other=product)

    return Layer("unembedding", apply, f"unembedding({table})", name, here())


def embedding_bag(count: int, size: int, mode: str = "mean",
                  weight_init: Initializer | None = None, name: str = "",
                  padding: int | None = None) -> Layer:
    """A sum, mean or maximum of rows of a table: index [..., bag] -> [..., size].

    weight [count, size], normal. layer(index, weights) sums rows times weights [..., bag], mode
    "sum" only. layer(index [n], offsets=first [bags]) takes bags of different lengths; `first` (i32
    or i64, ascending from 0) is where each starts -> [bags, size]. The row `padding` (-1 is the
    last) is skipped; an empty bag gives 0. Offsets that do not ascend from 0, and an index outside
    0 .. count-1, stop the step. Source: torch.nn.EmbeddingBag.
    """
    checks.at_least("embedding_bag", 1, count=count, size=size)
    checks.one_of("embedding_bag", "mode", mode, ("sum", "mean", "max"))
    empty = _row("embedding_bag", count, padding)

    def apply(index: Node, *scales: Node, offsets: Node | None = None) -> Node:
        checks.rank(index, 1, "[..., bag]")
        rows = gather.take(_table(count, size, weight_init, empty), index)
        for scale in scales:
            checks.same_shape("embedding_bag", index, scale)
            if mode != "sum":
                raise DlcError(f"embedding_bag: weights with mode {mode!r}", here(),
                               'weights go with mode="sum"')
            rows = rows * view.reshape(scale, (*scale.shape, 1))
        kept = None if empty is None else elementwise.ne(index, empty)
        if offsets is None:
            return _folded(rows, kept, mode)
        return _segments(rows, kept, _bags(index, offsets), int(offsets.shape[0]), mode)

    return Layer("embedding_bag", apply, f"embedding_bag({count}, {size})", name, here())


def _row(kind: str, count: int, padding: int | None) -> int | None:
    """The number of the row that stands for nothing."""
    if padding is None:
        return None
    if isinstance(padding, bool) or not isinstance(padding, int) or not -count <= padding < count:
        raise DlcError(f"nn.{kind}: padding={padding!r} names no row of {count}", here(),
                       f"rows are 0 .. {count - 1}, or -1 for the last")
    return padding % count


def _table(count: int, size: int, weight_init: Initializer | None, empty: int | None) -> Node:
    """The parameter weight [count, size], with zeros in the row `empty` at first."""
    first = weight_init or init.normal()

    def start(key: Any, shape: Any, dtype: Any) -> Node:
        return elementwise.where(elementwise.eq(iota((count, 1), 0), empty), 0.0,
                                 first(key, shape, dtype))

    return parameter("weight", f32[count, size], first if empty is None else start)


@in_accumulator
def _folded(rows: Node, kept: Node | None, mode: str) -> Node:
    """The sum, mean or maximum over bags of one length: rows [..., bag, size] -> [..., size]."""
    fold = {"sum": reduce.sum_, "mean": reduce.mean, "max": reduce.max_}[mode]
    if kept is None:
        return fold(rows, -2)
    there = view.reshape(kept, (*kept.shape, 1))
    if mode == "max":
        found = reduce.max_(elementwise.where(there, rows, float("-inf")), -2)
        return elementwise.where(reduce.any_(there, -2), found, 0.0)
    total = reduce.sum_(elementwise.where(there, rows, 0.0), -2)
    if mode == "sum":
        return total
    return total / elementwise.maximum(reduce.sum_(there.cast(rows.dtype), -2), 1.0)


def _bags(index: Node, offsets: Node) -> Node:
    """The bag of each index [n]: how many of the offsets [bags] are at or before it, less one."""
    if index.ndim != 1 or offsets.ndim != 1 or offsets.dtype not in (i32, i64):
        raise DlcError(f"embedding_bag: {describe(index)} with offsets {describe(offsets)}", here(),
                       "indices [n] in one row, offsets i32 or i64 [bags]")
    before = view.pad(view.narrow(offsets, 0, 0, int(offsets.shape[0]) - 1), (1,), (0,))
    wrong = reduce.any_(offsets < before)
    first = elementwise.ne(view.narrow(offsets, 0, 0, 1), 0)
    gather.note_check(elementwise.or_(wrong, reduce.any_(first)),
                      f"embedding_bag: offsets {describe(offsets)} do not ascend from 0")
    places = iota((int(index.shape[0]),), 0, offsets.dtype)
    return searchsorted.searchsorted(offsets, places, "right") - 1


def _segments(rows: Node, kept: Node | None, bags: Node, count: int, mode: str) -> Node:
    """The same over the rows [n, size] of each bag: [count, size]."""
    there = constant(True, Type(bool_, bags.shape)) if kept is None else kept
    at = elementwise.maximum(bags, 0)
    sizes = segments.segment_sum(there.cast(rows.dtype), at, count)[:, None]
    wide = view.reshape(there, (*there.shape, 1))
    if mode == "max":
        found = segments.segment_max(elementwise.where(wide, rows, float("-inf")), at, count)
        return elementwise.where(sizes > 0, found, 0.0)
    total = segments.segment_sum(elementwise.where(wide, rows, 0.0), at, count)
    return total if mode == "sum" else total / elementwise.maximum(sizes, 1.0)
