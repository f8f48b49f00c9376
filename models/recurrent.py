"""Recurrent networks of English: deep, bidirectional, with peepholes, with state carried on.

After A. Graves, Generating sequences with recurrent neural networks, 2013 (`deep`, three layers),
M. Schuster and K. K. Paliwal, Bidirectional recurrent neural networks, 1997 (`bidirectional`), F.
A. Gers, N. N. Schraudolph and J. Schmidhuber, Learning precise timing with LSTM recurrent networks,
2002 (`peephole`), and R. J. Williams and J. Peng, An efficient gradient-based algorithm for on-line
training of recurrent network trajectories, 1990 (`carried`: 32 lanes of text, one-hot, each window
begun in the state that ended the one before, with no gradient into it). `bidirectional` restores
every eighth character from both sides of it; `forward`, as wide and from the left alone, is what it
has to beat. Differs: gated units, trained by Adam; `carried` is evaluated from a state of zeros.
"""

from __future__ import annotations

import math

import dlc
from dlc import Node, i32, nn, optim

SIZE = 96  # characters
LEARNING, FASTER = (optim.adam(optim.one_cycle(rate), clip=optim.clip_by_norm(1.0))
                    for rate in (4e-3, 6e-3))


def model(layer: nn.Layer, name: str) -> nn.Layer:
    return nn.chain(nn.embedding(SIZE + 1, 48), layer, nn.dense(SIZE), name=name)


stacked = model(nn.gru(80, layers=3), "stacked")
seeing = model(nn.lstm(128, peepholes=True), "seeing")
on = nn.chain(nn.gru(160, carry=True), nn.dense(SIZE), name="on")
both = model(nn.gru(64, bidirectional=True), "both")
left = model(nn.gru(128), "left")


def predicted(logits: Node, y: Node) -> dlc.Loss:
    """Cross-entropy in nats, and in bits per character."""
    loss = nn.cross_entropy(logits, y)
    return dlc.loss(loss, bits=loss / math.log(2.0))


@dlc.task(data="pydoc", optimizer=LEARNING, batch=32, epochs=3)
def deep(x: i32["batch", 64], y: i32["batch", 64]) -> dlc.Loss:
    return predicted(stacked(x), y)


@dlc.task(data="pydoc", optimizer=FASTER, batch=32, epochs=4)
def peephole(x: i32["batch", 64], y: i32["batch", 64]) -> dlc.Loss:
    return predicted(seeing(x), y)


@dlc.task(data="pydoc?lanes=32", optimizer=FASTER, batch=32, epochs=4)
def carried(x: i32["batch", 64], y: i32["batch", 64]) -> dlc.Loss:
    return predicted(on(dlc.one_hot(x, SIZE)), y)


def restored(net: nn.Layer, x: Node) -> dlc.Loss:
    """The loss of characters 4, 12, 20 ... of each window, which the network sees as a blank."""
    blank = dlc.arange(x.shape[1]) % 8 == 4
    logits = net(dlc.where(blank, SIZE, x))
    return predicted(logits[:, 4::8], x[:, 4::8])


@dlc.task(data="pydoc", optimizer=LEARNING, batch=32, epochs=2)
def bidirectional(x: i32["batch", 64]) -> dlc.Loss:
    return restored(both, x)


@dlc.task(data="pydoc", optimizer=LEARNING, batch=32, epochs=2)
def forward(x: i32["batch", 64]) -> dlc.Loss:
    return restored(left, x)
