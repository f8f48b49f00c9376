"""A three-dimensional convolution over clips says which way a digit moves.

After S. Ji, W. Xu, M. Yang and K. Yu, 3D convolutional neural networks for human action
recognition, 2013: kernels over height, width and time, so that the first layer already sees motion.
Differs: two layers, an average over all places in place of dense layers, and digits that move in
one of eight directions, made by a rule; a single frame does not tell which.
"""

from __future__ import annotations

import dlc
from dlc import f32, i32, nn, optim

net = nn.chain(
    nn.conv(16, 3), nn.relu,
    nn.conv(32, 3), nn.relu,
    nn.global_avg_pool, nn.flatten, nn.dense(8),
)


@dlc.task(data="moving", optimizer=optim.adam(optim.cosine(5e-3)), batch=32, epochs=10)
def motion(clip: f32["batch", 1, 6, 12, 12], label: i32["batch"]) -> dlc.Loss:
    logits = net(clip)
    return dlc.loss(nn.cross_entropy(logits, label), accuracy=nn.accuracy(logits, label))
