"""LeNet-5 on handwritten digits: two convolutions, three dense layers.

After Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, Gradient-based learning applied to document
recognition, 1998. Differs: full connections between the maps, plain average pooling, softmax for
radial basis functions, Adam, and images moved, turned and scaled at random in training.
"""

from __future__ import annotations

import dlc
from dlc import augment, f32, i32, nn, optim, tanh

net = nn.chain(
    nn.conv(6, 5, padding=2), tanh, nn.avg_pool(2),
    nn.conv(16, 5), tanh, nn.avg_pool(2),
    nn.flatten,
    nn.dense(120), tanh,
    nn.dense(84), tanh,
    nn.dense(10),
)


@dlc.task(data="digits", optimizer=optim.adam(optim.cosine(2e-3)), batch=64, epochs=60,
          augment=augment.affine(shift=2, rotate=10, scale=0.1))
def lenet(image: f32["batch", 1, 28, 28], label: i32["batch"]) -> dlc.Loss:
    logits = net(image)
    return dlc.loss(nn.cross_entropy(logits, label), accuracy=nn.accuracy(logits, label))
