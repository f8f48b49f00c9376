"""A task of the report's tests: a recurrent network that writes character by character."""

from __future__ import annotations

import dlc
from dlc import i32, nn, optim

CHARACTERS = 96
read = nn.embedding(CHARACTERS, 32)
memory = nn.gru(96)
say = nn.dense(CHARACTERS)


@dlc.task(data="pydoc.txt?length=48", optimizer=optim.adam(optim.cosine(8e-3)), batch=32, epochs=12,
          dims={"time": 48})
def writer(x: i32["batch", "time"], y: i32["batch", "time"]) -> dlc.Loss:
    logits = say(memory(read(x)))
    return dlc.loss(nn.cross_entropy(logits, y), accuracy=nn.accuracy(logits, y))
