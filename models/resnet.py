"""Residual networks: of 18 to 152 layers for photographs, and one of 56 trained on digits.

After K. He, X. Zhang, S. Ren and J. Sun, Deep residual learning for image recognition, 2016, with
first weights of their paper of 2015. `residual_network(18)` to `(152)` have 11,689,512 (18
layers), 21,797,672 (34), 25,557,032 (50), 44,549,160 (101) and 60,192,808 (152) parameters, for
images of 224x224 and 1,000 classes. `resnet` has 56 layers of 8 maps on 14x14 pixels, and learns;
`resnet_plain`, the same without the sums, does not. Differs: a bottleneck's stride is in its 3x3
convolution, as is usual since; Adam.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, i32, init, nn, optim

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3),
          152: (3, 8, 36, 3)}
he = init.variance_scaling(2.0, "fan_out", "normal")


def normed(width: int, kernel: int = 3, stride: int = 1) -> nn.Layer:
    """A convolution without bias, and batch normalization."""
    return nn.chain(nn.conv(width, kernel, stride=stride, padding=kernel // 2, bias=False,
                            weight_init=he), nn.batch_norm())


def basic(width: int, stride: int = 1, widen: bool = False) -> nn.Layer:
    """relu(x + two convolutions of it), x through a 1x1 convolution where its shape changes."""
    return nn.chain(nn.residual(normed(width, 3, stride), nn.relu, normed(width),
                                shortcut=normed(width, 1, stride) if widen else None), nn.relu)


def bottleneck(width: int, stride: int = 1, widen: bool = False) -> nn.Layer:
    """The same with convolutions of 1x1, 3x3, and 1x1 to four times the width."""
    return nn.chain(nn.residual(
        normed(width, 1), nn.relu, normed(width, 3, stride), nn.relu, normed(4 * width, 1),
        shortcut=normed(4 * width, 1, stride) if widen else None), nn.relu)


def residual_network(layers: int, stem: nn.Layer | None = None, classes: int = 1000) -> nn.Layer:
    """`stem` (7x7 with stride 2 and a pool), four stages of half the size each, an average."""
    block = basic if layers < 50 else bottleneck
    stages = [block(64 << at, 2 if at and not k else 1, not k and (at > 0 or layers >= 50))
              for at, count in enumerate(BLOCKS[layers]) for k in range(count)]
    first = stem or nn.chain(normed(64, 7, 2), nn.relu, nn.max_pool(3, 2, padding=1))
    return nn.chain(first, *stages, nn.global_avg_pool, nn.flatten, nn.dense(classes))


def read(image: Node, label: Node, blocks: list[nn.Layer]) -> dlc.Loss:
    """Digits through a convolution, `blocks`, and an average over the pixels."""
    net = nn.chain(normed(8), nn.relu, *blocks, nn.global_avg_pool, nn.flatten, nn.dense(10))
    logits = net(image)
    return dlc.loss(nn.cross_entropy(logits, label), accuracy=nn.accuracy(logits, label))


@dlc.task(data="digits?size=14", optimizer=optim.adam(optim.cosine(3e-3)), batch=32, epochs=10)
def resnet(image: f32["batch", 1, 14, 14], label: i32["batch"], blocks: int = 27) -> dlc.Loss:
    return read(image, label, [basic(8) for _ in range(blocks)])


@dlc.task(data="digits?size=14", optimizer=optim.adam(optim.cosine(3e-3)), batch=32, epochs=10)
def resnet_plain(image: f32["batch", 1, 14, 14], label: i32["batch"], blocks: int = 27) -> dlc.Loss:
    return read(image, label, [nn.chain(normed(8), nn.relu, normed(8), nn.relu)
                               for _ in range(blocks)])
