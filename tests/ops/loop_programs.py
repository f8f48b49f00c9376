"""Programs with loops, written over `scan`: run with dlc.scan, and with a Python loop in its place.

The second is the definition of the first: every derivative of the two has to agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import dlc
from dlc.derive.control import SCAN
from dlc.errors import DlcError
from dlc.ir.graph import Graph, Node
from dlc.lang.nesting import leaves, rebuilt
from dlc.passes.differentiate import differentiate
from dlc.reference.evaluate import evaluate
from dlc.reference.text import parse_graph, print_graph
from dlc.reference.verify import verify
from tests.fuzzing.bounds import labelled, mistakes

Array = np.ndarray[Any, Any]
Scan = Callable[..., Any]


def unrolled(function: Callable[..., Any], carry: Any, sequences: Any = None,
             length: int | None = None, reverse: bool = False) -> tuple[Any, Any]:
    """What dlc.scan means, as a Python loop over graph values."""
    rows = [dlc.asarray(s) for s in leaves(sequences)]
    times = int(rows[0].shape[0]) if rows else int(length or 0)
    stacks: dict[int, list[Any]] = {}
    result: Any = None
    for t in range(times - 1, -1, -1) if reverse else range(times):
        carry, result = function(carry, rebuilt(sequences, [r[t] for r in rows]))
        stacks[t] = [dlc.asarray(y) for y in leaves(result)]
    columns = zip(*(stacks[t] for t in range(times)), strict=True)
    return carry, rebuilt(result, [dlc.stack(list(c)) for c in columns])


# --- the programs: (scan, arrays) -> one number
# ------------------------------------------------------------


def elman(scan: Scan, xs: Node, w: Node, u: Node, b: Node, h: Node) -> Node:
    """An RNN: its residuals are the states, its weights' gradients sums over time."""
    def step(h: Node, x: Node) -> Any:
        h = dlc.tanh(x @ w + h @ u + b)
        return h, h

    last, hs = scan(step, h, xs)
    return (hs * hs).sum() + last.sum()


def lstm(scan: Scan, xs: Node, w: Node, u: Node) -> Node:
    """Two carries in a dict, and a dict of ys; starts at constants."""
    size = int(u.shape[0])

    def step(carry: Any, x: Node) -> Any:
        gates = x @ w + carry["h"] @ u
        i, f, o, g = (gates[:, k * size:(k + 1) * size] for k in range(4))
        c = dlc.sigmoid(f) * carry["c"] + dlc.sigmoid(i) * dlc.tanh(g)
        h = dlc.sigmoid(o) * dlc.tanh(c)
        return {"h": h, "c": c}, {"out": h, "cell": c[:, 0]}

    zero = dlc.zeros((int(xs.shape[1]), size), dlc.f64)
    last, ys = scan(step, {"h": zero, "c": zero}, xs)
    return (ys["out"] * last["h"]).sum() + dlc.sin(ys["cell"]).sum()


def gathering(scan: Scan, table: Node, w: Node, h: Node) -> Node:
    """A scan in a scan with a gather in the body."""
    ids = np.array([[[0, 3], [2, 2], [5, 0]], [[1, 1], [4, 3], [0, 2]]], np.int32)

    def inner(h: Node, i: Node) -> Any:
        h = dlc.tanh(h @ w + dlc.take(table, i))
        return h, h.sum()

    def outer(h: Node, row: Node) -> Any:
        h, ys = scan(inner, h, row)
        return h, ys.sum()

    h, ys = scan(outer, h, ids)
    return (ys * ys).sum() + (h * h).sum()


def backwards(scan: Scan, xs: Node, a: Node) -> Node:
    """Reverse order, a carry of integers beside the floats, a y that is an element."""
    def step(carry: Any, x: Node) -> Any:
        total, count = carry
        total = total * a + x * (count + 1)
        return (total, count + 1), (x, dlc.sin(total), count)

    (total, count), (same, waves, counts) = scan(step, (a * 0.5, 0), xs, reverse=True)
    return total + (same * waves * counts).sum() * count


def branching(scan: Scan, xs: Node, w: Node) -> Node:
    """A branch in a loop, on a value that the loop computes."""
    def step(h: Node, x: Node) -> Any:
        h = dlc.cond((h + x).sum() > 0.0, lambda h: dlc.tanh(h * w) + x, lambda h: h * h * w - x, h)
        return h, dlc.cond(x.sum() > 0.2, lambda: h.sum(), lambda: (w * w).sum())

    h, ys = scan(step, xs[0] * 0.5, xs)
    return (h * h).sum() + (ys * ys).sum()


