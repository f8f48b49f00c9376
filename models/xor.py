"""Exclusive or: the smallest problem that needs a hidden layer.

After M. Minsky and S. Papert, Perceptrons, 1969, which shows that no single layer computes it.
"""

from __future__ import annotations

import dlc
from dlc import f32, nn, optim, tanh

net = nn.chain(nn.dense(8), tanh, nn.dense(1))


@dlc.task(data="xor", optimizer=optim.adam(0.05), batch=4, epochs=200)
def xor(x: f32["batch", 2], y: f32["batch", 1]) -> dlc.Loss:
    logits = net(x)
    return dlc.loss(nn.binary_cross_entropy_with_logits(logits, y),
                    accuracy=nn.binary_accuracy(logits, y))
