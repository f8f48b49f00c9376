"""searchsorted: positions at which values would stand in sorted edges; NaN comes last."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dlc.errors import DlcError, here
from dlc.ir.graph import Kind, Node, Op, OpError, make
from dlc.ir.registry import register
from dlc.ir.types import Type, bool_, i32
from dlc.ops.argsort import precedes
from dlc.ops.convert import as_nodes, common_type
from dlc.ops.routine import Routine, filled
from dlc.ops.samples import spread

# --- positions in sorted arrays -------------------------------------------------------------------

_SEARCH = """
def searchsorted(edges, x, place, i):
    value = x[i]
    base = idiv(i, $each) * $n
    low = 0
    high = $n
    while low < high:
        middle = idiv(low + high, 2)
        edge = edges[base + middle]
        if $left:
            low = middle + 1
        else:
            high = middle
    place[i] = i32(low)
"""


def _infer_search(edges: Type, x: Type, *, right: bool) -> Type:
    lead = edges.ndim - 1
    if lead < 0 or edges.dtype is not x.dtype or x.dtype is bool_:
        raise OpError(f"{x.describe()} in {edges.describe()}", "both of one dtype, not bool")
    if not isinstance(right, bool):
        raise OpError(f"right={right!r}", "True or False")
    if (lead and tuple(edges.shape[:-1]) != tuple(x.shape[:lead])) or x.ndim < lead:
        raise OpError(f"{x.describe()} in {edges.describe()}",
                      "the edges' axes before the last one must be the first of the values'")
    return x.with_(dtype=i32, layout=None)


def _eval_search(edges: Any, x: Any, *, right: bool) -> Any:
    out = np.empty(x.shape, np.int32)
    for at in np.ndindex(edges.shape[:-1]):
        out[at] = np.searchsorted(edges[at], x[at], "right" if right else "left")
    return out


def _emit_search(y: Node) -> Routine:
    edges, x = y.args[0].type, y.args[1].type
    total, n = int(x.size), int(edges.shape[-1])
    rows = math.prod(map(int, edges.shape[:-1]))
    before = "not " + precedes("value", "edge", x, False) if y.attrs["right"] else (
        precedes("edge", "value", x, False))
    text = filled(_SEARCH, each=max(1, total // max(rows, 1)), n=n, left=before)
    return Routine(text, {"i": total}, work=1 + n.bit_length())


def _sample_search() -> Iterator[Any]:
    rng = np.random.default_rng(42)
    edges = np.array([-1, -1, 0, 2.5, 2.5, 7], np.float32)
    x = np.array([[-2, -1, 0, 1], [2.5, 7, 8, np.nan]], np.float32)
    for right in (False, True):
        yield (edges, x), {"right": right}
    rows = np.sort(rng.integers(0, 20, (3, 9)), -1).astype(np.int32)
    yield (rows, rng.integers(-2, 22, (3, 2, 5)).astype(np.int32)), {"right": True}
    yield (np.sort(spread(rng, (33,), -2, 2)), spread(rng, (3000,), -3, 3)), {"right": False}


def _batch_search(node: Node, args: Sequence[Node], mapped: tuple[bool, ...], size: int) -> Node:
    from dlc.ops.batch_rules import along_examples

    if node.args[0].ndim == 1 and not mapped[0]:
        return make(SEARCHSORTED, args, **node.attrs)
    return make(SEARCHSORTED, [along_examples(a, size, m) for a, m in
                               zip(args, mapped, strict=True)], **node.attrs)


SEARCHSORTED: Op = register(Op(
    "searchsorted", Kind.ROUTINE, _infer_search, _eval_search, None, _emit_search, _sample_search,
    (), "how many of the sorted edges lie below each value (right: not above it)",
    gradient="none", batch=_batch_search, defaults=lambda *types, **_: {"right": False}))


def searchsorted(edges: Any, x: Any, side: str = "left") -> Node:
    """i32 positions at which x [B..., ...] would stand in the sorted edges [B..., N].

    side: "left" counts edges < x, "right" edges <= x. NaN is larger than every number.
    """
    if side not in ("left", "right"):
        raise DlcError(f"searchsorted: side {side!r}", here(), '"left" or "right"')
    known, values = common_type("searchsorted", *as_nodes(edges, x))
    return make(SEARCHSORTED, (known, values), right=side == "right")
