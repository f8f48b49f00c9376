"""Recurrent networks that write English, character by character: simple, gated and LSTM.

After S. Hochreiter and J. Schmidhuber, Long short-term memory, 1997, K. Cho et al., Learning
phrase representations using RNN encoder-decoder, 2014, and J. L. Elman, Finding structure in
time, 1990. Text is cut into windows of 64 characters, through which gradients flow, clipped to a
norm of 1. Each has to beat the bits per character of the trigram model. `dlc sample` writes text
with them.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, i32, nn, optim

SIZE = 96  # characters
LEARNING = optim.adam(optim.one_cycle(4e-3), clip=optim.clip_by_norm(1.0))


def model(layer: nn.Layer, name: str) -> nn.Layer:
    """A table of characters, the recurrent layer, and the scores of the next character."""
    return nn.chain(nn.embedding(SIZE, 48), layer, nn.dense(SIZE), name=name)


simple = model(nn.rnn(192), "simple")
gated = model(nn.gru(160), "gated")
memory = model(nn.lstm(160), "memory")


def predicted(logits: Node, y: Node) -> dlc.Loss:
    """Cross-entropy in nats, and in bits per character."""
    loss = nn.cross_entropy(logits.reshape(-1, SIZE), y.ravel())
    return dlc.loss(loss, bits=loss / dlc.log(dlc.asarray(2.0, f32)))


@dlc.task(data="pydoc", optimizer=LEARNING, batch=32, epochs=4)
def rnn(x: i32["batch", 64], y: i32["batch", 64]) -> dlc.Loss:
    return predicted(simple(x), y)


@dlc.task(data="pydoc", optimizer=LEARNING, batch=32, epochs=4)
def gru(x: i32["batch", 64], y: i32["batch", 64]) -> dlc.Loss:
    return predicted(gated(x), y)


@dlc.task(data="pydoc", optimizer=LEARNING, batch=32, epochs=4)
def lstm(x: i32["batch", 64], y: i32["batch", 64]) -> dlc.Loss:
    return predicted(memory(x), y)
