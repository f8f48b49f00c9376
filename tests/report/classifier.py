"""A task of the report's tests: digits told apart by two dense layers."""

from __future__ import annotations

import dlc
from dlc import f32, i32, nn, optim

net = nn.chain(nn.flatten, nn.dense(32), nn.relu, nn.dense(10))


@dlc.task(data="digits8", optimizer=optim.adam(optim.cosine(5e-3)), batch=64, epochs=20)
def classifier(image: f32["batch", 1, 8, 8], label: i32["batch"]) -> dlc.Loss:
    logits = net(image)
    return dlc.loss(nn.cross_entropy(logits, label), accuracy=nn.accuracy(logits, label))
