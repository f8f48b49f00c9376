"""Logistic and softmax regression on tables: breast cancer and iris, each in ten folds.

After D. R. Cox, The regression analysis of binary sequences, 1958. L-BFGS runs on all samples of
a fold at once; the penalty |w|^2 / 2n is that of scikit-learn's C = 1. The columns of breast
cancer are standardized on the training samples.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, i32, init, nn, optim


def penalized(loss: Node, weight: Node, rows: int) -> Node:
    """The mean loss of a batch with the penalty on the weights."""
    return loss + dlc.square(weight).sum() / (2.0 * rows)


def linear(x: Node, classes: int) -> tuple[Node, Node]:
    """(x @ weight + bias, weight), both from 0."""
    weight = dlc.parameter("weight", f32[x.shape[1], classes], init.zeros)
    return x @ weight + dlc.parameter("bias", f32[classes], init.zeros), weight


@dlc.task(data="breast_cancer?test=0&standardize=1", optimizer=optim.lbfgs(), batch=1000, epochs=60)
def breast_cancer(x: f32["batch", 30], label: i32["batch"]) -> dlc.Loss:
    logits, weight = linear(x, 1)
    score, benign = logits[:, 0], dlc.cast(label, f32)
    loss = nn.binary_cross_entropy_with_logits(score, benign)
    return dlc.loss(penalized(loss, weight, 512), accuracy=nn.binary_accuracy(score, benign),
                    auc=dlc.over_set(nn.auc, score, benign))


@dlc.task(data="iris?test=0", optimizer=optim.lbfgs(), batch=1000, epochs=300)
def iris(x: f32["batch", 4], label: i32["batch"]) -> dlc.Loss:
    logits, weight = linear(x, 3)
    loss = nn.cross_entropy(logits, label)
    return dlc.loss(penalized(loss, weight, 135), accuracy=nn.accuracy(logits, label))
