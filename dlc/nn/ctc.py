"""Connectionist temporal classification: a loss for unaligned labels."""

from __future__ import annotations

from typing import Any

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe
from dlc.lang.array import rearrange
from dlc.lang.loops import scan
from dlc.nn import checks
from dlc.nn.functions import log_softmax
from dlc.nn.losses import REDUCTIONS, reduced
from dlc.ops import elementwise, gather, leaf, reduce, varying, view
from dlc.ops.convert import as_node, broadcast_to, cast, widened

# what stands for the logarithm of 0: sums of it stay finite, so that no gradient is NaN
NEVER = -1e30


def ctc_loss(logits: Any, labels: Any, times: Any = None, lengths: Any = None, blank: int = 0,
             zero_infinity: bool = False, reduction: str = "mean") -> Node:
    """-log of the probability that the network spells the labels, over all alignments.

    logits [batch, time, classes], labels [batch, most] of class numbers (not `blank`); integers
    `times` [batch] and `lengths` [batch] give the number of steps and labels of each sample
    (default: all). A sample too short for its labels costs infinity, or 0 with `zero_infinity`.
    "mean" divides each loss by its length (at least 1) first, as PyTorch does.

    Raises DlcError for shapes and dtypes that do not fit. Source: Graves et al. 2006, eqs. 5 to 8,
    in logarithms.
    """
    checks.one_of("ctc_loss", "reduction", reduction, REDUCTIONS)
    x, y = as_node(logits), as_node(labels)
    _check(x, y, blank)
    batch, time = int(x.shape[0]), int(x.shape[1])
    times = varying.lengths(x) if times is None and varying.is_varying(x.shape[1]) else times
    lengths = varying.lengths(y) if lengths is None and varying.is_varying(y.shape[1]) else lengths
    steps = _counts("times", times, time, batch)
    sizes = _counts("lengths", lengths, int(y.shape[1]), batch)
    scores = log_softmax(widened(x))
    path = _with_blanks(y, sizes, blank)
    at = broadcast_to(rearrange.expand_dims(path, 1), (batch, time, int(path.shape[1])))
    emitted = gather.take_along_axis(scores, at, -1)
    total = _ends(_forward(emitted, path, steps, blank), sizes)
    loss = elementwise.where(total > 0.5 * NEVER, -total, 0.0 if zero_infinity else float("inf"))
    if reduction == "mean":
        loss = loss / cast(elementwise.maximum(sizes, 1), loss.dtype)
    return reduced(loss, reduction)


def _check(x: Node, y: Node, blank: int) -> None:
    if x.ndim != 3 or not x.dtype.is_float:
        raise DlcError(f"ctc_loss: the logits are {describe(x)}", here(),
                       "floats [batch, time, classes]")
    if y.ndim != 2 or not y.dtype.is_integer or x.shape[0] != y.shape[0]:
        raise DlcError(f"ctc_loss: logits {describe(x)} and labels {describe(y)} do not fit",
                       here(), "labels are class numbers [batch, most], in i32 or i64")
    checks.at_least("ctc_loss", 0, blank=blank)
    if blank >= int(x.shape[2]):
        raise DlcError(f"ctc_loss: blank={blank} of {int(x.shape[2])} classes", here(),
                       f"blank is a class, 0 .. {int(x.shape[2]) - 1}")


def _counts(name: str, given: Any, most: int, batch: int) -> Node:
    """How many of `most` count in each sample, i32 or i64 [batch]."""
    if given is None:
        return elementwise.const_like(leaf.iota((batch,)), most)
    counts = as_node(given)
    if tuple(map(int, counts.shape)) != (batch,) or not counts.dtype.is_integer:
        raise DlcError(f"ctc_loss: {name} is {describe(counts)}", here(),
                       f"integers [{batch}], at most {most}")
    return counts


def _with_blanks(labels: Node, sizes: Node, blank: int) -> Node:
    """[batch, 2 most + 1]: a blank around each label; labels beyond a sample's length too."""
    batch, most = map(int, labels.shape)
    real = leaf.iota((batch, most), 1, sizes.dtype) < rearrange.expand_dims(sizes, 1)
    named = elementwise.where(real, labels, blank)
    pairs = rearrange.stack([elementwise.const_like(named, blank), named], 2)
    return view.pad(view.reshape(pairs, (batch, 2 * most)), (0, 0), (0, 1), blank)


def _forward(emitted: Node, path: Node, steps: Node, blank: int) -> Node:
    """Logarithms of the forward variables after each sample's last step, [batch, 2 most + 1]."""
    batch, time, width = map(int, emitted.shape)
    two_before = _shifted(path, 2, blank)
    skips = elementwise.and_(path != blank, path != two_before)
    start = elementwise.where(leaf.iota((batch, width), 1) == 0, 0.0, NEVER)

    def step(alpha: Node, element: tuple[Node, Node]) -> tuple[Node, None]:
        row, t = element
        skipped = elementwise.where(skips, _shifted(alpha, 2, NEVER), NEVER)
        ways = rearrange.stack([alpha, _shifted(alpha, 1, NEVER), skipped], 0)
        after = elementwise.maximum(reduce.logsumexp(ways, 0) + row, NEVER)
        running = rearrange.expand_dims(t < steps, 1)
        return elementwise.where(running, after, alpha), None

    clock = leaf.iota((time,), 0, steps.dtype)
    rows = rearrange.moveaxis(emitted, 1, 0)
    final: Node = scan(step, cast(start, emitted.dtype), (rows, clock))[0]
    return final


def _shifted(x: Node, count: int, fill: float) -> Node:
    """x [batch, width] moved right by `count`, the gap filled."""
    if count >= int(x.shape[1]):
        return elementwise.const_like(x, fill)
    return view.pad(view.narrow(x, 1, 0, int(x.shape[1]) - count), (0, count), (0, 0), fill)


def _ends(alpha: Node, sizes: Node) -> Node:
    """log of the sum over both ends of a path: its last label and the blank behind it."""
    batch, width = map(int, alpha.shape)
    place = leaf.iota((batch, width), 1, sizes.dtype)
    end = rearrange.expand_dims(sizes * 2, 1)
    last = elementwise.or_(place == end, place == end - 1)
    return reduce.logsumexp(elementwise.where(last, alpha, NEVER), 1)
