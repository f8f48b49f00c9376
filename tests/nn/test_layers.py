"""Layers against NumPy: values, shapes, statistics, modes, gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, f64, i32, nn
from dlc.init import initial_values


def applied(layer: Any, *arrays: Any, training: bool = False, values: Any = None,
            step: int = 0) -> tuple[Any, dict[str, Any]]:
    """(the layer's outputs by name, its first values) on arrays."""
    kinds = {"f": f32, "i": i32}
    types = [kinds[a.dtype.kind][a.shape] for a in arrays]
    graph = dlc.trace(layer, *types, training=training)
    first = {**initial_values(graph.notes["variables"], 0), **(values or {})}
    if "step" in first:
        first["step"] = np.int32(step)
    out = dlc.evaluate(graph, *arrays, **first)
    return out, first


def floats(rng: np.random.Generator, *shape: int) -> Any:
    return rng.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
def test_dense(rng: np.random.Generator, lead: tuple[int, ...]) -> None:
    x = floats(rng, *lead, 5)
    y, v = applied(nn.dense(4), x)
    np.testing.assert_allclose(y, x @ v["dense1.weight"] + v["dense1.bias"], rtol=1e-5, atol=1e-6)
    y, v = applied(nn.dense(4, bias=False), x)
    assert list(v) == ["dense1.weight"]
    np.testing.assert_allclose(y, x @ v["dense1.weight"], rtol=1e-5, atol=1e-6)


def conv_reference(x: Any, w: Any, stride: int, padding: int, dilation: int, groups: int) -> Any:
    """Cross-correlation by loops over the taps."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    n, c, height, width = x.shape
    out, _, k, _ = w.shape
    span = (k - 1) * dilation + 1
    rows, cols = (height - span) // stride + 1, (width - span) // stride + 1
    y = np.zeros((n, out, rows, cols))
    for o in range(out):
        group = o // (out // groups)
        part = x[:, group * (c // groups):(group + 1) * (c // groups)]
        for i in range(k):
            for j in range(k):
                taps = part[:, :, i * dilation:i * dilation + (rows - 1) * stride + 1:stride,
                            j * dilation:j * dilation + (cols - 1) * stride + 1:stride]
                y[:, o] += np.einsum("nchw,c->nhw", taps, w[o, :, i, j])
    return y


@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), [
    (1, 0, 1, 1), (1, 2, 1, 1), (2, 1, 1, 1), (1, 0, 2, 1), (1, 1, 1, 2), (3, 2, 2, 4)])
def test_conv(rng: np.random.Generator, stride: int, padding: int, dilation: int,
              groups: int) -> None:
    x = floats(rng, 2, 4, 9, 8)
    layer = nn.conv(8, 3, stride=stride, padding=padding, dilation=dilation, groups=groups)
    y, v = applied(layer, x)
    w, b = v["conv1.weight"], v["conv1.bias"]
    assert w.shape == (8, 4 // groups, 3, 3)
    expected = conv_reference(x, w, stride, padding, dilation, groups) + b[:, None, None]
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_conv_along_one_axis_and_three(rng: np.random.Generator) -> None:
    assert applied(nn.conv(5, 3, padding="same"), floats(rng, 2, 3, 11))[0].shape == (2, 5, 11)
    assert applied(nn.conv(5, 2), floats(rng, 2, 3, 4, 5, 6))[0].shape == (2, 5, 3, 4, 5)
    assert applied(nn.conv(5, (1, 3)), floats(rng, 2, 3, 4, 5))[0].shape == (2, 5, 4, 3)


def test_pools(rng: np.random.Generator) -> None:
    x = floats(rng, 2, 3, 6, 8)
    tiles = x.reshape(2, 3, 3, 2, 4, 2)
    np.testing.assert_allclose(applied(nn.avg_pool(2), x)[0], tiles.mean((3, 5)), rtol=1e-5,
                               atol=1e-7)
    np.testing.assert_array_equal(applied(nn.max_pool(2), x)[0], tiles.max((3, 5)))
    assert applied(nn.max_pool(3, stride=2), x)[0].shape == (2, 3, 2, 3)
    padded = applied(nn.max_pool(3, stride=1, padding=1), x)[0]
    assert padded.shape == x.shape
    assert (padded >= x).all()


def test_batch_norm_in_training(rng: np.random.Generator) -> None:
    x = floats(rng, 6, 3, 4, 5) * 2 + 1
    out, v = applied(nn.batch_norm(momentum=0.1, eps=1e-5), x, training=True)
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
    expected = (x - mean[:, None, None]) / np.sqrt(var + 1e-5)[:, None, None]
    np.testing.assert_allclose(out["out"], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(out["batch_norm1.mean"], 0.1 * mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(out["batch_norm1.var"], 0.9 + 0.1 * var * 120 / 119, rtol=1e-5)
    assert [v[n].shape for n in ("batch_norm1.weight", "batch_norm1.bias")] == [(3,), (3,)]


def test_batch_norm_in_evaluation_uses_the_running_statistics(rng: np.random.Generator) -> None:
    x = floats(rng, 6, 3)
    given = {"batch_norm1.mean": floats(rng, 3), "batch_norm1.var": floats(rng, 3) ** 2,
             "batch_norm1.weight": floats(rng, 3), "batch_norm1.bias": floats(rng, 3)}
    y, _ = applied(nn.batch_norm(), x, values=given)
    mean, var, w, b = given.values()
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5) * w + b, rtol=1e-4, atol=1e-5)


def test_batch_norm_used_twice_updates_its_statistics_twice(rng: np.random.Generator) -> None:
    layer = nn.batch_norm(momentum=0.5)
    a, b = floats(rng, 8, 2) + 1, floats(rng, 8, 2) - 3
    out, _ = applied(lambda a, b: layer(a) + layer(b), a, b, training=True)
    expected = 0.5 * (0.5 * a.mean(0)) + 0.5 * b.mean(0)
    np.testing.assert_allclose(out["layer.mean"], expected, rtol=1e-5)


def test_layer_norm(rng: np.random.Generator) -> None:
    x = floats(rng, 4, 3, 5)
    y, _ = applied(nn.layer_norm(axes=2), x)
    mean, var = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5), rtol=1e-4, atol=1e-5)


def test_dropout_keeps_the_mean_and_is_off_in_evaluation(rng: np.random.Generator) -> None:
    x = np.ones((200, 100), np.float32)
    np.testing.assert_array_equal(applied(nn.dropout(0.3), x)[0], x)
    y, _ = applied(nn.dropout(0.3), x, training=True)
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.7)}
    assert abs(y.mean() - 1) < 0.02
    later, _ = applied(nn.dropout(0.3), x, training=True, step=1)
    assert 0.3 < (later != y).mean() < 0.6


def test_dropout_applied_twice_draws_twice() -> None:
    layer = nn.dropout(0.5)
    x = np.ones((40, 40), np.float32)
    out, _ = applied(lambda x: (layer(x), layer(x)), x, training=True)
    assert not np.array_equal(out["out0"], out["out1"])


def test_embedding(rng: np.random.Generator) -> None:
    index = rng.integers(0, 7, (3, 4)).astype(np.int32)
    out, v = applied(nn.embedding(7, 5), index)
    np.testing.assert_array_equal(out["out"], v["embedding1.weight"][index])
    index[1, 2] = 7
    assert applied(nn.embedding(7, 5), index)[0]["fault"] == 1


def test_a_chain_is_composition(rng: np.random.Generator) -> None:
    x = floats(rng, 4, 3)
    y, v = applied(nn.chain(nn.dense(5), dlc.tanh, nn.dense(2)), x)
    hidden = np.tanh(x @ v["dense1.weight"] + v["dense1.bias"])
    np.testing.assert_allclose(y, hidden @ v["dense2.weight"] + v["dense2.bias"], rtol=1e-5,
                               atol=1e-6)


def test_layers_print_as_they_are_written() -> None:
    net = nn.chain(nn.conv(6, 5), dlc.tanh, nn.flatten, nn.dense(10))
    assert str(net) == "chain(conv(6, 5), tanh, flatten, dense(10))"


@pytest.mark.parametrize("layer", [
    nn.dense(3), nn.conv(3, 2), nn.batch_norm(), nn.layer_norm(), nn.max_pool(2), nn.avg_pool(2)])
def test_gradients_of_layers(rng: np.random.Generator, layer: Any) -> None:
    """By the input, against central differences in f64."""
    x = rng.normal(size=(3, 2, 4, 4))
    weight = rng.normal(size=dlc.trace(layer, f64[x.shape], training=True).outputs[0].shape)

    def loss(x: Any) -> Any:
        return (layer(x) * dlc.asarray(weight)).sum()

    graph = dlc.trace(dlc.value_and_grad(loss), f64[x.shape], training=True)
    first = initial_values(graph.notes["variables"], 0)

    def value(x: Any) -> float:
        return float(dlc.evaluate(graph, x, **first)["out0"])

    slope = dlc.evaluate(graph, x, **first)["out1"]
    for _ in range(4):
        direction = rng.normal(size=x.shape)
        expected = (value(x + 1e-6 * direction) - value(x - 1e-6 * direction)) / 2e-6
        np.testing.assert_allclose((slope * direction).sum(), expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("make", [
    lambda: nn.dense(0), lambda: nn.dense(True), lambda: nn.conv(4, 0), lambda: nn.conv(4, (3, -1)),
    lambda: nn.conv(4, 3, stride=0), lambda: nn.conv(4, 3, groups=0), lambda: nn.dropout(-0.1),
    lambda: nn.avg_pool(2, padding=-1), lambda: nn.embedding(0, 3),
    lambda: nn.batch_norm(momentum=1.0),
    lambda: nn.layer_norm(axes=0), lambda: nn.chain(None), lambda: nn.chain(nn.Layer)])
def test_bad_arguments_are_refused_where_the_layer_is_written(make: Any) -> None:
    with pytest.raises(DlcError) as caught:
        make()
    assert caught.value.loc is not None
    assert caught.value.loc.file == __file__
