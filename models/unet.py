"""U-Net: says of each pixel what it belongs to, from features of every size.

After O. Ronneberger, P. Fischer and T. Brox, U-Net: convolutional networks for biomedical image
segmentation, 2015: convolutions and pools on the way down, transposed convolutions on the way up,
each joined to the maps of its size. Differs: three sizes of 8 to 32 maps, edges padded, batch
normalization, Adam, and images of a disc and a square under noise, made by a rule.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, i32, nn, optim

WIDTHS, CLASSES = (8, 16, 32), 3


def double(width: int, name: str) -> nn.Layer:
    """Two convolutions of 3x3."""
    return nn.chain(*(part for _ in range(2) for part in
                      (nn.conv(width, 3, padding=1, bias=False), nn.batch_norm(), nn.relu)),
                    name=name)


down = [double(width, f"down{width}") for width in WIDTHS]
rise = [nn.conv_transpose(width, 2, stride=2, name=f"rise{width}") for width in WIDTHS[:-1]]
up = [double(width, f"up{width}") for width in WIDTHS[:-1]]
last = nn.conv(CLASSES, 1, name="last")


def scores(image: Node) -> Node:
    """[batch, 1, height, width] -> [batch, height, width, classes]."""
    found = [down[0](image)]
    for level in down[1:]:
        found.append(level(dlc.max_pool(found[-1], 2)))
    x = found.pop()
    for at in reversed(range(len(found))):
        x = up[at](dlc.concat([found[at], rise[at](x)], 1))
    return dlc.moveaxis(last(x), 1, -1)


def iou(found: Node, mask: Node) -> Node:
    """Pixels that found and mask share over those that either has, a mean over disc and square."""
    shares = []
    for kind in range(1, CLASSES):
        one, other = found == kind, mask == kind
        shares.append(dlc.cast(one & other, f32).sum() / dlc.cast(one | other, f32).sum())
    return dlc.stack(shares).mean()


@dlc.task(data="shapes", optimizer=optim.adam(optim.cosine(5e-3)), batch=16, epochs=20)
def unet(image: f32["batch", 1, 32, 32], mask: i32["batch", 32, 32]) -> dlc.Loss:
    logits = scores(image)
    return dlc.loss(nn.cross_entropy(logits, mask), prediction=logits,
                    iou=dlc.over_set(iou, dlc.argmax(logits, -1), mask))
