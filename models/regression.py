"""Linear regression on the diabetes data: one column, all, ridge, lasso and elastic net.

After H. Zou and T. Hastie, Regularization and variable selection via the elastic net, 2005, and
R. Tibshirani, Regression shrinkage and selection via the lasso, 1996. The objectives are
scikit-learn's. Least squares and ridge are trained by L-BFGS. The penalty |w| has no gradient at
0, so lasso and elastic net take proximal steps with momentum (FISTA; A. Beck and M. Teboulle
2009), which set weights to exactly 0.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, init, nn, optim

SMOOTH = 0.0095  # above the largest eigenvalue of x' x / n: FISTA's step is its reciprocal


def r2(y: Node, predicted: Node) -> Node:
    """The share of the variance of y that the prediction explains."""
    return 1.0 - dlc.square(y - predicted).sum() / dlc.square(y - y.mean()).sum()


def told(loss: Node, y: Node, predicted: Node, weight: Node) -> dlc.Loss:
    """The loss, with what is said of every regression here."""
    return dlc.loss(loss, r2=dlc.over_set(r2, y, predicted), mse=nn.mse(predicted, y),
                    coefficient=weight[0, 0], zeros=dlc.cast(weight == 0, f32).sum())


def line(x: Node) -> tuple[Node, Node]:
    """(x @ weight + bias, weight), both from 0."""
    weight = dlc.parameter("weight", f32[x.shape[1], 1], init.zeros)
    return x @ weight + dlc.parameter("bias", f32[()], init.zeros), weight


@dlc.task(data="diabetes", optimizer=optim.lbfgs(), batch=422, epochs=30)
def least_squares_bmi(x: f32["batch", 10], y: f32["batch", 1]) -> dlc.Loss:
    predicted, weight = line(x[:, 2:3])
    return told(nn.mse(predicted, y), y, predicted, weight)


@dlc.task(data="diabetes?test=0", optimizer=optim.lbfgs(), batch=442, epochs=200)
def least_squares(x: f32["batch", 10], y: f32["batch", 1]) -> dlc.Loss:
    predicted, weight = line(x)
    return told(nn.mse(predicted, y), y, predicted, weight)


@dlc.task(data="diabetes?test=0", optimizer=optim.lbfgs(), batch=442, epochs=100)
def ridge(x: f32["batch", 10], y: f32["batch", 1], alpha: float = 1.0) -> dlc.Loss:
    predicted, weight = line(x)
    penalty = alpha * dlc.square(weight).sum() / x.shape[0]
    return told(nn.mse(predicted, y) + penalty, y, predicted, weight)


def proximal(x: f32["batch", 10], y: f32["batch", 1], alpha: float = 1.0,
             ratio: float = 1.0) -> dlc.Loss:
    """FISTA on |y - x w - b|^2 / 2n + alpha (ratio |w|_1 + (1 - ratio) |w|_2^2 / 2)."""
    weight = dlc.parameter("weight", f32[10, 1], init.zeros)
    bias = dlc.parameter("bias", f32[()], init.zeros)
    ahead = dlc.state("ahead", weight.type)  # where the momentum points
    speed = dlc.state("speed", f32[()], init.ones)
    if dlc.training():
        slope = x.T @ (x @ ahead - (y - y.mean())) / x.shape[0] + alpha * (1.0 - ratio) * ahead
        step = 1.0 / (SMOOTH + alpha * (1.0 - ratio))
        new = nn.soft_shrink(ahead - step * slope, alpha * ratio * step)
        faster = (1.0 + dlc.sqrt(1.0 + 4.0 * speed * speed)) / 2.0
        dlc.update_state(ahead, new + (speed - 1.0) / faster * (new - weight))
        dlc.update_state(speed, faster)
        dlc.update_state(weight, new)
        dlc.update_state(bias, y.mean())  # the best intercept, as columns have mean 0
    predicted = x @ weight + bias
    penalty = alpha * (ratio * abs(weight).sum() + (1.0 - ratio) / 2.0 * dlc.square(weight).sum())
    return told(nn.mse(predicted, y) / 2.0 + penalty, y, predicted, weight)


def elastic(x: f32["batch", 10], y: f32["batch", 1]) -> dlc.Loss:
    """Half of the penalty on |w|, half on its square, and a hundredth of lasso's weight."""
    return proximal(x, y, alpha=0.01, ratio=0.5)


lasso = dlc.task(name="lasso", data="diabetes?test=0", batch=442, epochs=300,
                 phases=[dlc.phase("fista", proximal)])
elastic_net = dlc.task(name="elastic_net", data="diabetes?test=0", batch=442, epochs=300,
                       phases=[dlc.phase("fista", elastic)])
