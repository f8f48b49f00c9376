"""Linear regression: y = x @ weight + bias by least squares, with plain gradient descent.

After C. F. Gauss, Theoria motus corporum coelestium, 1809 (least squares).
"""

from __future__ import annotations

import dlc
from dlc import f32, nn, optim

line = nn.dense(1)


@dlc.task(data="linear", optimizer=optim.sgd(0.1), batch=100, epochs=20)
def linear_regression(x: f32["batch", 8], y: f32["batch", 1]) -> dlc.Loss:
    predicted = line(x)
    return dlc.loss(nn.mse(predicted, y), mae=nn.mae(predicted, y))
