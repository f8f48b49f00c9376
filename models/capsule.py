"""Capsules: groups of units whose length says that a thing is there, and whose direction how.

After S. Sabour, N. Frosst and G. E. Hinton, Dynamic routing between capsules, 2017: three rounds
of routing by agreement, the margin loss, and a decoder that draws the image from the capsule of
its class. Differs: 14x14 pixels, two convolutions of 5x5, 72 primary capsules of 8 and ten of 8.
"""

from __future__ import annotations

import dlc
from dlc import Node, augment, f32, i32, init, nn, optim

PRIMARY, DIGIT, ROUNDS = 8, 8, 3
lower = nn.chain(nn.conv(32, 5), nn.relu, nn.conv(8 * PRIMARY, 5, stride=2))
decoder = nn.chain(nn.dense(128), nn.relu, nn.dense(196), dlc.sigmoid, name="decoder")


def squash(s: Node) -> Node:
    """Vectors along the last axis, shrunk to a length below 1 (equation 1)."""
    square = dlc.square(s).sum(-1, keepdims=True)
    return s * (dlc.sqrt(square + 1e-9) / (1.0 + square))


def capsules(image: Node) -> Node:
    """[batch, 10, DIGIT]: a vector for each class, from the agreement of primary capsules."""
    maps = lower(image)
    n, _, height, width = map(int, maps.shape)
    split = dlc.reshape(maps, (n, 8, PRIMARY, height * width))
    primary = squash(dlc.reshape(dlc.transpose(split, (0, 1, 3, 2)), (n, -1, PRIMARY)))
    weight = dlc.parameter("weight", f32[primary.shape[1], 10, PRIMARY, DIGIT], init.normal(0.1))
    votes = dlc.einsum("nip,icpq->nicq", primary, weight)
    logits = dlc.zeros(votes.shape[:3])
    for turn in range(ROUNDS):
        share = nn.softmax(logits)  # over the classes
        v = squash(dlc.einsum("nic,nicq->ncq", share, votes))
        if turn < ROUNDS - 1:
            logits = logits + dlc.einsum("nicq,ncq->nic", votes, v)
    return v


@dlc.task(data="digits?size=14", optimizer=optim.adam(optim.cosine(2e-3)), batch=32, epochs=18,
          augment=augment.affine(shift=1, rotate=10, scale=0.1))
def capsule(image: f32["batch", 1, 14, 14], label: i32["batch"]) -> dlc.Loss:
    found, there = capsules(image), dlc.one_hot(label, 10)
    length = dlc.sqrt(dlc.square(found).sum(-1) + 1e-9)
    margin = (there * dlc.square(nn.relu(0.9 - length))
              + 0.5 * (1.0 - there) * dlc.square(nn.relu(length - 0.1))).sum(1).mean()
    drawn = decoder(nn.flatten(found * there[:, :, None]))
    rebuilt = dlc.square(drawn - nn.flatten(image)).sum(1).mean()
    return dlc.loss(margin + 0.002 * rebuilt, prediction=length, margin=margin,
                    accuracy=nn.accuracy(length, label))
