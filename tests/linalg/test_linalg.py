"""dlc.linalg against NumPy: values on the CPU, gradients of what is composed, errors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, f64, linalg
from dlc.errors import DlcError
from dlc.ir.graph import Node
from dlc.reference.evaluate import evaluate

Array = Any


def draw(*shape: int) -> Array:
    """Well conditioned matrices: random ones with a heavy diagonal."""
    rng = np.random.default_rng(7)
    return rng.uniform(-1, 1, shape) + 2 * np.eye(shape[-2], shape[-1])


def definite(*shape: int) -> Array:
    x = draw(*shape)
    return x @ np.swapaxes(x, -1, -2)


def run(f: Callable[..., Any], *arrays: Array) -> Any:
    """`f` compiled for f64 arrays of these shapes, and run."""
    given = [np.asarray(a, np.float64) for a in arrays]
    graph = dlc.trace(f, *(f64[a.shape] for a in given), name="f")
    with dlc.compile(graph).load(threads=2) as program:
        return program(*given)


CASES: dict[str, tuple[Callable[..., Any], Callable[..., Array], tuple[Array, ...]]] = {
    "cholesky": (linalg.cholesky, np.linalg.cholesky, (definite(2, 4, 4),)),
    "solve": (linalg.solve, np.linalg.solve, (draw(3, 4, 4), draw(3, 4, 2))),
    "solve_vector": (linalg.solve, np.linalg.solve, (draw(4, 4), draw(1, 4)[0])),
    "solve_broadcast": (linalg.solve, np.linalg.solve, (draw(4, 4), draw(3, 4, 2))),
    "inv": (linalg.inv, np.linalg.inv, (draw(2, 5, 5),)),
    "det": (linalg.det, np.linalg.det, (draw(2, 3, 4, 4),)),
    "qr_r": (lambda a: linalg.qr(a, "r"), lambda a: np.linalg.qr(a, "r"), (draw(5, 3),)),
    "qr_wide": (lambda a: linalg.qr(a, "r"), lambda a: np.linalg.qr(a, "r"), (draw(2, 3, 5),)),
    "eigvalsh": (linalg.eigvalsh, np.linalg.eigvalsh, (definite(2, 6, 6),)),
    "svdvals": (linalg.svdvals, lambda a: np.linalg.svd(a)[1], (draw(2, 3, 6),)),
    "pinv": (linalg.pinv, np.linalg.pinv, (draw(3, 5),)),
    "pinv_of_rank_one": (linalg.pinv, np.linalg.pinv, (np.outer([1.0, 2, 3], [1.0, -1]),)),
    "lstsq": (linalg.lstsq, lambda a, b: np.linalg.lstsq(a, b, rcond=None)[0],
              (draw(6, 3), draw(6, 2))),
    "lstsq_wide": (linalg.lstsq, lambda a, b: np.linalg.lstsq(a, b, rcond=None)[0],
                   (draw(3, 6), draw(3, 2))),
    "qr_complete": (lambda a: linalg.qr(a, "complete")[0],
                    lambda a: np.linalg.qr(a, "complete")[0], (draw(2, 5, 3),)),
    "qr_complete_r": (lambda a: linalg.qr(a, "complete")[1],
                      lambda a: np.linalg.qr(a, "complete")[1], (draw(2, 5, 3),)),
    "power_5": (lambda a: linalg.matrix_power(a, 5),
                lambda a: np.linalg.matrix_power(a, 5), (draw(2, 3, 3),)),
    "power_0": (lambda a: linalg.matrix_power(a, 0),
                lambda a: np.linalg.matrix_power(a, 0), (draw(3, 3),)),
    "power_minus_2": (lambda a: linalg.matrix_power(a, -2),
                      lambda a: np.linalg.matrix_power(a, -2), (draw(3, 3),)),
    "expm_of_a_turn": (linalg.expm, lambda a: np.array(
        [[np.cos(9.0), -np.sin(9.0)], [np.sin(9.0), np.cos(9.0)]]),
        (np.array([[0.0, -9.0], [9.0, 0.0]]),)),
    "cond": (linalg.cond, np.linalg.cond, (draw(4, 4),)),
    "cond_1": (lambda a: linalg.cond(a, 1), lambda a: np.linalg.cond(a, 1), (draw(4, 4),)),
}
for _ord in (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf):
    CASES[f"norm_{_ord}_matrix"] = (
        lambda a, o=_ord: linalg.norm(a, o, (0, 2)),
        lambda a, o=_ord: np.linalg.norm(a, o, (0, 2)), (draw(3, 2, 4),))
for _ord in (None, 0, 1, 2, 3, 0.5, -1, -2, np.inf, -np.inf):
    CASES[f"norm_{_ord}_vector"] = (
        lambda a, o=_ord: linalg.norm(a, o, 1, keepdims=True),
        lambda a, o=_ord: np.linalg.norm(a, o, 1, keepdims=True), (draw(3, 4),))


@pytest.mark.swept(4)
@pytest.mark.parametrize("name", CASES)
def test_value(name: str) -> None:
    function, reference, arrays = CASES[name]
    np.testing.assert_allclose(run(function, *arrays), reference(*arrays), rtol=1e-10, atol=1e-10)


def test_orthogonal_factors() -> None:
    a = draw(2, 3, 5)
    q, r = run(linalg.qr, a).values()
    np.testing.assert_allclose(q @ r, a, atol=1e-12)
    u, s, vh = run(linalg.svd, a).values()
    np.testing.assert_allclose(u * s[..., None, :] @ vh, a, atol=1e-12)
    w, v = run(linalg.eigh, definite(4, 4)).values()
    np.testing.assert_allclose(v * w @ v.T, definite(4, 4), atol=1e-11)


def test_singular_vectors_of_a_matrix_without_full_rank() -> None:
    a = np.outer(np.arange(5.0), np.arange(1.0, 4.0))
    u, s, _ = run(linalg.svd, a).values()
    np.testing.assert_allclose(u.T @ u, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(s, [np.linalg.norm(a), 0, 0], atol=1e-12)
    zero = list(run(linalg.svd, 0 * a).values())
    np.testing.assert_allclose(zero[0].T @ zero[0], np.eye(3), atol=1e-12)


def _projection(v: Node) -> Node:
    """What the orthonormal columns of v [m, k] span, whichever they are."""
    return v @ v.T


GRADIENTS: dict[str, tuple[Callable[[Node], Node], Array]] = {
    "cholesky": (lambda a: (linalg.cholesky(a) ** 3).sum(), definite(4, 4)),
    "det": (linalg.det, draw(3, 3)),
    "lstsq": (lambda a: (linalg.lstsq(a, dlc.asarray(draw(5, 2))) ** 2).sum(), draw(5, 3)),
    "lstsq_wide": (lambda a: (linalg.lstsq(a, dlc.asarray(draw(3, 2))) ** 2).sum(), draw(3, 5)),
    "space": (lambda a: (_projection(linalg.qr(a, "complete")[0][:, 2:]) ** 3).sum(), draw(4, 2)),
    "null space": (lambda a: (_projection(linalg.svd(a, True)[2][2:].T) ** 3).sum(), draw(2, 4)),
    "det of rank n - 1": (lambda a: linalg.det(a) * a.sum(), np.diag([1.0, 2, 0]) @ draw(3, 3)),
    "pinv": (lambda a: (linalg.pinv(a) ** 3).sum(), np.diag([3.0, 2, 1]) + 0.3 * draw(3, 3)),
    "qr_wide": (lambda a: (linalg.qr(a)[1] ** 3).sum(), draw(3, 5)),
    "svd_wide": (lambda a: (linalg.svd(a)[2] ** 3).sum(), draw(2, 4)),
    "nuclear": (lambda a: linalg.norm(a, "nuc"), draw(4, 3)),
    "norm_3": (lambda a: linalg.norm(a, 3, axis=0).sum(), draw(4, 3)),
    "eigenvectors": (lambda a: (linalg.eigh(a)[1] ** 3).sum(), definite(4, 4)),
    "power": (lambda a: linalg.matrix_power(a, -3).sum(), draw(3, 3)),
}


def result_of(graph: dlc.Graph, x: Array) -> Any:
    """The first output: `fault` may stand beside it."""
    found = evaluate(graph, x)
    return found[graph.output_names[0]] if isinstance(found, dict) else found


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient(name: str) -> None:
    """The gradient and its own derivative along a direction, against differences."""
    function, a = GRADIENTS[name]
    direction = np.random.default_rng(3).uniform(-1, 1, a.shape)

    def along(f: Callable[[Node], Node]) -> Callable[[Node], Node]:
        return lambda x: (dlc.grad(f)(x) * dlc.asarray(direction)).sum()

    functions = (function, along(function), along(along(function)))
    graphs = [dlc.trace(f, f64[a.shape], name="f") for f in functions]
    for lower, upper in itertools.pairwise(graphs):
        step = 1e-5
        values = [result_of(lower, a + k * step * direction) for k in (-2, -1, 1, 2)]
        expected = (8 * (values[2] - values[1]) - (values[3] - values[0])) / (12 * step)
        np.testing.assert_allclose(result_of(upper, a), expected, rtol=1e-6)


def test_the_norm_of_zero_has_gradient_zero() -> None:
    assert not run(dlc.grad(linalg.norm), np.zeros(3)).any()


SINGULAR: dict[str, Callable[[Node], Any]] = {
    "solve": lambda a: linalg.solve(a, dlc.ones((3, 1))), "inv": linalg.inv,
    "cholesky": linalg.cholesky, "lstsq": lambda a: linalg.lstsq(a, dlc.ones((3, 1))),
    "solve_triangular": lambda a: linalg.solve_triangular(a, dlc.ones((3, 1))),
}


@pytest.mark.parametrize("name", SINGULAR)
def test_a_singular_matrix_stops_the_step(name: str) -> None:
    function = SINGULAR[name]

    def f(a: f32[3, 3]) -> Any:
        return function(a)

    with dlc.compile(f).load() as program:
        program(np.eye(3, dtype=np.float32))
        with pytest.raises(DlcError, match=name) as told:
            program(np.diag([1.0, 2.0, 0.0]).astype(np.float32))
        assert "test_linalg.py" in str(told.value)


def test_singular_without_a_check() -> None:
    sign, logabs = run(linalg.slogdet, np.ones((3, 3))).values()
    assert (sign, logabs) == (0, -np.inf)
    assert run(linalg.det, np.ones((3, 3))) == 0


WRONG: dict[str, Callable[[Node, Node], Any]] = {
    "not square": lambda a, b: linalg.inv(b),
    "no matrix": lambda a, b: linalg.qr(b.sum()),
    "does not fit": lambda a, b: linalg.solve(a, b.T),
    "do not broadcast": lambda a, b: linalg.solve(dlc.stack([a, a]), dlc.stack([b, b, b])),
    "right side": lambda a, b: linalg.lstsq(b.T, a),
    "mode 'full'": lambda a, b: linalg.qr(a, "full"),
    "power 2.5": lambda a, b: linalg.matrix_power(a, 2.5),  # type: ignore[arg-type]
    "order 'sup'": lambda a, b: linalg.norm(a, "sup"),
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_operands(words: str) -> None:
    def f(a: f32[3, 3], b: f32[3, 2]) -> Any:
        return WRONG[words](a, b)

    with pytest.raises(DlcError, match=words):
        dlc.trace(f)


def test_vmap_and_interpreter() -> None:
    def f(a: f64[2, 3, 3]) -> Node:
        return dlc.vmap(linalg.inv)(a)

    a = draw(2, 3, 3)
    with dlc.compile(f).load(device="interpret") as program:
        found = program(a)
    np.testing.assert_allclose(found, np.linalg.inv(a), atol=1e-12)
