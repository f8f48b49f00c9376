"""VGG: convolutions of 3x3 and pools alone, in depths of 11 to 19 layers.

After K. Simonyan and A. Zisserman, Very deep convolutional networks for large-scale image
recognition, 2015. `vgg_network("A")` to `("E")` are the columns of table 1, for 224x224 pixels: A
and A-LRN with 132,863,336 parameters, B 133,047,848, C 133,638,952, D 138,357,544 and E
143,667,240. `vgg` is A, an eighth as wide, on digits of 32x32. Differs: dense layers of 256
units, He's first weights, Adam, and images moved, turned and scaled at random.
"""

from __future__ import annotations

import dlc
from dlc import augment, f32, i32, init, nn, optim

# A column of table 1 each: kernels of the convolutions between two pools, and "norm".
COLUMNS: dict[str, tuple[tuple[int | str, ...], ...]] = {
    "A": ((3,), (3,), (3, 3), (3, 3), (3, 3)),
    "A-LRN": ((3, "norm"), (3,), (3, 3), (3, 3), (3, 3)),
    "B": ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3)),
    "C": ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1)),
    "D": ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
    "E": ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3)),
}
WIDTHS = (64, 128, 256, 512, 512)
norm = nn.local_response_norm(5, alpha=5e-4, beta=0.75, k=2.0)


def conv(width: int, kernel: int) -> nn.Layer:
    return nn.chain(nn.conv(width, kernel, padding=kernel // 2, weight_init=init.he_normal),
                    nn.relu)


def vgg_network(column: str, narrower: int = 1, dense: int = 4096, classes: int = 1000) -> nn.Layer:
    """A column of the paper's table 1, `narrower` times narrower."""
    stages = [nn.chain(*(norm if isinstance(kernel, str) else conv(width // narrower, kernel)
                         for kernel in kernels), nn.max_pool(2))
              for kernels, width in zip(COLUMNS[column], WIDTHS, strict=True)]
    return nn.chain(*stages, nn.flatten,
                    nn.dense(dense), nn.relu, nn.dropout(0.5),
                    nn.dense(dense), nn.relu, nn.dropout(0.5), nn.dense(classes))


net = vgg_network("A", narrower=8, dense=256, classes=10)


@dlc.task(data="digits?size=32", optimizer=optim.adam(optim.cosine(1.5e-3)), batch=64, epochs=20,
          augment=augment.affine(shift=2, rotate=10, scale=0.1))
def vgg(image: f32["batch", 1, 32, 32], label: i32["batch"]) -> dlc.Loss:
    logits = net(image)
    return dlc.loss(nn.cross_entropy(logits, label), accuracy=nn.accuracy(logits, label))
