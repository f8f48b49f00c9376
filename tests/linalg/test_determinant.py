"""The determinant's derivatives against the polynomial that it is, at singular matrices too; all
routines of linear algebra on matrices that are not finite, evaluator and kernels."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, f64, linalg

RNG = np.random.default_rng(11)
RANDOM = RNG.normal(size=(4, 4))
MATRICES = {
    "regular": RANDOM, "one": np.array([[2.0]]), "zero alone": np.zeros((1, 1)),
    "rank 3 of 4": np.vstack([RANDOM[:3], RANDOM[0] + RANDOM[1]]),
    "rank 2 of 4": RANDOM[:, :2] @ RANDOM[:2], "rank 1": np.ones((3, 3)),
    "zero": np.zeros((3, 3)), "zero of 2": np.zeros((2, 2)), "identity": np.eye(3),
    "permutation": np.eye(4)[[1, 0, 2, 3]], "diagonal with a zero": np.diag([3.0, 0.0, 2.0]),
}


def signed(n: int, fixed: int) -> list[tuple[tuple[int, ...], float]]:
    """Permutations of n with their signs."""
    found = []
    for p in itertools.permutations(range(n)):
        swaps = sum(p[i] > p[j] for i in range(n) for j in range(i + 1, n))
        found.append((p, float((-1) ** (swaps + fixed))))
    return found


def derivative(a: Any, places: list[tuple[int, int]]) -> float:
    """The derivative of Leibniz' sum by the elements at `places`, all different or 0."""
    total = 0.0
    for p, sign in signed(len(a), 0):
        if len(set(places)) == len(places) and all(p[i] == j for i, j in places):
            rows = [i for i in range(len(a)) if i not in {i for i, _ in places}]
            total += sign * float(np.prod([a[i, p[i]] for i in rows]))
    return total


@pytest.mark.swept(3)
@pytest.mark.parametrize("name", MATRICES)
def test_value_gradient_and_hessian(name: str) -> None:
    a = MATRICES[name]
    places = list(np.ndindex(*a.shape))
    type_ = f64[a.shape]
    value = dlc.evaluate(dlc.trace(linalg.det, type_), a)
    np.testing.assert_allclose(value, derivative(a, []), atol=1e-13)
    slope = dlc.evaluate(dlc.trace(dlc.grad(linalg.det), type_), a)
    want = np.reshape([derivative(a, [p]) for p in places], a.shape)
    np.testing.assert_allclose(slope, want, atol=1e-12)
    curve = dlc.evaluate(dlc.trace(dlc.hessian(linalg.det), type_), a)
    twice = np.reshape([derivative(a, [p, q]) for p in places for q in places], a.shape * 2)
    np.testing.assert_allclose(curve, twice, atol=1e-12)


@pytest.mark.swept(2)
@pytest.mark.parametrize("kind, bound", [(f64, 1e-12), (f32, 1e-6), (dlc.f16, 2e-3)])
def test_compiled_and_forward(kind: Any, bound: float) -> None:
    """A batch of regular and singular matrices; forward mode gives the sum along a direction."""
    a = np.stack([MATRICES[n] for n in ("regular", "rank 3 of 4", "rank 2 of 4", "permutation")])
    a, w = a.astype(kind.numpy), RNG.normal(size=a.shape).astype(kind.numpy)

    def both(a: Any, w: Any) -> Any:
        return {"slope": dlc.grad(lambda a: linalg.det(a).sum())(a),
                "along": dlc.jvp(linalg.det, (a,), (w,))[1]}

    graph = dlc.trace(both, kind[a.shape], kind[a.shape])
    with dlc.compile(graph, name="det").load(threads=2) as program:
        found = program(a, w)
    places = list(np.ndindex(4, 4))
    wide = a.astype(np.float64)
    want = np.reshape([derivative(m, [p]) for m in wide for p in places], a.shape)
    np.testing.assert_allclose(found["slope"].astype(np.float64), want, atol=bound * 10)
    np.testing.assert_allclose(found["along"].astype(np.float64),
                               (want * w.astype(np.float64)).sum((1, 2)), atol=bound * 30)


def test_of_no_rows_it_is_one() -> None:
    assert dlc.evaluate(dlc.trace(linalg.det, f64[0, 0]), np.zeros((0, 0))) == 1


def spoilt() -> Any:
    """Matrices with one element that is not finite, and singular ones."""
    found = [np.zeros((3, 3)), np.diag([1.0, 2.0, 0.0]), np.full((3, 3), np.inf), np.eye(3)]
    for value in (np.inf, -np.inf, np.nan):
        for place in ((0, 0), (0, 2), (2, 0), (2, 2)):
            a = RNG.normal(size=(3, 3))
            a[place] = value
            found.append(a)
    return np.stack(found).astype(np.float32)


ROUTINES: dict[str, Callable[[Any], Any]] = {
    "qr": linalg.qr, "qr of tall": lambda a: linalg.qr(a[:, :, :2]), "inv": linalg.inv,
    "eigvalsh": linalg.eigvalsh, "svdvals": linalg.svdvals, "cholesky": linalg.cholesky,
    "slogdet": linalg.slogdet, "det": linalg.det, "expm": linalg.expm,
    "cofactors": dlc.grad(lambda a: linalg.det(a).sum()),
    "solve": lambda a: linalg.solve(a, dlc.ones_like(a)),
    "solve_triangular": lambda a: linalg.solve_triangular(a, dlc.ones_like(a)),
}


@pytest.mark.swept(3)
@pytest.mark.parametrize("name", ROUTINES)
def test_not_finite_or_singular(name: str) -> None:
    """Evaluator and kernel agree on every matrix; what is not finite spoils no other matrix."""
    x = spoilt()
    graph = dlc.trace(ROUTINES[name], f32[x.shape])
    kept = [i for i, n in enumerate(graph.output_names) if n != "fault"]
    graph = dlc.Graph(graph.name, graph.inputs, tuple(graph.outputs[i] for i in kept),
                      tuple(graph.output_names[i] for i in kept))
    want = dlc.evaluate(graph, x)
    with dlc.compile(graph, name="spoilt").load(threads=1) as program:
        found = program(x)
    pairs = [(found[k], want[k]) for k in want] if isinstance(want, dict) else [(found, want)]
    for got, value in pairs:
        np.testing.assert_allclose(got, value, atol=1e-5)
        assert np.isfinite(value[3]).all()
