"""A siamese network: whether two images show the same digit, for digits that it has never seen.

After R. Hadsell, S. Chopra and Y. LeCun, Dimensionality reduction by learning an invariant mapping,
2006, and J. Bromley et al., Signature verification using a "siamese" time delay neural network,
1993: both images go through the same weights, and the contrastive loss draws those of one class
together and pushes others apart. It is trained on the digits 3 to 9; the figure is the area under
the ROC curve of the distances between all pairs of the digits 0, 1 and 2, .86 by their pixels. It
depends on the digits: with `--data "digits?unseen=7-9"` it is .84 to .89, .83 by pixels. Differs:
all pairs of a batch; turned and mirrored digits are classes of their own, eight from each; codes
have length 1; AdamW, and images moved, turned and scaled a little at random.
"""

from __future__ import annotations

import dlc
from dlc import Node, augment, f32, i32, nn, optim

tower = nn.chain(
    nn.conv(16, 5), nn.relu, nn.max_pool(2),
    nn.conv(32, 5), nn.relu, nn.max_pool(2),
    nn.flatten, nn.dense(64), name="tower")


def turned(image: Node) -> tuple[Node, Node]:
    """Images transposed, flipped, mirrored by chance, and which of the eight ways each is."""
    way = dlc.random.randint((int(image.shape[0]),), 0, 8)
    bits = [dlc.reshape((way >> bit) & 1, (-1, 1, 1, 1)) == 1 for bit in range(3)]
    image = dlc.where(bits[0], dlc.swapaxes(image, 2, 3), image)
    image = dlc.where(bits[1], dlc.flip(image, 2), image)
    return dlc.where(bits[2], dlc.flip(image, 3), image), way


def pairs(value: Node) -> tuple[Node, Node]:
    """[n, ...] -> twice [n, n, ...]: the two of each pair of rows."""
    shape = (value.shape[0], *value.shape)
    return dlc.broadcast_to(value[:, None], shape), dlc.broadcast_to(value[None], shape)


def between(values: Node) -> Node:
    """[n, n] -> [n * (n - 1)]: all but the diagonal."""
    n = int(values.shape[0])
    return dlc.ravel(dlc.reshape(dlc.ravel(values)[:-1], (n - 1, n + 1))[:, 1:])


def ranked(code: Node, label: Node) -> Node:
    """How often a pair of one class is nearer than a pair of two: the codes have length 1, so that
    their product tells as much as the distance."""
    one, other = pairs(label)
    return nn.auc(between(code @ code.T), between(dlc.cast(one == other, f32)))


@dlc.task(data="digits?unseen=0-2", batch=64, epochs=20,
          optimizer=optim.adamw(optim.cosine(1e-3), weight_decay=0.1),
          augment=augment.affine(shift=3, rotate=25, scale=0.25))
def siamese(image: f32["batch", 1, 28, 28], label: i32["batch"]) -> dlc.Loss:
    way = dlc.zeros(label.shape, dtype=i32)
    if dlc.training():
        image, way = turned(image)
    code = nn.normalize(tower(image))
    alike, same_way = (one == other for one, other in map(pairs, (label, way)))
    apart = nn.contrastive(*pairs(code), alike & same_way, reduction="none")
    # a digit and the same one turned may look alike, so they are no pair
    counted = dlc.cast(same_way | ~alike, f32)
    return dlc.loss((counted * apart).sum() / counted.sum(), prediction=code,
                    auc=dlc.over_set(ranked, code, label))
