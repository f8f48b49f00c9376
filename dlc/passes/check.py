"""Checks around passes: structure after each (DLC_CHECK=1), and meaning, before against after.

`same_meaning` evaluates both graphs on random inputs and, where they differ, names the pass, the
first node of the new graph whose value the old one does not hold, and the user's line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlc.errors import DlcError
from dlc.evaluate import apply
from dlc.graph import Graph, Node, toposort
from dlc.types import Type
from dlc.verify import verify

TOLERANCE = 1e-4  # of the largest magnitude in a value: sums may be taken in another order


class PassError(DlcError):
    """A pass that changed what a program means."""


def structure(name: str, before: Graph, after: Graph) -> None:
    """Verify the graph that a pass made; raises VerifyError, naming the pass."""
    try:
        verify(after)
    except DlcError as problem:
        raise PassError(f"pass {name} made an invalid graph: {problem.message}", problem.loc,
                        problem.hint) from None


def same_meaning(name: str, before: Graph, after: Graph) -> None:
    """Verify structure, then compare both graphs on random inputs; raises PassError."""
    structure(name, before, after)
    arrays = {n.attrs["label"]: random_value(n, i) for i, n in enumerate(before.inputs)}
    old, new = values(before, arrays), values(after, arrays)
    for label, a, b in zip(before.output_names, before.outputs, after.outputs, strict=True):
        if not close(old[a], new[b]):
            raise _report(name, label, b, old, new)


def random_value(node: Node, salt: int) -> np.ndarray[Any, Any]:
    """A seeded random array for an input: floats around 0 (state: positive), small integers."""
    rng = np.random.default_rng([salt, node.type.size])
    shape, kind = tuple(map(int, node.type.shape)), node.type.dtype
    if kind.is_float:
        low = 0.5 if node.attrs["role"] == "state" else -1.0
        return rng.uniform(low, 1.5, shape).astype(kind.numpy)
    if kind.is_integer:
        return rng.integers(1, 3, shape).astype(kind.numpy)
    return rng.random(shape) < 0.5


def values(graph: Graph, arrays: dict[str, Any]) -> dict[Node, Any]:
    """The value of every node."""
    found: dict[Node, Any] = {n: arrays[n.attrs["label"]] for n in graph.inputs}
    with np.errstate(all="ignore"):
        for node in toposort(graph.outputs):
            if node not in found:
                found[node] = apply(node, [found[a] for a in node.args])
    return found


def close(a: Any, b: Any) -> bool:
    """Equal for integers, within rounding for floats; NaN and infinities where the other has them.
    """
    if a.dtype.kind in "iub":
        return np.array_equal(a, b)
    x, y = a.astype(np.float64), b.astype(np.float64)
    finite = np.isfinite(x)
    if not np.array_equal(finite, np.isfinite(y)) or not np.array_equal(
            x[~finite], y[~finite], equal_nan=True):
        return False
    scale = max(1.0, float(np.max(np.abs(x[finite]), initial=0.0)))
    return bool(np.all(np.abs(x[finite] - y[finite]) <= TOLERANCE * scale))


def _report(name: str, label: str, output: Node, old: dict[Node, Any],
            new: dict[Node, Any]) -> PassError:
    """Name the first node below `output` whose value the old graph does not hold."""
    known: dict[tuple[Any, ...], list[Any]] = {}
    for node, value in old.items():
        if isinstance(node.type, Type):
            known.setdefault((value.dtype, value.shape), []).append(value)
    culprit = next((n for n in toposort([output]) if n not in old and _is_new(n, new[n], known)),
                   output)
    return PassError(
        f"pass {name} changed the meaning of output {label!r}: first new value at "
        f"{' '.join(filter(None, (culprit.op.name, culprit.name)))}: {culprit.type}",
        culprit.loc, "this is a mistake in dlc; DLC_CHECK=2 shows it, please report the program")


def _is_new(node: Node, value: Any, known: Mapping[tuple[Any, ...], Sequence[Any]]) -> bool:
    if not isinstance(node.type, Type):
        return False
    return not any(close(value, v) for v in known.get((value.dtype, value.shape), ()))
