"""The bundled networks' full sizes: those of their papers, for 224x224 pixels and 1,000 classes."""

from __future__ import annotations

from collections.abc import Callable

import dlc
from dlc import Node, f32, i32, nn, optim
from dlc.models import alexnet, resnet, vgg

# name: (the network, its parameters)
NETWORKS: dict[str, tuple[Callable[[], nn.Layer], int]] = {
    "alexnet": (alexnet.one_tower, 61_100_840),
    "alexnet_two_groups": (alexnet.two_groups, 60_965_224),
    "vgg_A": (lambda: vgg.vgg_network("A"), 132_863_336),
    "vgg_A-LRN": (lambda: vgg.vgg_network("A-LRN"), 132_863_336),
    "vgg_B": (lambda: vgg.vgg_network("B"), 133_047_848),
    "vgg_C": (lambda: vgg.vgg_network("C"), 133_638_952),
    "vgg_D": (lambda: vgg.vgg_network("D"), 138_357_544),
    "vgg_E": (lambda: vgg.vgg_network("E"), 143_667_240),
    "resnet18": (lambda: resnet.residual_network(18), 11_689_512),
    "resnet34": (lambda: resnet.residual_network(34), 21_797_672),
    "resnet50": (lambda: resnet.residual_network(50), 25_557_032),
    "resnet101": (lambda: resnet.residual_network(101), 44_549_160),
    "resnet152": (lambda: resnet.residual_network(152), 60_192_808),
}


def classified(net: nn.Layer, batch: int) -> dlc.Task:
    """The task of a network for photographs: cross-entropy under plain descent at rate 1."""
    def full(image: f32["batch", 3, 224, 224], label: i32["batch"]) -> dlc.Loss:
        logits: Node = net(image)
        return dlc.loss(nn.cross_entropy(logits, label))

    return dlc.task(optimizer=optim.sgd(1.0), batch=batch)(full)
