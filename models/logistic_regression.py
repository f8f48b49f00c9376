"""Logistic regression on the 8x8 digits: one linear map to ten classes, with L2 and momentum.

After D. R. Cox, The regression analysis of binary sequences, 1958. Differs: ten classes, by
softmax.
"""

from __future__ import annotations

import dlc
from dlc import f32, i32, nn, optim

classes = nn.chain(nn.flatten, nn.dense(10))


@dlc.task(data="digits8", optimizer=optim.momentum(0.1, weight_decay=1e-4), batch=64, epochs=40)
def logistic_regression(image: f32["batch", 1, 8, 8], label: i32["batch"]) -> dlc.Loss:
    logits = classes(image)
    return dlc.loss(nn.cross_entropy(logits, label), accuracy=nn.accuracy(logits, label))
