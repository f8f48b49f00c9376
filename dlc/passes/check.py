"""Checks around passes: structure after each (DLC_CHECK=1), and meaning, before against after.

`same_meaning` evaluates both graphs on random inputs and, where they differ, names the pass, the
first node of the new graph whose value the old one does not hold, and the user's line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlc.errors import DlcError
from dlc.ir.graph import Graph, Kind, Node, toposort
from dlc.ir.types import TupleType, Type
from dlc.ops import tuples
from dlc.reference.evaluate import finish
from dlc.reference.rounding.elementwise import meaning
from dlc.reference.verify import verify

# Of the largest magnitude in a value. Both graphs run in f64, so nothing is left but the rounding
# of constants that were folded in f32.
TOLERANCE = 1e-6


class PassError(DlcError):
    """A pass that changed what a program means; `stage` is its name."""

    stage = ""


def structure(name: str, before: Graph, after: Graph) -> None:
    """Verify the graph that a pass made; raises VerifyError, naming the pass."""
    try:
        verify(after)
    except DlcError as problem:
        raise PassError(f"pass {name} made an invalid graph: {problem.message}", problem.loc,
                        problem.hint) from None


def same_meaning(name: str, before: Graph, after: Graph,
                 given: Mapping[str, Any] | None = None) -> None:
    """Verify structure, then compare both graphs on inputs by label, random ones where none is
    given; raises PassError."""
    structure(name, before, after)
    known = given or {}
    arrays = {n.attrs["label"]: known.get(n.attrs["label"], random_value(n, i))
              for i, n in enumerate(before.inputs)}
    old, new = values(before, arrays), values(after, arrays)
    names = before.output_names or tuple(f"out{i}" for i in range(len(before.outputs)))
    for label, a, b in zip(names, before.outputs, after.outputs, strict=True):
        if not close(old[a], new[b]):
            raise _report(name, label, b, old, new)


def random_value(node: Node, salt: int) -> np.ndarray[Any, Any]:
    """A seeded random array for an input; small integers, and floats at which nothing saturates.

    Parameters are as small as an initializer would make them, state is small and positive.
    """
    rng = np.random.default_rng([salt, node.type.size])
    shape, kind = tuple(map(int, node.type.shape)), node.type.dtype
    if kind.is_integer:
        # labels of two classes at least; counts and divisors are not 0
        low = 0 if node.attrs["role"] == "data" else 1
        return rng.integers(low, low + 2, shape).astype(kind.numpy)
    if not kind.is_float:
        return rng.random(shape) < 0.5
    if node.attrs["role"] == "state":
        return rng.uniform(0.01, 0.03, shape).astype(kind.numpy)
    inputs = node.type.size / max(1, min(shape, default=1)) if len(shape) > 1 else 1.0
    scale = (3 / max(inputs, 1.0)) ** 0.5 if node.attrs["role"] == "param" else 1.0
    return (rng.uniform(-1.0, 1.25, shape) * scale).astype(kind.numpy)


def values(graph: Graph, arrays: dict[str, Any]) -> dict[Node, Any]:
    """The value of every node, floats of every dtype in f64: what is left differs in meaning."""
    with np.errstate(all="ignore"):
        return _run(graph, [_wide(arrays[n.attrs["label"]]) for n in graph.inputs])


def _run(graph: Graph, args: Sequence[Any]) -> dict[Node, Any]:
    found: dict[Node, Any] = dict(zip(graph.inputs, args, strict=True))
    for node in graph.nodes():
        if node not in found:
            found[node] = _apply(node, [found[a] for a in node.args])
    return found


def _outputs(graph: Graph, args: Sequence[Any]) -> list[Any]:
    found = _run(graph, args)
    return [found[o] for o in graph.outputs]


def _apply(node: Node, args: Sequence[Any]) -> Any:
    """Like evaluate's apply, without rounding to the node's float dtype."""
    if node.op is tuples.ITEM:
        return args[0][node.attrs["index"]]
    if node.op.kind is Kind.HIGHER:
        results = node.op.eval(_outputs, *args, **node.attrs)
        return tuple(map(_wide, results)) if isinstance(results, tuple) else results
    if node.op.kind is Kind.ELEMENTWISE:
        return _placed(meaning(node)(*args), node.type)
    result = node.op.eval(*args, **node.attrs)
    if isinstance(node.type, TupleType):
        return tuple(map(_placed, result, node.type.items))
    return _placed(result, node.type)


def _placed(value: Any, type_: Type) -> Any:
    """A result in its type's shape; floats stay wide."""
    result = _wide(value)
    if not type_.dtype.is_float:
        result = finish(result, type_)
    return result.reshape(tuple(map(int, type_.shape)))


def _wide(value: Any) -> Any:
    data = np.asarray(value)
    return data if data.dtype.kind in "iub" else data.astype(np.float64)


def close(a: Any, b: Any) -> bool:
    """Equal integers; floats within TOLERANCE of the largest, NaN where the other has it."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind in "iub":
        return np.array_equal(a, b)
    finite = np.isfinite(a)
    if not np.array_equal(finite, np.isfinite(b)) or not np.array_equal(
            a[~finite], b[~finite], equal_nan=True):
        return False
    largest = float(np.max(np.abs(a[finite]), initial=0.0))
    return bool(np.all(np.abs(a[finite] - b[finite]) <= TOLERANCE * largest + 1e-12))


def _report(name: str, label: str, output: Node, old: dict[Node, Any],
            new: dict[Node, Any]) -> PassError:
    """Name the first node below `output` whose value the old graph does not hold."""
    known: dict[tuple[Any, ...], list[Any]] = {}
    for node, value in old.items():
        if isinstance(node.type, Type):
            known.setdefault((value.dtype, value.shape), []).append(value)
    culprit = next((n for n in toposort([output]) if n not in old and _is_new(n, new[n], known)),
                   output)
    error = PassError(
        f"pass {name} changed the meaning of output {label!r}: first new value at "
        f"{' '.join(filter(None, (culprit.op.name, culprit.name)))}: {culprit.type}",
        culprit.loc,
        "this is a bug in dlc, reproducible with DLC_CHECK=2; please report the program")
    error.stage = name
    return error


def _is_new(node: Node, value: Any, known: Mapping[tuple[Any, ...], Sequence[Any]]) -> bool:
    if not isinstance(node.type, Type):
        return False
    return not any(close(value, v) for v in known.get((value.dtype, value.shape), ()))
