"""LeNet-5 as it was published: pools with weights, and a table of which maps see which.

After Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, Gradient-based learning applied to document
recognition, 1998: S2 and S4 multiply the sum of four pixels by a coefficient and add a bias, both
trained, one a map; each of C3's 16 maps sees 3, 4 or all 6 of the maps before it (table I); images
of 32x32, white -0.1 and black 1.175; a scaled tanh. Differs: a dense layer with softmax for radial
basis functions, Adam, and images moved, turned and scaled at random.
"""

from __future__ import annotations

import dlc
from dlc import augment, f32, i32, nn, optim

TABLE = [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [0, 4, 5], [0, 1, 5],
         [0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5], [0, 3, 4, 5], [0, 1, 4, 5], [0, 1, 2, 5],
         [0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5], [0, 1, 2, 3, 4, 5]]


net = nn.chain(
    nn.conv(6, 5), nn.subsample(2), nn.lecun_tanh,
    nn.partial_conv(TABLE, 5), nn.subsample(2), nn.lecun_tanh,
    nn.conv(120, 5), nn.lecun_tanh,
    nn.flatten, nn.dense(84), nn.lecun_tanh,
    nn.dense(10),
)


@dlc.task(data="digits?size=32", optimizer=optim.adam(optim.cosine(2e-3)), batch=64, epochs=25,
          augment=augment.affine(shift=2, rotate=10, scale=0.1))
def lenet1998(image: f32["batch", 1, 32, 32], label: i32["batch"]) -> dlc.Loss:
    logits = net(1.275 * image - 0.1)
    return dlc.loss(nn.cross_entropy(logits, label), accuracy=nn.accuracy(logits, label))
