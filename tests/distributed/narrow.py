"""A narrow perceptron with what makes micro-batches differ: batch norm, dropout, a smaller tail."""

from __future__ import annotations

from typing import Any

import dlc
from dlc import f32, i32, nn, optim

net = nn.chain(nn.dense(24), nn.batch_norm(), nn.relu, nn.dropout(0.2), nn.dense(10))


@dlc.task(data="digits8", optimizer=optim.adam(1e-3), batch=64, epochs=2, micro_batches=4)
def narrow(image: f32["batch", 64], label: i32["batch"]) -> Any:
    logits = net(image)
    return dlc.loss(nn.cross_entropy(logits, label), accuracy=nn.accuracy(logits, label))
