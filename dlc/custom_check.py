"""check_op: the tests generated from a custom operator's record, run on its samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlc import env
from dlc.compiler import Compiled, Source
from dlc.derive.autodiff import reverse
from dlc.errors import DlcError
from dlc.ir.graph import Build, Graph, Node, building, make
from dlc.ir.types import TupleType, Type, dtype
from dlc.lang.custom import CustomOperator
from dlc.lang.source import definition
from dlc.ops import leaf, tuples
from dlc.reference.evaluate import evaluate

TOLERANCE = {"f64": 1e-9, "f32": 1e-5, "f16": 5e-3, "bf16": 5e-2}
STEP = 1e-5
Arrays = Sequence[np.ndarray[Any, Any]]


def check_op(operator: CustomOperator, device: str = "cpu") -> None:
    """Check a custom operator against its own record, on every sample.

    Compiled for `device`, it must match its NumPy meaning, with the types of its type rule. Its
    gradient rule must match finite differences of the meaning (in f64), compiled and evaluated.
    One that is said to be commutative must give the same in either order. Raises DlcError
    naming the sample and the difference.
    """
    if not isinstance(operator, CustomOperator):
        raise DlcError(f"check_op: {operator!r} is not a custom operator", None,
                       "give what dlc.custom_op made")
    assert operator.op.samples is not None
    for number, (arrays, attrs) in enumerate(operator.op.samples()):
        attrs = {**operator.usual, **attrs}
        _check_value(operator, number, arrays, attrs, device)
        if operator.op.commutative:
            _check_order(operator, number, arrays, attrs, device)
        if operator.op.gradient == "smooth":
            _check_gradient(operator, number, arrays, attrs, device)


def _graph(operator: CustomOperator, arrays: Arrays, attrs: Mapping[str, Any]) -> Graph:
    """The operator alone, with an output for each result."""
    with building(Build()):
        inputs = tuple(leaf.input_(f"x{i}", Type(dtype(a.dtype), a.shape))
                       for i, a in enumerate(arrays))
        node = make(operator.op, inputs, **attrs)
        results = (node,) if not isinstance(node.type, TupleType) else tuple(
            tuples.item(node, i) for i in range(len(node.type.items)))
        return Graph(operator.op.name, inputs, results, tuple(f"y{i}" for i in range(len(results))))


def _run(graph: Graph, arrays: Arrays, device: str) -> list[Any]:
    # what is compared here names the sample: DLC_CHECK=2, which would come first, names a launch
    source = Source(graph.name, {"main": graph}, lambda _: {})
    with Compiled(source, "cpu", min(env.number("DLC_CHECK"), 1)).load(device) as program:
        return _listed(graph, program(*arrays))


def _listed(graph: Graph, found: Any) -> list[Any]:
    return [found] if len(graph.outputs) == 1 else [found[n] for n in graph.output_names]


def _check_value(operator: CustomOperator, number: int, arrays: Arrays, attrs: Mapping[str, Any],
                 device: str) -> None:
    graph = _graph(operator, arrays, attrs)
    given = {k: v for k, v in attrs.items() if k != "lead"}
    meaning = operator.op.eval(*arrays, **attrs)
    for value, out in zip(meaning if isinstance(meaning, tuple) else (meaning,), graph.outputs,
                          strict=True):
        if np.asarray(value).shape != tuple(map(int, out.shape)):
            raise _error(operator, number, given, f"the meaning gives shape "
                         f"{np.asarray(value).shape}, the type rule {out.type}")
    expected = _listed(graph, evaluate(graph, *arrays))
    found = _run(graph, arrays, device)
    if not operator.elementwise and found[-1].any():
        place = operator.text.place(int(found[-1].max()))
        raise _error(operator, number, given, f"the function fails at {place}: an index is out of "
                                              "range, or an error is raised")
    for i, (got, want, out) in enumerate(zip(found, expected, graph.outputs, strict=True)):
        _compare(operator, number, given, f"result {i}", got, want, out)


def _compare(operator: CustomOperator, number: int, attrs: Mapping[str, Any], what: str, got: Any,
             want: Any, out: Node) -> None:
    tolerance = TOLERANCE.get(out.dtype.name, 0.0)
    a, b = (np.asarray(v, np.float64) for v in (got, want))
    size = float(np.max(np.abs(b[np.isfinite(b)]), initial=0.0))
    good = np.isclose(a, b, rtol=tolerance, atol=tolerance * size, equal_nan=True)
    if not good.all():
        at = tuple(map(int, np.argwhere(~np.atleast_1d(good))[0])) if a.ndim else ()
        raise _error(operator, number, attrs, f"{what} is {np.asarray(got)[at]!s} at {at}, its "
                     f"NumPy meaning gives {np.asarray(want)[at]!s}")


def _check_order(operator: CustomOperator, number: int, arrays: Arrays, attrs: Mapping[str, Any],
                 device: str) -> None:
    graph = _graph(operator, arrays, attrs)
    one, other = (_run(graph, given, device)[0] for given in (arrays, arrays[::-1]))
    if not np.array_equal(one, other, equal_nan=graph.outputs[0].dtype.is_float):
        raise _error(operator, number, attrs, "it is said to be commutative, and with its operands "
                     "in the other order it gives another value")


def _check_gradient(operator: CustomOperator, number: int, arrays: Arrays,
                    attrs: Mapping[str, Any], device: str) -> None:
    """The gradient of a random weighting of the results, against differences along a direction."""
    rng = np.random.default_rng(number)
    wide = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays]
    floats = [i for i, a in enumerate(wide) if a.dtype.kind == "f"]
    graph = _graph(operator, wide, attrs)
    outs = [o for o in graph.outputs if o.dtype.is_float]
    if not floats or not outs:
        return
    with building(Build()):
        us = [leaf.input_(f"u{i}", o.type) for i, o in enumerate(outs)]
        pulled = reverse(dict(zip(outs, us, strict=True)), [graph.inputs[i] for i in floats])
    names = tuple(f"dx{i}" for i in floats)
    slopes = Graph(f"grad_{graph.name}", (*graph.inputs, *us), tuple(pulled), names)
    weights = [rng.uniform(-1, 1, tuple(map(int, o.shape))) for o in outs]
    found = _listed(slopes, evaluate(slopes, *wide, *weights))
    given = {k: v for k, v in attrs.items() if k != "lead"}
    for i, value in zip(floats, found, strict=True):
        direction = rng.uniform(-1, 1, wide[i].shape)
        expected = _difference(graph, wide, i, direction, weights)
        slope = float(np.vdot(value, direction))
        if not np.isclose(slope, expected, rtol=1e-4, atol=1e-6):
            raise _error(operator, number, given, f"along a random direction the gradient rule "
                         f"gives {slope:.6g} for operand {i}, differences {expected:.6g}")
    for i, got, want, out in zip(floats, _run(slopes, [*wide, *weights], device), found, pulled,
                                 strict=True):
        _compare(operator, number, given, f"the gradient by operand {i}", got, want, out)


def _difference(graph: Graph, arrays: Arrays, at: int, direction: Any, weights: Any) -> float:
    """The derivative of the weighted results along `direction`, by differences of order four."""
    def score(step: float) -> float:
        moved = [a + step * direction if i == at else a for i, a in enumerate(arrays)]
        values = _listed(graph, evaluate(graph, *moved))
        floats = [v for v, o in zip(values, graph.outputs, strict=True) if o.dtype.is_float]
        return sum(float(np.vdot(w, v)) for w, v in zip(weights, floats, strict=True))

    near, far = score(STEP) - score(-STEP), score(2 * STEP) - score(-2 * STEP)
    return (8 * near - far) / (12 * STEP)


def _error(operator: CustomOperator, number: int, attrs: Mapping[str, Any], words: str) -> DlcError:
    given = f" with {', '.join(f'{k}={v!r}' for k, v in attrs.items())}" if attrs else ""
    return DlcError(f"custom operator {operator.op.name}, sample {number}{given}: {words}",
                    definition(operator.function))
