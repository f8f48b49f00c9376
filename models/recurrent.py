"""Recurrent networks of English: a deep one, and one that reads from both sides.

After A. Graves, Generating sequences with recurrent neural networks, 2013 (`deep`, three layers),
and M. Schuster and K. K. Paliwal, Bidirectional recurrent neural networks, 1997: `bidirectional`
restores every eighth character from both sides of it; `forward`, as wide and from the left alone,
is what it has to beat. Differs: gated units, trained by Adam.
"""

from __future__ import annotations

import math

import dlc
from dlc import Node, i32, nn, optim

SIZE = 96  # characters
LEARNING = optim.adam(optim.one_cycle(4e-3), clip=optim.clip_by_norm(1.0))


def model(layer: nn.Layer, name: str) -> nn.Layer:
    return nn.chain(nn.embedding(SIZE + 1, 48), layer, nn.dense(SIZE), name=name)


stacked = model(nn.gru(80, layers=3), "stacked")
both = model(nn.gru(64, bidirectional=True), "both")
left = model(nn.gru(128), "left")


def predicted(logits: Node, y: Node) -> dlc.Loss:
    """Cross-entropy in nats, and in bits per character."""
    loss = nn.cross_entropy(logits, y)
    return dlc.loss(loss, bits=loss / math.log(2.0))


@dlc.task(data="pydoc", optimizer=LEARNING, batch=32, epochs=3)
def deep(x: i32["batch", 64], y: i32["batch", 64]) -> dlc.Loss:
    return predicted(stacked(x), y)


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
