"""Transfer learning: what was learnt from the digits 0 to 4 reads 5 to 9 from ten examples of each.

After J. Yosinski, J. Clune, Y. Bengio and H. Lipson, How transferable are features in deep neural
networks?, 2014. `transfer_source` is trained on 0 to 4. From its weights `transfer_frozen` trains
a new last layer alone, and `transfer_tuned` all layers, which beats `transfer_scratch`: the same
50 images, and first weights by chance. Differs: three convolutions on digits of 28x28, Adam; the
first task's images are moved, turned and scaled at random.
"""

from __future__ import annotations

import dlc
from dlc import Node, augment, f32, i32, nn, optim

body = nn.chain(*(part for width in (16, 32, 64) for part in
                  (nn.conv(width, 3, padding=1), nn.relu, nn.max_pool(2))), nn.flatten,
                name="body")
source, target = nn.dense(5, name="source"), nn.dense(5, name="target")
moved = augment.affine(shift=2, rotate=10, scale=0.1)
FEW = "digits?classes=5-9&each=10"


def classified(logits: Node, label: Node) -> dlc.Loss:
    return dlc.loss(nn.cross_entropy(logits, label), accuracy=nn.accuracy(logits, label))


@dlc.task(data="digits?classes=0-4", optimizer=optim.adam(optim.cosine(2e-3)), batch=64,
          epochs=15, augment=moved)
def transfer_source(image: f32["batch", 1, 28, 28], label: i32["batch"]) -> dlc.Loss:
    return classified(source(body(image)), label)


@dlc.task(data=FEW, optimizer=optim.adam(optim.cosine(5e-3)), batch=50, epochs=60,
          frozen="body/*")
def transfer_frozen(image: f32["batch", 1, 28, 28], label: i32["batch"]) -> dlc.Loss:
    return classified(target(body(image)), label)


@dlc.task(data=FEW, optimizer=optim.adam(optim.cosine(2e-3)), batch=50, epochs=60)
def transfer_tuned(image: f32["batch", 1, 28, 28], label: i32["batch"]) -> dlc.Loss:
    return classified(target(body(image)), label)


@dlc.task(data=FEW, optimizer=optim.adam(optim.cosine(2e-3)), batch=50, epochs=60)
def transfer_scratch(image: f32["batch", 1, 28, 28], label: i32["batch"]) -> dlc.Loss:
    return classified(target(body(image)), label)
