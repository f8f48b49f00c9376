"""jacobian and hessian against closed forms, differences, and each other's modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, i32, nn
from tests.everywhere import everywhere, traced

X = np.array([0.3, -1.2, 2.0])
W = np.array([[1.0, -0.5, 2.0], [0.3, 0.8, -1.1]])
MODES = ("auto", "forward", "reverse")


@pytest.mark.parametrize("mode", MODES)
def test_jacobian_of_an_affine_map_is_its_matrix(mode: str) -> None:
    np.testing.assert_array_equal(everywhere(dlc.jacobian(lambda x, w: w @ x + 1.0, mode=mode),
                                             X, W), W)


@pytest.mark.parametrize("mode", MODES)
def test_jacobian_of_an_elementwise_map_with_a_common_factor(mode: str) -> None:
    """d (sin(x_i) s) / d x_j = cos(x_i) s [i = j] + sin(x_i) for s = sum(x)."""
    expected = np.diag(np.cos(X)) * X.sum() + np.sin(X)[:, None]
    np.testing.assert_allclose(everywhere(dlc.jacobian(lambda x: dlc.sin(x) * x.sum(), mode=mode),
                                          X), expected)


@pytest.mark.parametrize("mode", MODES)
def test_jacobian_of_softmax(mode: str) -> None:
    p = np.exp(X) / np.exp(X).sum()
    found = everywhere(dlc.jacobian(nn.softmax, mode=mode), X)
    np.testing.assert_allclose(found, np.diag(p) - np.outer(p, p), atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_shapes_of_matrices_by_matrices(mode: str) -> None:
    """d (A A^T)_ij / d A_kl = [i = k] A_jl + [j = k] A_il."""
    found = everywhere(dlc.jacobian(lambda a: a @ a.T, mode=mode), W)
    eye = np.eye(2)
    expected = np.einsum("ik,jl->ijkl", eye, W) + np.einsum("jk,il->ijkl", eye, W)
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("mode", MODES)
def test_nesting_of_results_and_arguments(mode: str) -> None:
    def model(p: Any, x: Any) -> Any:
        return {"y": p["w"] @ x, "size": (x * x).sum()}

    def run(w: Any, x: Any) -> Any:
        found = dlc.jacobian(model, wrt=(0, 1), mode=mode)({"w": w}, x)
        (by_p, by_x), (size_by_p, size_by_x) = found["y"], found["size"]
        return by_p["w"], by_x, size_by_p["w"], size_by_x

    found = everywhere(run, W, X)
    np.testing.assert_allclose(found["out0"], np.einsum("ik,l->ikl", np.eye(2), X))
    np.testing.assert_allclose(found["out1"], W)
    np.testing.assert_array_equal(found["out2"], np.zeros((2, 3)))
    np.testing.assert_allclose(found["out3"], 2 * X)


def test_auto_takes_the_shorter_side() -> None:
    """Two results of three arguments: two pullbacks, no tangents; and the other way round."""
    def kinds(function: Callable[..., Any], x: Any) -> set[str]:
        graph = traced(dlc.jacobian(function), x)
        return {n.op.name for n in graph.nodes()} | {
            n.op.name for m in graph.nodes() if m.op.name == "vmap"
            for n in m.attrs["body"].nodes()}

    assert "jvp" not in kinds(lambda x: (x * x)[:2], X)
    assert "grad" not in kinds(lambda x: dlc.concat([x, x * x]), X)


def test_jacobian_counts_each_random_number_once() -> None:
    """The function is traced once: its noise is one sample, in the value and in every column."""
    def noisy(x: Any) -> Any:
        return x * dlc.random.uniform((3,))

    graph = traced(dlc.jacobian(noisy, mode="forward"), X.astype(np.float32))
    found = dlc.evaluate(graph, X.astype(np.float32), seed=np.uint32(1), step=np.int32(0))
    assert np.count_nonzero(found) == 3
    np.testing.assert_array_equal(found, np.diag(np.diag(found)))


# --- hessian --------------------------------------------------------------------------------------


def test_hessian_of_a_quadratic_form() -> None:
    a = np.arange(9.0).reshape(3, 3)
    found = everywhere(dlc.hessian(lambda x, a: x @ a @ x), X, a)
    np.testing.assert_allclose(found, a + a.T)


def test_hessian_of_logsumexp() -> None:
    p = np.exp(X) / np.exp(X).sum()
    found = everywhere(dlc.hessian(dlc.logsumexp), X)
    np.testing.assert_allclose(found, np.diag(p) - np.outer(p, p), atol=1e-12)


def test_hessian_of_rosenbrock() -> None:
    """f = sum 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2, whose Hessian is tridiagonal."""
    def rosenbrock(x: Any) -> Any:
        a, b = x[:-1], x[1:]
        return (100.0 * (b - a * a) ** 2.0 + (1.0 - a) ** 2.0).sum()

    x = np.array([-1.2, 1.0, 0.7])
    expected = np.array([
        [1200 * x[0] ** 2 - 400 * x[1] + 2, -400 * x[0], 0],
        [-400 * x[0], 1200 * x[1] ** 2 - 400 * x[2] + 202, -400 * x[1]],
        [0, -400 * x[1], 200]])
    np.testing.assert_allclose(everywhere(dlc.hessian(rosenbrock), x), expected)


def test_hessian_by_two_arguments_has_four_blocks() -> None:
    def f(a: Any, b: Any) -> Any:
        return (a * a * b).sum()

    def blocks(a: Any, b: Any) -> Any:
        (aa, ab), (ba, bb) = dlc.hessian(f, wrt=(0, 1))(a, b)
        return aa, ab, ba, bb

    a, b = X[:2], X[1:]
    found = everywhere(blocks, a, b)
    np.testing.assert_allclose(found["out0"], np.diag(2 * b))
    np.testing.assert_allclose(found["out1"], np.diag(2 * a))
    np.testing.assert_allclose(found["out2"], np.diag(2 * a))
    np.testing.assert_array_equal(found["out3"], np.zeros((2, 2)))


def test_hessian_of_a_k_means_objective() -> None:
    """sum_i min_k |x_i - c_k|^2: away from ties 2 n_k on the diagonal, by counting the points."""
    rng = np.random.default_rng(2)
    points, centres = rng.normal(size=(20, 2)), rng.normal(size=(3, 2))

    def objective(c: Any, x: Any) -> Any:
        distance = ((x[:, None, :] - c[None, :, :]) ** 2.0).sum(2)
        return distance.min(1).sum()

    found = everywhere(dlc.hessian(objective), centres, points)
    nearest = ((points[:, None] - centres) ** 2).sum(2).argmin(1)
    counts = np.bincount(nearest, minlength=3)
    np.testing.assert_allclose(found.reshape(6, 6), np.diag(np.repeat(2.0 * counts, 2)), atol=1e-12)


def test_hessian_of_a_matrix_function_equals_hvp() -> None:
    def f(a: Any) -> Any:
        return dlc.tanh(a @ a.T).sum() * a.mean()

    v = np.cos(np.arange(6.0)).reshape(2, 3)
    whole = everywhere(dlc.hessian(f), W)
    assert whole.shape == (2, 3, 2, 3)
    np.testing.assert_allclose(np.tensordot(whole, v, 2),
                               everywhere(lambda a, v: dlc.hvp(f, a, v), W, v), rtol=1e-9)
    np.testing.assert_allclose(whole.reshape(6, 6), whole.reshape(6, 6).T, rtol=1e-9)


# --- numbers of another implementation ------------------------------------------------------------
# JAX 0.10, f64: jax.jacfwd and jax.hessian of the functions below at A, with x64 enabled.

A = np.array([0.5, -0.25, 1.5])


def mixed(x: Any) -> Any:
    return dlc.concat([x[:1] * dlc.exp(x[1:2]), dlc.sin(x[1:] * x[:2]),
                       dlc.logsumexp(x)[None]])


def scalar(x: Any) -> Any:
    return dlc.tanh(x[0] * x[1]) + dlc.log(1.0 + x[2] ** 2.0) * dlc.exp(-x[0])


JACOBIAN = np.array([
    [0.7788007830714049, 0.38940039153570244, 0.0],
    [-0.24804941680733225, 0.4960988336146645, 0.0],
    [0.0, 1.3957614328684715, -0.23262690547807857],
    [0.23862655824004825, 0.11271920470830459, 0.6486542370516473]])
HESSIAN = np.array([
    [0.7301941485180496, 0.9539288189236746, -0.559874455119354],
    [0.9539288189236746, 0.06121502405343754, 0.0],
    [-0.559874455119354, 0.0, -0.1435575525947061]])


@pytest.mark.parametrize("mode", MODES)
def test_jacobian_against_jax(mode: str) -> None:
    np.testing.assert_allclose(everywhere(dlc.jacobian(mixed, mode=mode), A), JACOBIAN, rtol=1e-13,
                               atol=1e-15)


def test_hessian_against_jax() -> None:
    np.testing.assert_allclose(everywhere(dlc.hessian(scalar), A), HESSIAN, rtol=1e-12, atol=1e-15)


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("call", "message"), [
    (lambda x, i: dlc.jacobian(lambda x: x, mode="backward")(x), "mode='backward'"),
    (lambda x, i: dlc.jacobian(lambda x: x, wrt=1)(x), "wrt=1 names no argument of 1"),
    (lambda x, i: dlc.jacobian(lambda x, i: x, wrt=1)(x, i), r"i32\[3\] has no derivative"),
    (lambda x, i: dlc.jacobian(lambda x: x > 0.0)(x), "has no derivative"),
    (lambda x, i: dlc.hessian(lambda x: (x, i))(x), "has no derivative"),
])
def test_mistakes_are_told_at_the_users_line(call: Any, message: str) -> None:
    with pytest.raises(DlcError, match=message) as raised:
        dlc.trace(call, f32[3], i32[3])
    assert raised.value.loc is not None
    assert raised.value.loc.file == __file__
