"""A multilayer perceptron on the handwritten digits: two hidden layers of ReLU.

After D. E. Rumelhart, G. E. Hinton and R. J. Williams, Learning representations by
back-propagating errors, 1986. Differs: ReLU, softmax, smoothed labels and Adam.
"""

from __future__ import annotations

import dlc
from dlc import f32, i32, nn, optim

net = nn.chain(nn.flatten, nn.dense(512), nn.relu, nn.dense(512), nn.relu, nn.dense(10))


@dlc.task(data="digits", optimizer=optim.adam(optim.cosine(1e-3)), batch=64, epochs=30)
def mlp(image: f32["batch", 1, 28, 28], label: i32["batch"]) -> dlc.Loss:
    logits = net(image)
    return dlc.loss(nn.cross_entropy(logits, label, smoothing=0.1),
                    accuracy=nn.accuracy(logits, label))
