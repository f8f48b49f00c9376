"""A siamese network: two digits through one network, near each other if they are of one class.

After J. Bromley, I. Guyon, Y. LeCun et al., Signature verification using a siamese time delay neural
network, 1994, and R. Hadsell, S. Chopra and Y. LeCun, Dimensionality reduction by learning an
invariant mapping, 2006 (contrastive loss). Trained on pairs of digits 0 to 6 and tested on pairs of 7,
8 and 9, which it has never seen: the figure is the area under the ROC curve. Each batch is paired
with itself moved by one; pairs of the other digits have weight 0.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, i32, nn, optim

SEEN = 7  # digits below are trained on, the others tested
net = nn.chain(nn.conv(16, 3, padding=1), nn.relu, nn.max_pool(2), nn.conv(32, 3, padding=1),
               nn.relu, nn.flatten, nn.dense(32), name="net")


def judged(distance: Node, same: Node, wanted: Node) -> Node:
    """The area under the curve over the pairs that are wanted; others score like a coin."""
    near, far = wanted * same, wanted * (1.0 - same)
    closer = dlc.cast(distance[:, None] < distance[None], f32)
    return (near[:, None] * far * closer).sum() / dlc.maximum(near.sum() * far.sum(), 1.0)


@dlc.task(data="digits8", optimizer=optim.adam(optim.cosine(2e-3)), batch=120, epochs=40)
def siamese(image: f32["batch", 1, 8, 8], label: i32["batch"]) -> dlc.Loss:
    other = dlc.roll(label, 1)
    code = nn.normalize(net(image))
    distance = dlc.sqrt(dlc.square(code - dlc.roll(code, 1, 0)).sum(1) + 1e-9)
    same = dlc.cast(label == other, f32)
    seen = dlc.cast((label < SEEN) & (other < SEEN), f32)
    unseen = dlc.cast((label >= SEEN) & (other >= SEEN), f32)
    pull = same * dlc.square(distance)
    push = (1.0 - same) * dlc.square(dlc.relu(1.0 - distance))
    loss = (seen * (4.0 * pull + push)).sum() / dlc.maximum(seen.sum(), 1.0)
    return dlc.loss(loss, auc=dlc.over_set(judged, distance, same, unseen))
