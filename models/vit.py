"""A vision transformer: an image as a sequence of patches, read by attention.

After A. Dosovitskiy et al., An image is worth 16x16 words: transformers for image recognition at
scale, 2021: patches embedded by one linear map, a token of the class before them, learnt
positions, encoder blocks with the norm first. Differs: 16 patches of 7x7 pixels, width 48, three
blocks of four heads, images moved, turned and scaled at random.
"""

from __future__ import annotations

import dlc
from dlc import augment, f32, i32, init, nn, optim

WIDTH, HEADS, BLOCKS, PATCH = 48, 4, 3, 7
patches = nn.conv(WIDTH, PATCH, stride=PATCH, name="patches")
blocks = nn.chain(*(nn.transformer_encoder(HEADS, 2 * WIDTH, dropout=0.0, activation=nn.gelu,
                                           norm_first=True) for _ in range(BLOCKS)),
                  nn.layer_norm())
head = nn.dense(10, name="head")


@dlc.task(data="digits", optimizer=optim.adamw(optim.warmup(optim.cosine(2e-3), epochs=2),
                                               weight_decay=0.05), batch=64, epochs=30,
          augment=augment.affine(shift=1, rotate=5, scale=0.1))
def vit(image: f32["batch", 1, 28, 28], label: i32["batch"]) -> dlc.Loss:
    grid = patches(image)
    n = int(grid.shape[0])
    words = dlc.swapaxes(dlc.reshape(grid, (n, WIDTH, -1)), 1, 2)
    first = dlc.parameter("class", f32[1, 1, WIDTH], init.normal(0.02))
    words = dlc.concat([dlc.broadcast_to(first, (n, 1, WIDTH)), words], 1)
    place = dlc.parameter("place", f32[words.shape[1], WIDTH], init.normal(0.02))
    logits = head(blocks(words + place)[:, 0])
    return dlc.loss(nn.cross_entropy(logits, label), accuracy=nn.accuracy(logits, label))
