"""JAX as the reference: values, both modes, second derivatives, edges of the real line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import dlc
from dlc.ir.graph import Graph
from dlc.ir.types import Type, dtype, f64
from dlc.lang.trace import trace
from tests.conformance.cut import chosen
from tests.conformance.jax_cases import SEED, Case, convolutions, smooth, tied, windows
from tests.conformance.jax_contractions import contractions

pytestmark = pytest.mark.conformance
NAMED = {str(case): case for case in (
    *tied(), *smooth(), *convolutions(), *windows(), *contractions())}
CASES = [NAMED[name] for name in chosen("jax", list(NAMED))]
# The evaluator and JAX in f64, and dlc's kernels in f32 against the same f64 results.
EXACT, SINGLE = 1e-9, 2e-5
TOGETHER = 20  # cases in a program


def directions(case: Case) -> tuple[list[np.ndarray], np.ndarray]:
    """A tangent for each array, and a cotangent of the result."""
    rng = np.random.default_rng([SEED, len(case.name)])
    shape = jax.eval_shape(case.theirs, *case.arrays).shape
    return [rng.uniform(-1, 1, a.shape) for a in case.arrays], rng.uniform(-1, 1, shape)


def ours(case: Case, *inputs: Any) -> dict[str, Any]:
    """Value, gradients, tangent, Hessian times tangent; inputs are arrays, tangents, cotangent."""
    count = len(case.arrays)
    xs, ts, c = inputs[:count], inputs[count:2 * count], inputs[-1]
    wrt = tuple(range(count))

    def weighted(*args: Any) -> Any:
        return dlc.sum(case.ours(*args) * c)

    def pushed(*args: Any) -> Any:
        return dlc.sum(dlc.jvp(case.ours, args, ts)[1] * c)

    found = {"value": case.ours(*xs), "tangent": dlc.jvp(case.ours, xs, ts)[1]}
    found.update({f"gradient{i}": g for i, g in enumerate(dlc.grad(weighted, wrt)(*xs))})
    if case.order >= 2:
        moved = dlc.jvp(dlc.grad(weighted, wrt), xs, ts)[1]
        found.update({f"hessian{i}": h for i, h in enumerate(moved)})
        over = dlc.grad(pushed, wrt)(*xs)
        found.update({f"hessian reversed{i}": h for i, h in enumerate(over)})
    if case.order >= 3:
        found["third"] = dlc.jvp(lambda *a: dlc.jvp(dlc.grad(weighted), a, ts)[1], xs, ts)[1]
    return found


def theirs(case: Case, *inputs: Any) -> dict[str, Any]:
    """The same by JAX."""
    count = len(case.arrays)
    xs, ts, c = inputs[:count], inputs[count:2 * count], inputs[-1]
    wrt = tuple(range(count))

    def weighted(*args: Any) -> Any:
        return jnp.sum(case.theirs(*args) * c)

    found = {"value": case.theirs(*xs), "tangent": jax.jvp(case.theirs, xs, ts)[1]}
    found.update({f"gradient{i}": g for i, g in enumerate(jax.grad(weighted, wrt)(*xs))})
    if case.order >= 2:
        moved = jax.jvp(jax.grad(weighted, wrt), xs, ts)[1]
        for i, h in enumerate(moved):
            found[f"hessian{i}"] = found[f"hessian reversed{i}"] = h
    if case.order >= 3:
        found["third"] = jax.jvp(lambda *a: jax.jvp(jax.grad(weighted), a, ts)[1], xs, ts)[1]
    return found


def given(case: Case) -> list[np.ndarray]:
    tangents, cotangent = directions(case)
    return [*case.arrays, *tangents, cotangent]


KNOWN: dict[str, dict[str, np.ndarray]] = {}  # JAX's results by the case's name


def expected(case: Case) -> dict[str, np.ndarray]:
    """JAX's results, compiled as one function, once."""
    if case.name not in KNOWN:
        found = jax.jit(lambda *a: theirs(case, *a))(*given(case))
        KNOWN[case.name] = {k: np.asarray(v) for k, v in found.items()}
    return KNOWN[case.name]


def agree(found: dict[str, Any], want: dict[str, np.ndarray], tolerance: float,
          case: Case) -> None:
    """Each within `tolerance` of the array's largest and of the element."""
    for name, value in want.items():
        size = float(np.max(np.abs(value[np.isfinite(value)]), initial=1.0))
        np.testing.assert_allclose(np.asarray(found[name], np.float64), value, tolerance,
                                   tolerance * size, err_msg=f"{case}: {name}")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_derivatives(case: Case) -> None:
    """f64 through the evaluator: the same numbers as JAX, at every order."""
    inputs = given(case)
    graph = trace(lambda *a: ours(case, *a), *(Type(f64, a.shape) for a in inputs))
    agree(dlc.evaluate(graph, *inputs), expected(case), EXACT, case)


def bundled(cases: Sequence[Case]) -> tuple[Graph, list[np.ndarray]]:
    """All results of several cases as one f32 graph, named by the case's number."""
    inputs = [a.astype(np.float32) for case in cases for a in given(case)]

    def whole(*args: Any) -> dict[str, Any]:
        left, named = list(args), {}
        for i, case in enumerate(cases):
            count = 2 * len(case.arrays) + 1
            own, left = left[:count], left[count:]
            named.update({f"{i} {k}": v for k, v in ours(case, *own).items()})
        return named

    return trace(whole, *(Type(dtype(a.dtype), a.shape) for a in inputs)), inputs


