"""Diagnosis and credit scoring: a network on a table, with class weights, ROC and calibration.

After W. N. Street, W. H. Wolberg and O. L. Mangasarian, Nuclear feature extraction for breast tumor
diagnosis, 1993, and D. West, Neural network credit scoring models, 2000: standardized columns, one
hidden layer, and an error that weighs the rarer class as much as the other. `auc` is the area under
the ROC curve of all held-out cases; `calibration` the distance of the probabilities from the shares
of cases that occur, in ten bins (M. P. Naeini, G. F. Cooper and M. Hauskrecht 2015). docs/layers.md
has a table of your own.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, i32, nn, optim

BINS = 10
net = nn.chain(nn.dense(16), nn.tanh, nn.dropout(0.2), nn.dense(1), name="net")


def calibration(score: Node, label: Node) -> Node:
    """The mean distance of probabilities from shares, over bins of the probability, by cases."""
    chance = dlc.sigmoid(score)
    place = dlc.minimum(dlc.cast(chance * BINS, i32), BINS - 1)
    apart = dlc.segment_sum(chance - dlc.cast(label, f32), place, BINS)
    return dlc.abs(apart).sum() / score.shape[0]


@dlc.task(data="breast_cancer?standardize=1", batch=65, epochs=60,
          optimizer=optim.adamw(optim.cosine(5e-3), weight_decay=0.05))
def diagnosis(x: f32["batch", 30], label: i32["batch"], positive: float = 0.6) -> dlc.Loss:
    score, truth = net(x)[:, 0], dlc.cast(label, f32)
    weight = dlc.where(label == 1, positive, 1.0)
    each = nn.binary_cross_entropy_with_logits(score, truth, reduction="none")
    return dlc.loss((weight * each).sum() / weight.sum(), prediction=score,
                    accuracy=nn.binary_accuracy(score, truth),
                    auc=dlc.over_set(nn.auc, score, truth),
                    calibration=dlc.over_set(calibration, score, label))