def loop_in_branch(scan: Scan, xs: Node, w: Node) -> Node:
    """A loop in a branch that runs, one in a branch that does not."""
    def run(xs: Node) -> Node:
        return scan(lambda c, x: (dlc.sin(c * w + x), None), w * 0.1, xs)[0]

    taken = dlc.cond(xs.sum() < 1e9, run, lambda xs: xs[0], xs)
    other = dlc.cond(xs.sum() > 1e9, run, lambda xs: xs[0] * w, xs)
    return (taken * other).sum()


def invariant(scan: Scan, xs: Node, w: Node) -> Node:
    """Much that does not change: costly functions of w, a carry handed on, a constant y."""
    def step(carry: Any, x: Node) -> Any:
        fixed, h = carry
        h = h * dlc.exp(dlc.sin(w)) + x * fixed
        return (fixed, h), (h, dlc.cos(w), 2.5)

    (fixed, h), (hs, cos, const) = scan(step, (w * 2.0, w), xs)
    return (hs * cos).sum() + (fixed * h).sum() + const.sum()


def iterated(scan: Scan, a: Node, x: Node) -> Node:
    """No sequence: a fixed number of steps of a map."""
    def step(v: Node, _: None) -> Any:
        return dlc.cos(a * v) + v * 0.1, None

    return scan(step, x, length=6)[0].sum()


def many_times(scan: Scan, xs: Node, w: Node) -> Node:
    """The same weights in two loops, one reading what the other gives; batched products."""
    def step(h: Node, x: Node) -> Any:
        h = dlc.tanh(dlc.matmul(x, h) + w)
        return h, h

    first, hs = scan(step, w, xs)
    second, gs = scan(step, first, hs, reverse=True)
    return (gs * second).sum()


def last_only(scan: Scan, xs: Node, w: Node) -> Node:
    """Results nobody reads, and a product whose factor is the cotangent itself."""
    def step(h: Node, x: Node) -> Any:
        return h * 0.5 + x @ w, (x * 3.0, h.sum())

    return scan(step, dlc.zeros((2, 3), dlc.f64), xs)[0].sum()


@dataclass(frozen=True)
class Program:
    """A program, and arrays to run it on."""

    run: Callable[..., Node]
    arrays: tuple[Array, ...]

    def __str__(self) -> str:
        return str(self.run.__name__)


def _floats(*shapes: tuple[int, ...]) -> tuple[Array, ...]:
    rng = np.random.default_rng(len(shapes))
    return tuple(np.asarray(rng.uniform(-0.9, 0.9, s)) for s in shapes)


PROGRAMS = [
    Program(elman, _floats((5, 2, 3), (3, 4), (4, 4), (4,), (2, 4))),
    Program(lstm, _floats((4, 2, 3), (3, 8), (2, 8))),
    Program(gathering, _floats((6, 3), (3, 3), (2, 3))),
    Program(backwards, _floats((5,), ())),
    Program(branching, _floats((6, 3), (3,))),
    Program(loop_in_branch, _floats((4, 3), (3,))),
    Program(invariant, _floats((4, 3), (3,))),
    Program(iterated, _floats((), (3,))),
    Program(many_times, _floats((4, 2, 3, 3), (2, 3, 3))),
    Program(last_only, _floats((4, 2, 2), (2, 3))),
]


def traced(program: Program, derive: Callable[..., Any], scan: Scan) -> Graph:
    """The graph of `derive(program)`: derive takes a function of the arrays, and the arrays."""
    def whole(*arrays: Node) -> Any:
        return derive(lambda *a: program.run(scan, *a), *arrays)

    return dlc.trace(whole, *(dlc.asarray(a).type for a in program.arrays), name=str(program))


def values(graph: Graph, arrays: Sequence[Array]) -> list[Array]:
    """The outputs of `graph`, which is valid, prints and parses, before and after expansion."""
    found = []
    for each in (graph, differentiate(graph)):
        verify(each)
        text = print_graph(each)
        assert print_graph(parse_graph(text)) == text
        out = evaluate(each, *arrays)
        found.append(list(out.values()) if isinstance(out, dict) else [out])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    return found[1]


def loops(graph: Graph) -> list[Node]:
    """Every scan of `graph`, not those inside bodies."""
    return [n for n in graph.nodes() if n.op is SCAN]


def run(graph: Graph, *arrays: Any) -> Any:
    """The outputs of `graph`, which compiled give the same (state has values of its own there)."""
    expected = dlc.evaluate(graph, *arrays)
    if any(x.attrs["role"] != "arg" for x in graph.inputs):
        return expected
    named = expected if isinstance(expected, dict) else {"out": expected}
    with dlc.compile(graph).load(threads=1) as running:
        try:
            found = running(*arrays)
        except DlcError:
            assert named["fault"]
            return expected
    found = found if isinstance(found, dict) else {"out": found}
    kept = {n: v for n, v in found.items() if n not in {"fault", *graph.updates}}
    assert mistakes(graph, labelled(graph, arrays), kept) == []
    return expected