@pytest.mark.slow
@pytest.mark.parametrize("cases", [CASES[i:i + TOGETHER] for i in range(0, len(CASES), TOGETHER)],
                         ids=lambda cases: f"{cases[0]}-and-{len(cases) - 1}")
def test_on_the_cpu(cases: Sequence[Case]) -> None:
    """The same in f32 through passes and kernels: values, gradients, forward mode, Hessians."""
    graph, inputs = bundled(cases)
    with dlc.compile(graph, name="jax").load(threads=2) as program:
        found = program(*inputs)
        kernels = len(program.compiled.kernels)
    for i, case in enumerate(cases):
        own = {k.partition(" ")[2]: v for k, v in found.items() if k.startswith(f"{i} ")}
        agree(own, expected(case), SINGLE, case)
    print(f"{len(cases)} functions against JAX on the CPU, {kernels} kernels, seed {SEED}")


# --- edges of the reals ---------------------------------------------------------------------------

INF, NAN = np.inf, np.nan
EDGES = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.5, -2.5, 88.0, -88.0, 104.0, -104.0, 1e10,
                  -1e10, 3e38, -3e38, INF, -INF, NAN], np.float32)
UNARY: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    name: (getattr(dlc, name), getattr(jnp, name)) for name in (
        "abs", "ceil", "cos", "exp", "expm1", "floor", "isfinite", "log", "log1p", "round",
        "sign", "sin", "sqrt", "square", "tanh")}
UNARY.update({"rsqrt": (dlc.rsqrt, lax.rsqrt), "sigmoid": (dlc.sigmoid, jax.nn.sigmoid),
              "erf": (dlc.erf, lax.erf), "relu": (dlc.relu, jax.nn.relu),
              "softplus": (dlc.nn.softplus, jax.nn.softplus),
              "silu": (dlc.nn.silu, jax.nn.silu)})
BINARY: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "maximum": (dlc.maximum, jnp.maximum), "minimum": (dlc.minimum, jnp.minimum),
    "power": (dlc.power, jnp.power), "divide": (lambda a, b: a / b, jnp.divide),
    "remainder": (lambda a, b: a % b, jnp.remainder), "less": (lambda a, b: a < b, jnp.less),
    "equal": (lambda a, b: a == b, jnp.equal),
    "not equal": (lambda a, b: a != b, jnp.not_equal)}
LARGE_ANGLES = {"sin", "cos"}  # of 1e10 and more: dlc reduces them exactly, XLA does not
TINY = 1e-36  # XLA makes 0 of what is smaller on the way


def on_both(functions: dict[str, Callable[..., Any]], *arrays: np.ndarray) -> list[dict[str, Any]]:
    """Results by name through the evaluator and on the CPU."""
    graph = trace(lambda *a: {k: f(*a) for k, f in functions.items()},
                  *(Type(dtype(a.dtype), a.shape) for a in arrays))
    with dlc.compile(graph, name="edges").load(threads=1) as program:
        return [dlc.evaluate(graph, *arrays), program(*arrays)]


@pytest.mark.sliced
def test_edges_of_unary_functions() -> None:
    for found in on_both({k: f for k, (f, _) in UNARY.items()}, EDGES):
        for name, (_, reference) in UNARY.items():
            kept = np.abs(EDGES) < 1e9 if name in LARGE_ANGLES else np.ones(EDGES.shape, np.bool_)
            kept |= ~np.isfinite(EDGES)
            want = np.asarray(reference(EDGES))
            np.testing.assert_allclose(found[name][kept], want[kept], 5e-6, TINY, err_msg=name)


@pytest.mark.sliced
def test_edges_of_binary_functions() -> None:
    a, b = (v.ravel() for v in np.meshgrid(EDGES, EDGES, indexing="ij"))
    for found in on_both({k: f for k, (f, _) in BINARY.items()}, a, b):
        for name, (_, reference) in BINARY.items():
            want = np.asarray(reference(a, b))
            np.testing.assert_allclose(found[name], want, 5e-6, TINY, err_msg=name)


@pytest.mark.sliced
def test_edges_of_reductions() -> None:
    """Infinities, NaN, rows without any finite number, and nothing at all."""
    rows = np.array([[0, 1, 2], [-INF, 0, 1], [-INF, -INF, -INF], [INF, 0, 1], [INF, -INF, 0],
                     [NAN, 0, 1], [3e38, 3e38, 1], [-3e38, -3e38, -3e38]], np.float32)
    pairs = {"logsumexp": (dlc.logsumexp, jax.nn.logsumexp), "max": (dlc.max, jnp.max),
             "min": (dlc.min, jnp.min), "sum": (dlc.sum, jnp.sum), "argmax": (
                 dlc.argmax, jnp.argmax), "argmin": (dlc.argmin, jnp.argmin),
             "prod": (dlc.prod, jnp.prod)}
    for found in on_both({k: lambda x, f=f: f(x, 1) for k, (f, _) in pairs.items()}, rows):
        for name, (_, reference) in pairs.items():
            np.testing.assert_allclose(found[name], np.asarray(reference(rows, 1)), 5e-6,
                                       err_msg=name)
    none = np.zeros((2, 0), np.float32)
    empty = {k: pairs[k] for k in ("sum", "prod", "logsumexp")}
    for found in on_both({k: lambda x, f=f: f(x, 1) for k, (f, _) in empty.items()}, none):
        for name, (_, reference) in empty.items():
            np.testing.assert_array_equal(found[name], np.asarray(reference(none, 1)), name)
