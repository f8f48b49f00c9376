"""Recurrence, attention, norms, noise, combinators: against NumPy, in both modes, and refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, i32, nn, optim
from dlc.init import initial_values
from tests.nn.test_layers import applied, floats

# --- recurrence -----------------------------------------------------------------------------------


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def lstm_by_hand(x: Any, v: Any) -> tuple[Any, Any, Any]:
    """(h of every step, h, c) of one sample after the other."""
    units = v["weight_hidden"].shape[0]
    h = c = np.zeros((len(x), units))
    rows = []
    for t in range(x.shape[1]):
        gates = x[:, t] @ v["weight_input"] + h @ v["weight_hidden"] + v["bias"]
        i, f, g, o = np.split(gates, 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        rows.append(h)
    return np.stack(rows, 1), h, c


def test_lstm(rng: np.random.Generator) -> None:
    x = floats(rng, 3, 5, 4)
    out, v = applied(nn.lstm(6, returns="both"), x)
    named = {k.rpartition(".")[2]: value for k, value in v.items()}
    assert {k: a.shape for k, a in named.items()} == {
        "weight_input": (4, 24), "weight_hidden": (6, 24), "bias": (24,)}
    sequence, h, c = lstm_by_hand(x, named)
    for got, value in zip(out.values(), (sequence, h[None], c[None]), strict=True):
        np.testing.assert_allclose(got, value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [nn.lstm, nn.gru, nn.rnn])
def test_the_last_state_and_both_directions(rng: np.random.Generator, make: Any) -> None:
    """The last of a sequence is its last row; backwards it is the first row of the other half."""
    x = floats(rng, 2, 4, 3)
    layer = {r: make(5, layers=2, bidirectional=True, returns=r, name="r")
             for r in ("sequence", "last")}
    sequence, _ = applied(layer["sequence"], x)
    last, v = applied(layer["last"], x)
    assert sequence.shape == (2, 4, 10) and last.shape == (2, 10)
    np.testing.assert_array_equal(last, np.concatenate([sequence[:, -1, :5], sequence[:, 0, 5:]],
                                                       -1))
    assert {"r.weight_input", "r.weight_input_reverse", "r.weight_input2",
            "r.weight_input2_reverse"} <= set(v)


def test_no_time_gives_the_first_state(rng: np.random.Generator) -> None:
    out, _ = applied(nn.gru(3, returns="both"), np.zeros((2, 0, 4), np.float32),
                     start := floats(rng, 1, 2, 3))
    assert out["out0"].shape == (2, 0, 3)
    np.testing.assert_array_equal(out["out1"], start)


def test_a_recurrent_network_learns_parity() -> None:
    """Whether a row of bits holds an odd number of ones: what no linear model of them knows."""
    net = nn.chain(nn.gru(12, returns="last"), nn.dense(1))
    rng = np.random.default_rng(0)
    bits = (rng.random((64, 6, 1)) < 0.5).astype(np.float32)
    odd = (bits.sum((1, 2)) % 2).astype(np.float32)

    @dlc.task(optimizer=optim.adam(2e-2), batch=64)
    def parity(bits: f32["batch", 6, 1], odd: f32["batch"]):
        logits = net(bits)[:, 0]
        return dlc.loss(nn.binary_cross_entropy_with_logits(logits, odd),
                        accuracy=nn.binary_accuracy(logits, odd))

    with dlc.compile(parity).load(threads=1, seed=1) as program:
        found = [program(bits, odd, entry="train") for _ in range(250)][-1]
    assert float(found["accuracy"]) > 0.95


# --- attention ------------------------------------------------------------------------------------


def test_attention_without_anything_to_see_is_zero(rng: np.random.Generator) -> None:
    q, k, v = (floats(rng, 2, 3, 4) for _ in range(3))
    mask = np.array([[True, False, True], [False, False, False], [True, True, True]])

    def loss(q: Any, k: Any, v: Any) -> Any:
        return nn.scaled_dot_product_attention(q, k, v, dlc.asarray(mask)).sum()

    y = dlc.evaluate(dlc.trace(lambda q, k, v: nn.scaled_dot_product_attention(
        q, k, v, dlc.asarray(mask)), *(f32[2, 3, 4],) * 3), q, k, v)
    np.testing.assert_array_equal(y[:, 1], 0)
    scores = np.where(mask, np.exp(q @ k.transpose(0, 2, 1) / 2), 0)
    whole = np.maximum(scores.sum(-1, keepdims=True), 1e-30)
    np.testing.assert_allclose(y, scores / whole @ v, rtol=1e-4, atol=1e-5)
    slopes = dlc.evaluate(dlc.trace(dlc.grad(loss, wrt=(0, 1, 2)), *(f32[2, 3, 4],) * 3), q, k, v)
    assert all(np.isfinite(s).all() for s in slopes.values())


def test_a_causal_layer_does_not_see_what_follows(rng: np.random.Generator) -> None:
    layer = nn.multi_head_attention(2, causal=True, key_heads=1, rotary_base=100.0, name="a")
    x = floats(rng, 1, 5, 8)
    y, v = applied(layer, x)
    assert v["a.key"].shape == (8, 4)
    changed = x.copy()
    changed[:, 3:] += 1
    other, _ = applied(layer, changed)
    np.testing.assert_array_equal(y[:, :3], other[:, :3])
    assert np.abs(y[:, 3:] - other[:, 3:]).max() > 1e-3


def test_rotary_products_depend_on_distance(rng: np.random.Generator) -> None:
    q, k = (np.broadcast_to(floats(rng, 6), (9, 6)).copy() for _ in range(2))
    turned = [dlc.evaluate(dlc.trace(nn.rotary, f32[9, 6]), x) for x in (q, k)]
    products = turned[0] @ turned[1].T
    for shift in range(-4, 5):
        along = np.diagonal(products, shift)
        np.testing.assert_allclose(along, along[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose((turned[0] ** 2).sum(-1), (q ** 2).sum(-1), rtol=1e-5)


def test_sinusoidal_positions() -> None:
    found = dlc.evaluate(dlc.trace(lambda: nn.sinusoidal_positions(7, 5)))
    angle = np.arange(7)[:, None] / 10000.0 ** (np.array([0, 0, 2, 2, 4]) / 5)
    expected = np.where(np.arange(5) % 2 == 0, np.sin(angle), np.cos(angle))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    y, _ = applied(nn.positional_encoding(), np.zeros((2, 7, 5), np.float32))
    np.testing.assert_allclose(y, np.broadcast_to(expected, (2, 7, 5)), rtol=1e-5, atol=1e-6)


# --- norms ----------------------------------------------------------------------------------------


def normal(x: Any, axes: tuple[int, ...]) -> Any:
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(var + 1e-5)


def test_norms(rng: np.random.Generator) -> None:
    x = floats(rng, 3, 4, 5, 2) + 1
    grouped = normal(x.reshape(3, 2, 20), (2,)).reshape(x.shape)
    cases = [
        (nn.group_norm(2), grouped), (nn.instance_norm(), normal(x, (2, 3))),
        (nn.layer_norm(axes=2, affine=False), normal(x, (2, 3))),
        (nn.rms_norm(axes=2), x / np.sqrt((x ** 2).mean((2, 3), keepdims=True) + 1e-6)),
    ]
    for layer, expected in cases:
        np.testing.assert_allclose(applied(layer, x)[0], expected, rtol=1e-4, atol=1e-5)
    assert list(applied(nn.group_norm(2, name="g"), x)[1]) == ["g.weight", "g.bias"]
    weight, bias = floats(rng, 4), floats(rng, 4)
    y, _ = applied(nn.group_norm(2, name="g"), x, values={"g.weight": weight, "g.bias": bias})
    np.testing.assert_allclose(y, grouped * weight[:, None, None] + bias[:, None, None],
                               rtol=1e-4, atol=1e-5)


def test_local_response_norm(rng: np.random.Generator) -> None:
    x = floats(rng, 2, 7, 3)
    expected = np.empty_like(x)
    for c in range(7):
        near = x[:, max(0, c - 2):c + 3]
        expected[:, c] = x[:, c] / (2 + 0.3 / 5 * (near ** 2).sum(1)) ** 0.75
    found, _ = applied(nn.local_response_norm(5, 0.3, 0.75, 2.0), x)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


# --- noise ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [nn.spatial_dropout(0.4), nn.alpha_dropout(0.4),
                                   nn.gaussian_dropout(0.4), nn.rrelu])
def test_noise_keeps_the_mean_and_is_off_in_evaluation(rng: np.random.Generator,
                                                       layer: Any) -> None:
    x = np.abs(floats(rng, 60, 50, 10)) if layer is nn.rrelu else floats(rng, 60, 50, 10) + 1
    still, _ = applied(layer, x)
    np.testing.assert_array_equal(still, x)
    if layer is nn.rrelu:
        x = -x
    y, _ = applied(layer, x, training=True)
    later, _ = applied(layer, x, training=True, step=1)
    assert (y != later).any()
    if layer is nn.rrelu:
        assert (y / x).min() >= 1 / 8 - 1e-6 and (y / x).max() <= 1 / 3 + 1e-6
    elif layer.kind == "alpha_dropout":
        z = floats(rng, 200, 50, 10)
        noisy, _ = applied(layer, z, training=True)
        assert abs(noisy.mean()) < 0.02 and abs(noisy.std() - 1) < 0.02
    else:
        assert abs(y.mean() - x.mean()) < 0.05


def test_spatial_dropout_drops_whole_channels() -> None:
    y, _ = applied(nn.spatial_dropout(0.5), np.ones((20, 30, 4, 4), np.float32), training=True)
    per_channel = y.reshape(600, 16)
    assert (per_channel == per_channel[:, :1]).all()
    assert set(np.unique(y)) == {np.float32(0), np.float32(2)}


# --- the others -----------------------------------------------------------------------------------


def test_layers_around_products_and_tables(rng: np.random.Generator) -> None:
    x, z = floats(rng, 3, 4), floats(rng, 3, 2)
    y, v = applied(nn.bilinear(5, name="b"), x, z)
    expected = np.einsum("ni,oij,nj->no", x, v["b.weight"], z) + v["b.bias"]
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    y, v = applied(nn.maxout(3, 2, name="m"), x)
    np.testing.assert_allclose(y, (x @ v["m.weight"] + v["m.bias"]).reshape(3, 3, 2).max(-1),
                               rtol=1e-4, atol=1e-5)
    slopes = floats(rng, 4)
    y, v = applied(nn.prelu(name="p"), x, values={"p.weight": slopes})
    np.testing.assert_allclose(y, np.where(x > 0, x, slopes * x), rtol=1e-5)
    assert v["p.weight"].shape == (4,)
    assert applied(nn.prelu(axis=None, name="p"), x)[1]["p.weight"].shape == ()
    index = rng.integers(0, 6, (3, 5)).astype(np.int32)
    for mode in ("sum", "mean", "max"):
        out, v = applied(nn.embedding_bag(6, 2, mode, name="e"), index)
        rows = v["e.weight"][index]
        np.testing.assert_allclose(out["out"], getattr(rows, mode)(1), rtol=1e-5, atol=1e-6)


def test_functions(rng: np.random.Generator) -> None:
    x = floats(rng, 3, 4)

    def run(function: Callable[[Any], Any]) -> Any:
        return dlc.evaluate(dlc.trace(function, f32[3, 4]), x)

    np.testing.assert_allclose(run(nn.glu), x[:, :2] * sigmoid(x[:, 2:]), rtol=1e-5)
    weights = np.exp(-x)
    np.testing.assert_allclose(run(nn.softmin), weights / weights.sum(-1, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(run(lambda x: nn.softplus(x, 3.0)), np.log1p(np.exp(3 * x)) / 3,
                               rtol=1e-5)
    np.testing.assert_allclose(run(nn.rrelu), np.where(x > 0, x, x * 11 / 48), rtol=1e-5)


def test_combinators(rng: np.random.Generator) -> None:
    x = floats(rng, 3, 4)
    y, v = applied(nn.residual(nn.dense(4), dlc.tanh, name="r"), x)
    np.testing.assert_allclose(y, x + np.tanh(x @ v["r/body/dense1.weight"]
                                              + v["r/body/dense1.bias"]), rtol=1e-5, atol=1e-6)
    y, v = applied(nn.residual(nn.dense(2), shortcut=nn.dense(2, bias=False), name="r"), x)
    assert "r/shortcut/dense1.weight" in v and y.shape == (3, 2)
    y, v = applied(nn.parallel(nn.dense(2), dlc.sin, name="p"), x)
    assert y.shape == (3, 6) and "p/branch1/dense1.weight" in v
    np.testing.assert_allclose(y[:, 2:], np.sin(x), rtol=1e-5, atol=1e-6)
    y, _ = applied(nn.parallel(dlc.sin, dlc.cos, combine="sum"), x)
    np.testing.assert_allclose(y, np.sin(x) + np.cos(x), rtol=1e-5, atol=1e-6)
    assert applied(nn.reshape(2, -1), x)[0].shape == (3, 2, 2)


def test_a_layer_used_twice_shares_its_weights() -> None:
    block = nn.lstm(3, name="shared")
    graph = dlc.trace(lambda x: block(block(x)), f32[2, 4, 3])
    assert [n.attrs["label"] for n in graph.inputs[1:]] == [
        "shared.weight_input", "shared.weight_hidden", "shared.bias"]
    tied = nn.transformer_encoder(1, 4, dropout=0.0, name="block")
    once = dlc.trace(tied, f32[1, 2, 2]).notes["variables"]
    twice = dlc.trace(lambda x: tied(tied(x)), f32[1, 2, 2]).notes["variables"]
    assert [v.name for v in once] == [v.name for v in twice]
    assert "block/attention.query" in [v.name for v in once]


def test_layers_inside_loops(rng: np.random.Generator) -> None:
    """A cell inside the user's own scan: parameters made in the body are those outside."""
    cell = nn.gru_cell(3, name="cell")

    def unrolled(x: Any) -> Any:
        return dlc.scan(lambda h, row: (cell(row, h), None), dlc.zeros((2, 3)),
                        dlc.moveaxis(x, 1, 0))[0]

    x = floats(rng, 2, 5, 4)
    one, two = dlc.trace(unrolled, f32[2, 5, 4]), dlc.trace(nn.gru(3, returns="last", name="cell"),
                                                          f32[2, 5, 4])
    values = initial_values(two.notes["variables"], 0)
    np.testing.assert_allclose(dlc.evaluate(one, x, **values), dlc.evaluate(two, x, **values),
                               rtol=1e-5, atol=1e-6)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [
    lambda: nn.lstm(0), lambda: nn.gru(3, layers=0), lambda: nn.rnn(3, returns="all"),
    lambda: nn.rnn(3, activation="tanh"), lambda: nn.multi_head_attention(0),
    lambda: nn.multi_head_attention(2, dropout=1.0), lambda: nn.transformer_encoder(2, 0),
    lambda: nn.group_norm(0), lambda: nn.rms_norm(axes=0), lambda: nn.local_response_norm(0),
    lambda: nn.alpha_dropout(1.1), lambda: nn.spatial_dropout(-1), lambda: nn.maxout(3, 0),
    lambda: nn.embedding_bag(3, 2, "median"), lambda: nn.bilinear(0), lambda: nn.parallel(),
    lambda: nn.parallel(dlc.sin, combine="product"), lambda: nn.reshape(2.0),
    lambda: nn.residual(None), lambda: nn.prelu(slope="a")])
