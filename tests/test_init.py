"""Initializers: ranges and moments, one stream a name, the same values for the same seed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, init, nn
from dlc.init import fans, initial_values


def drawn(initializer: Any, shape: tuple[int, ...], seed: int = 0, name: str = "w") -> Any:
    """The first value of one parameter of `shape`."""
    graph = dlc.trace(lambda: dlc.parameter(name, f32[shape], initializer))
    return initial_values(graph.notes["variables"], seed)[name]


@pytest.mark.parametrize(("initializer", "bound"), [
    (init.glorot_uniform, math.sqrt(6 / 300)), (init.he_uniform, math.sqrt(6 / 200)),
    (init.lecun_uniform, math.sqrt(3 / 200)), (init.fan_in_uniform, math.sqrt(1 / 200)),
    (init.xavier_uniform, math.sqrt(6 / 300)), (init.kaiming_uniform, math.sqrt(6 / 200)),
])
def test_uniform_initializers_fill_their_range(initializer: Any, bound: float) -> None:
    w = drawn(initializer, (200, 100))
    assert np.abs(w).max() <= bound
    assert np.abs(w).max() > 0.999 * bound
    assert abs(w.mean()) < 0.02 * bound
    assert abs(w.std() - bound / math.sqrt(3)) < 0.01 * bound


@pytest.mark.parametrize(("initializer", "std"), [
    (init.glorot_normal, math.sqrt(2 / 300)), (init.he_normal, math.sqrt(2 / 200)),
    (init.lecun_normal, math.sqrt(1 / 200)), (init.normal(0.3), 0.3),
])
def test_normal_initializers(initializer: Any, std: float) -> None:
    w = drawn(initializer, (200, 100))
    assert abs(w.std() / std - 1) < 0.02
    assert abs(w.mean()) < 0.03 * std


@pytest.mark.parametrize(("initializer", "std"), [
    (init.variance_scaling(2.0), 0.1), (init.variance_scaling(1.0, "fan_out", "normal"), 0.1),
    (init.variance_scaling(1.0, "fan_avg", "uniform"), math.sqrt(1 / 150)),
    (init.variance_scaling(1.0, "fan_geo_avg", "normal"), 20000 ** -0.25),
])
def test_variance_scaling(initializer: Any, std: float) -> None:
    w = drawn(initializer, (200, 100))
    assert abs(w.std() / std - 1) < 0.02
    assert abs(w.mean()) < 0.03 * std


def test_truncated_normal_stays_within_its_bounds() -> None:
    w = drawn(init.truncated_normal(0.5, 1.0), (200, 100))
    assert np.abs(w - 1).max() <= 1.0
    assert abs(w.std() / (0.5 * init.TRUNCATED_STD) - 1) < 0.02
    scaled = drawn(init.variance_scaling(1.0), (100, 200))
    assert np.abs(scaled).max() <= 2 * 0.1 / init.TRUNCATED_STD + 1e-6


@pytest.mark.parametrize("shape", [(20, 8), (8, 20), (8, 8), (6, 3, 3, 3)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    """Rows or columns, whichever are fewer, are orthonormal; signs are not all alike."""
    w = drawn(init.orthogonal(2.0), shape).reshape(shape[0], -1) / 2
    product = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-5)
    assert (w > 0).any() and (w < 0).any()


@pytest.mark.parametrize(("shape", "axis"), [((200, 30), 0), ((30, 8, 5, 5), (1, 2, 3))])
def test_sparse(shape: tuple[int, ...], axis: Any) -> None:
    """15 inputs a unit, which all units do not share, with normal values."""
    w = drawn(init.sparse(15, 0.5), shape)
    assert ((w != 0).sum(axis) == 15).all()
    values = w[w != 0]
    assert abs(values.std() / 0.5 - 1) < 5 / math.sqrt(2 * len(values))
    assert abs(values.mean()) < 5 * 0.5 / math.sqrt(len(values))
    rows = (w != 0).reshape(shape) if axis == 0 else (w != 0).reshape(30, -1).T
    # each of 200 inputs is chosen by 30 * 15 / 200 = 2.25 units in the mean, of binomial spread
    assert rows.sum(1).std() < 5 * math.sqrt(30 * 0.075 * 0.925)
    assert (rows[:, 0] != rows[:, 1]).any()


def test_sparse_takes_all_inputs_where_there_are_fewer() -> None:
    assert (drawn(init.sparse(15), (7, 4)) != 0).all()


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3)])
def test_identity_of_matrices(shape: tuple[int, ...]) -> None:
    np.testing.assert_array_equal(drawn(init.identity(2.0), shape), 2.0 * np.eye(*shape))


def test_a_convolution_of_the_identity_gives_its_input() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 6, 5)).astype(np.float32)
    net = nn.conv(3, 3, padding=1, weight_init=init.identity(), bias_init=init.zeros)
    with dlc.compile(dlc.trace(net, f32[2, 3, 6, 5])).load() as program:
        np.testing.assert_array_equal(program(x), x)


@pytest.mark.parametrize(("make", "says"), [
    (lambda: init.sparse(0), "connections=0"), (lambda: init.identity(math.nan), "gain=nan"),
    (lambda: init.variance_scaling(1.0, "fan"), "mode 'fan'"),
    (lambda: init.variance_scaling(1.0, "fan_in", "cauchy"), "distribution 'cauchy'"),
    (lambda: init.variance_scaling(0.0), "scale 0.0"),
    (lambda: init.truncated_normal(low=1.0, high=-1.0), "from 1.0 to -1.0"),
    (lambda: drawn(init.orthogonal(), (5,)), "no fan in"),
])
def test_initializers_refuse(make: Any, says: str) -> None:
    with pytest.raises(DlcError, match=says):
        make()


def test_constants() -> None:
    assert (drawn(init.zeros, (3,)) == 0).all()
    assert (drawn(init.ones, (3,)) == 1).all()
    assert (drawn(init.constant(0.5), (3,)) == 0.5).all()
    u = drawn(init.uniform(2.0, 3.0), (1000,))
    assert u.min() >= 2 and u.max() < 3


def test_fans_of_dense_and_convolution() -> None:
    assert fans((784, 10)) == (784, 10)
    assert fans((16, 6, 5, 5)) == (150, 400)
    with pytest.raises(DlcError, match="no fan in"):
        fans((10,))


def test_values_depend_on_seed_and_name_only() -> None:
    shape = (4, 5)
    base = drawn(init.he_normal, shape)
    np.testing.assert_array_equal(base, drawn(init.he_normal, shape))
    assert not np.array_equal(base, drawn(init.he_normal, shape, seed=1))
    assert not np.array_equal(base, drawn(init.he_normal, shape, name="v"))


def test_a_new_layer_leaves_the_first_values_of_others() -> None:
    def values(net: Any) -> dict[str, Any]:
        return initial_values(dlc.trace(net, f32[2, 3]).notes["variables"], 7)

    short = values(nn.chain(nn.dense(4), nn.dense(4)))
    long = values(nn.chain(nn.dense(4), nn.batch_norm(), nn.dense(4)))
    np.testing.assert_array_equal(short["dense2.weight"], long["dense2.weight"])


def test_default_of_dense_is_pytorchs() -> None:
    """Weight and bias uniform within 1/sqrt(fan in)."""
    v = initial_values(dlc.trace(nn.dense(50), f32[2, 400]).notes["variables"], 0)
    for value in (v["dense1.weight"], v["dense1.bias"]):
        assert np.abs(value).max() <= 1 / 20
        assert np.abs(value).max() > 0.9 / 20


def test_a_seed_is_32_bits() -> None:
    variables = dlc.trace(nn.dense(2), f32[1, 2]).notes["variables"]
    with pytest.raises(DlcError, match="seed -1"):
        initial_values(variables, -1)
    assert initial_values(variables, 2**32 - 1)["dense1.weight"].shape == (2, 2)
