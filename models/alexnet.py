"""AlexNet: five convolutions, local response normalization, overlapping pools, dropout.

After A. Krizhevsky, I. Sutskever and G. E. Hinton, ImageNet classification with deep convolutional
neural networks, 2012. `two_groups` is the network of the paper for 224x224 pixels, whose second,
fourth and fifth convolutions see only those maps that are on their own graphics card: 60,965,224
parameters. `one_tower` is that of A. Krizhevsky's One weird trick for parallelizing convolutional
neural networks (2014), without groups and normalization: 61,100,840. `alexnet`, an eighth as wide
as the first, reads digits. Differs: the narrow one starts with 5x5 kernels on 28x28 pixels; Adam,
and images moved, turned and scaled at random.
"""

from __future__ import annotations

import dlc
from dlc import augment, f32, i32, nn, optim


def network(first: nn.Layer, widths: tuple[int, int, int, int], dense: int, classes: int,
            groups: int, drop: float = 0.5) -> nn.Layer:
    """`first` and four more convolutions of `widths` maps, three pools of 3x3 with stride 2, two
    dense layers with dropout; normalization where there are groups."""
    norm = [nn.local_response_norm(5, alpha=5e-4, beta=0.75, k=2.0)] if groups > 1 else []
    second, third, fourth, fifth = widths
    return nn.chain(
        first, nn.relu, *norm, nn.max_pool(3, 2),
        nn.conv(second, 5, padding=2, groups=groups), nn.relu, *norm, nn.max_pool(3, 2),
        nn.conv(third, 3, padding=1), nn.relu,
        nn.conv(fourth, 3, padding=1, groups=groups), nn.relu,
        nn.conv(fifth, 3, padding=1, groups=groups), nn.relu, nn.max_pool(3, 2),
        nn.flatten,
        nn.dropout(drop), nn.dense(dense), nn.relu,
        nn.dropout(drop), nn.dense(dense), nn.relu,
        nn.dense(classes))


def two_groups(drop: float = 0.5) -> nn.Layer:
    first = nn.conv(96, 11, stride=4, padding=2)
    return network(first, (256, 384, 384, 256), 4096, 1000, 2, drop)


def one_tower(drop: float = 0.5) -> nn.Layer:
    first = nn.conv(64, 11, stride=4, padding=2)
    return network(first, (192, 384, 256, 256), 4096, 1000, 1, drop)


narrow = network(nn.conv(12, 5, padding=2), (32, 48, 48, 32), 256, 10, 2)


@dlc.task(data="digits", optimizer=optim.adam(optim.cosine(2e-3)), batch=64, epochs=25,
          augment=augment.affine(shift=2, rotate=10, scale=0.1))
def alexnet(image: f32["batch", 1, 28, 28], label: i32["batch"]) -> dlc.Loss:
    logits = narrow(image)
    return dlc.loss(nn.cross_entropy(logits, label), accuracy=nn.accuracy(logits, label))
