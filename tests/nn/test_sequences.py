"""Peepholes, carried state, learned positions and the encoder-decoder, against NumPy and by what
they must do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, i32, nn, optim
from dlc.errors import DlcError
from dlc.init import initial_values
from dlc.lang.trace import graph_variables

Floats = np.ndarray[Any, np.dtype[Any]]


def sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-x))


def peepholes_by_hand(x: Floats, v: dict[str, Floats]) -> Floats:
    """h of every step; gates i and f see the memory before, o the one after."""
    units = v["weight_hidden"].shape[0]
    h = c = np.zeros((len(x), units))
    seen = v["peephole"].reshape(3, units)
    rows = []
    for t in range(x.shape[1]):
        gates = x[:, t] @ v["weight_input"] + h @ v["weight_hidden"] + v["bias"]
        i, f, g, o = np.split(gates, 4, -1)
        c = sigmoid(f + seen[1] * c) * c + sigmoid(i + seen[0] * c) * np.tanh(g)
        h = sigmoid(o + seen[2] * c) * np.tanh(c)
        rows.append(h)
    return np.stack(rows, 1)


def test_peepholes(rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, 5, 4)).astype(np.float32)
    graph = dlc.trace(nn.lstm(6, peepholes=True, name="l"), f32[3, 5, 4])
    values = initial_values(graph_variables(graph), 0)
    named = {k.rpartition(".")[2]: np.asarray(v, np.float64) for k, v in values.items()}
    assert named["peephole"].shape == (18,) and np.abs(named["peephole"]).min() > 0
    with dlc.compile(graph).load() as run:
        np.testing.assert_allclose(run(x), peepholes_by_hand(x, named), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", ["nn.lstm(4, layers=2, carry=True, name='r')",
                                   "nn.gru(4, carry=True, name='r')",
                                   "nn.rnn(4, carry=True, name='r')"])
def test_windows_with_carried_state_are_one_sequence(rng: np.random.Generator, layer: str) -> None:
    """In training; evaluation begins from zeros."""
    x = rng.normal(size=(2, 6, 3)).astype(np.float32)
    net = eval(layer, {"nn": nn})
    whole = dlc.trace(eval(layer.replace(", carry=True", ""), {"nn": nn}), f32[2, 6, 3])
    part = {t: dlc.trace(net, f32[2, 3, 3], training=t) for t in (True, False)}
    with dlc.compile(whole).load(seed=1) as run:
        wanted = run(x)
    with dlc.compile(part[True]).load(seed=1) as run:
        found = [run(x[:, at:at + 3]) for at in (0, 3)]
    with dlc.compile(part[False]).load(seed=1) as run:
        afresh = [run(x[:, at:at + 3]) for at in (0, 3)]
    # the same additions in the same order, but for those that a matmul of another size orders
    np.testing.assert_allclose(np.concatenate(found, 1), wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(afresh[0], wanted[:, :3], rtol=1e-5, atol=1e-6)
    assert np.abs(afresh[1] - wanted[:, 3:]).max() > 1e-3


def test_learned_positions_are_rows_of_a_table() -> None:
    graph = dlc.trace(nn.position_embedding(5, name="p"), f32[2, 3, 4])
    table = np.arange(20, dtype=np.float32).reshape(5, 4)
    with dlc.compile(graph).load() as run:
        run.write("p.weight", table)
        np.testing.assert_array_equal(run(np.zeros((2, 3, 4), np.float32)),
                                      np.broadcast_to(table[:3], (2, 3, 4)))


@pytest.mark.parametrize(("make", "message"), [
    (lambda: nn.lstm(3, carry=True, bidirectional=True), "carry=True with bidirectional=True"),
    (lambda: nn.gru(3, carry=2), "carry=2 is not True or False"),
    (lambda: nn.lstm(3, peepholes="yes"), "peepholes='yes' is not True or False"),
    (lambda: nn.position_embedding(0), "count=0"),
    (lambda: dlc.trace(nn.position_embedding(2), f32[1, 3, 4]), "3 positions, the table 2"),
    (lambda: dlc.trace(nn.encoder_decoder(3, 3, 4), f32[1, 3], i32[1, 3]), "no batch of sequences"),
    (lambda: nn.encoder_decoder(3, 3, 0), "units=0")])
def test_what_does_not_fit(make: Any, message: str) -> None:
    with pytest.raises(DlcError, match=message):
        make()


def test_an_encoder_decoder_goes_on_from_what_it_wrote() -> None:
    """In evaluation what it is to write counts by its length alone; in training each symbol is
    read by the step behind it, and by none before."""
    net = nn.encoder_decoder(4, 4, 8)

    def scores(x: i32[2, 3], y: i32[2, 5]) -> Any:
        return net(x, y)

    x = np.array([[0, 1, 2], [3, 2, 1]], np.int32)
    ys = [np.zeros((2, 5), np.int32), np.array([[0, 0, 3, 0, 0]] * 2, np.int32)]
    for training in (False, True):
        with dlc.compile(dlc.trace(scores, training=training)).load(seed=2) as run:
            one, other = (run(x, y) for y in ys)
        assert one.shape == (2, 5, 4)
        differs = (one != other).any(axis=(0, 2)).tolist()
        assert differs == [False, False, False, training, training]


def carrying(layer: nn.Layer, folder: Path) -> dlc.Task:
    """A text in two lanes of five windows through a layer that carries its state; lr=0.1."""
    text = "".join("abcd"[i * i % 7 % 4] for i in range(41))
    (folder / "text.txt").write_text(text, encoding="utf-8")
    net = nn.chain(nn.embedding(4, 2), layer, nn.dense(4), name="n")

    @dlc.task(data=f"{folder / 'text.txt'}?lanes=2&length=4&test=0", optimizer=optim.sgd(0.1),
              batch=2, epochs=2)
    def task(x: i32["batch", 4], y: i32["batch", 4]) -> dlc.Loss:
        return dlc.loss(nn.cross_entropy(net(x), y))

    return task


@pytest.mark.parametrize("layer", [nn.gru(3, carry=True), nn.lstm(3, layers=2, carry=True)],
                         ids=("gru", "lstm"))
def test_each_epoch_begins_with_no_carried_state(layer: nn.Layer, tmp_path: Path) -> None:
    """A network that learns nothing has the same loss in each epoch, to the bit, and within one the
    state goes on. A resumed run is the same as one that was not interrupted."""
    learning = carrying(layer, tmp_path)
    whole = learning.with_options(lr=0)
    seen: list[float] = []

    def look(at: Any) -> bool:
        seen.append(sum(float(np.abs(at.read(k)).sum()) for k in names))
        return len(seen) == 2

    names = [v.name for v in whole.variables(whole.graphs()) if ".carried" in v.name]
    whole.train(on_step=look)
    assert len(names) == (1 if layer.kind == "gru" else 4) and 0 < seen[0] != seen[1] > 0
    history = whole.train().history
    assert history[0]["train"]["loss"] == history[1]["train"]["loss"]
    two = learning.train(epochs=2)
    learning.train(epochs=1, folder=tmp_path)
    after = learning.train(epochs=2, folder=tmp_path, resume=True)
    for name, value in two.values.items():
        np.testing.assert_array_equal(value, after.values[name], err_msg=name)


def test_a_state_of_each_epoch_begins_with_its_first_value() -> None:
    """Beside one that goes on: both count steps, three an epoch, from 5 and from 0."""
    @dlc.task(optimizer=optim.sgd(0.1), batch=2, epochs=2)
    def counting(x: f32["batch", 1]) -> dlc.Loss:
        again = dlc.state("again", f32[()], dlc.init.constant(5.0), each_epoch=True)
        on = dlc.state("on", f32[()])
        for count in (again, on):
            dlc.update_state(count, count + 1.0)
        return dlc.loss(dlc.square(nn.dense(1)(x)).mean())

    seen: list[tuple[float, float]] = []

    def look(at: Any) -> None:
        seen.append((float(at.read("again")), float(at.read("on"))))

    rows = {"x": np.ones((6, 1), np.float32)}
    counting.train((rows, rows), on_step=look)
    assert seen == [(6, 1), (7, 2), (8, 3), (6, 4), (7, 5), (8, 6)]
    with pytest.raises(DlcError, match=r"state\('x'\): each_epoch=1"):
        dlc.trace(lambda: dlc.state("x", f32[()], each_epoch=1))


def test_carried_state_needs_lanes_as_a_batch_has_rows() -> None:
    net = nn.chain(nn.embedding(96, 2), nn.gru(2, carry=True), nn.dense(96), name="n")

    @dlc.task(data="pydoc?lanes=8&length=16", optimizer=optim.sgd(0.1), batch=4, epochs=1)
    def text(x: i32["batch", 16], y: i32["batch", 16]) -> dlc.Loss:
        return dlc.loss(nn.cross_entropy(net(x), y))

    with pytest.raises(DlcError, match="8 lanes, and batches of 4 rows"):
        text.train()
