"""The micro-batches of a training step: what they compute, weighted by rows, and summed.

A step of k micro-batches means the loss over the rows of all of them: the mean of their losses,
each with its share of the rows, and the gradient of that. What is summed is summed by
`all_reduce`, in a fixed tree over the numbers of the micro-batches, so that it does not matter
which process ran which (docs/scale.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dlc.errors import DlcError
from dlc.ir.graph import Node, toposort
from dlc.ir.types import Bounded, Dim, Type, f64, i32
from dlc.lang.bodies import IterationNumber
from dlc.lang.scope import Scope
from dlc.ops import elementwise, leaf, reduce
from dlc.ops.collective import all_reduce
from dlc.ops.convert import cast, widened

NUMBER, SHARE = "micro_batch", "share"  # the roles of the inputs that differ between them
MOST = 1024


@dataclass(frozen=True)
class MicroBatches:
    """`count` of them; the `number` of the one that runs, i32[()] from 0, and its `share` of the
    step's rows, f64[()]: in f32 that of 4 rows of 10 would spoil sums of f64."""

    count: int
    number: Node
    share: Node

    @property
    def inputs(self) -> dict[str, Node]:
        """What a step takes beside its data, by label."""
        return {str(n.attrs["label"]): n for n in (self.number, self.share)}

    def tell_apart(self, scope: Scope) -> None:
        """Let the random numbers that are drawn from now on differ between micro-batches."""
        around = IterationNumber(self.count, None)
        around.element = self.number
        scope.iteration = around

    def mean(self, value: Node) -> Node:
        """The mean over the step's rows of a mean over those of each micro-batch; f32 or f64."""
        wide = widened(value)
        return all_reduce(wide * cast(self.share, wide.dtype))

    def means(self, values: Mapping[str, Node]) -> dict[str, Node]:
        return {name: self.mean(value) for name, value in values.items()}

    def first(self, code: Node) -> Node:
        """i32[()]: of the fault codes of all micro-batches, in their order, the first of a check,
        else the first that is not 0."""
        count, places = self.count, leaf.iota((self.count,))
        codes = all_reduce(elementwise.where(elementwise.eq(places, self.number), code, 0))
        later = elementwise.where(elementwise.lt(codes, 0), places + count, 2 * count)
        at = reduce.min_(elementwise.where(elementwise.gt(codes, 0), places, later))
        at = elementwise.where(elementwise.ge(at, count), at - count, at)
        return reduce.sum_(elementwise.where(elementwise.eq(places, at), codes, 0))

    def states(self, traced: Mapping[str, Node], values: Mapping[str, Node]) -> dict[str, Node]:
        """The new state of a step. `traced` are the updates as the function made them, `values` the
        same beside the gradient.

        One that does not depend on the rows, nor on random numbers of theirs, is made once a step;
        of the others the mean counts. Raises DlcError for integers that depend on the rows: they
        have no mean.
        """
        new = {}
        for name, node in traced.items():
            if not self.differs(node):
                new[name] = node
                continue
            if not node.dtype.is_float:
                raise DlcError(f"{name} is {node.dtype} and its update depends on the batch: over "
                               f"{self.count} micro-batches it has no mean", node.loc,
                               "a float state, or micro_batches=1")
            new[name] = cast(self.mean(values[name]), node.dtype)
        return new

    def differs(self, node: Node) -> bool:
        """Whether a value may be another in each micro-batch."""
        return any(n.op is leaf.INPUT and n.attrs["role"] in ("data", NUMBER, SHARE)
                   for n in toposort([node]))


def micro_batches(count: int, inputs: Sequence[Node]) -> MicroBatches | None:
    """Those of a step on `inputs`, None for a step of one batch. Raises DlcError where rows have
    several lengths: a mean over rows is then not one over what they hold."""
    if count == 1:
        return None
    for node in inputs:
        if any(isinstance(d, Dim) and isinstance(d.name, Bounded) for d in node.shape):
            raise DlcError(f"micro_batches={count}: {node.name} has rows of several lengths",
                           node.loc, "micro_batches=1, in one process")
    return MicroBatches(count, leaf.input_("micro_batch.number", Type(i32), NUMBER),
                        leaf.input_("micro_batch.share", Type(f64), SHARE))


def is_parts(count: object) -> bool:
    """Whether a batch can be cut into so many: a power of 2, so that the tree of the sums is
    balanced and the part of each process is a tree of its own."""
    return type(count) is int and 1 <= count <= MOST and count & (count - 1) == 0


def rows_of(name: str, batch: int, count: int) -> int:
    """Rows of one of `count` micro-batches. Raises DlcError unless they divide the batch."""
    if batch % count:
        raise DlcError(f"{name}: micro_batches={count} do not divide the batch of {batch} rows",
                       None, f"a batch of {batch // count * count or count} or "
                       f"{(batch // count + 1) * count}")
    return batch // count