def test_bad_arguments_are_refused_where_the_layer_is_written(make: Any) -> None:
    with pytest.raises(DlcError) as caught:
        make()
    assert caught.value.loc is not None
    assert caught.value.loc.file == __file__
    assert caught.value.hint


@pytest.mark.parametrize(("make", "types"), [
    (lambda: nn.lstm(3), [f32[2, 4]]), (lambda: nn.lstm(3), [i32[2, 4, 3]]),
    (lambda: nn.lstm(3), [f32[2, 4, 3], f32[1, 2, 3]]),
    (lambda: nn.gru(3), [f32[2, 4, 3], f32[2, 2, 3]]),
    (lambda: nn.gru_cell(3), [f32[2, 4]]), (lambda: nn.lstm_cell(3), [f32[2, 4], f32[2, 3]]),
    (lambda: nn.multi_head_attention(3), [f32[2, 4, 8]]),
    (lambda: nn.multi_head_attention(2), [f32[4, 8]]),
    (lambda: nn.multi_head_attention(2), [f32[2, 4, 8]] * 5),
    (lambda: nn.group_norm(3), [f32[2, 4]]), (lambda: nn.instance_norm(), [f32[2, 4]]),
    (lambda: nn.residual(nn.dense(3)), [f32[2, 4]]), (lambda: nn.prelu(), [i32[2, 4]]),
    (lambda: nn.layer(nn.rotary), [f32[3, 5]]), (lambda: nn.reshape(3), [f32[2, 4]]),
    (lambda: nn.embedding_bag(4, 2), [i32[3, 2], f32[3, 2]])])
def test_bad_inputs_are_told_with_the_layer(make: Any, types: Any) -> None:
    layer = make()
    with pytest.raises(DlcError) as caught:
        dlc.trace(lambda *xs: layer(*xs), *types)
    assert caught.value.loc is not None
    assert caught.value.loc.file == __file__
    assert caught.value.hint


@pytest.mark.parametrize("make", [nn.lstm, nn.rnn, nn.lstm_cell, nn.rnn_cell])
def test_a_second_bias_needs_the_first(make: Any) -> None:
    with pytest.raises(DlcError, match="hidden_bias=True with bias=False"):
        make(3, bias=False, hidden_bias=True)
    with pytest.raises(DlcError, match="hidden_bias=2 is not True or False"):
        make(3, hidden_bias=2)
