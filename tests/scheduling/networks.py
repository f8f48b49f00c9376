"""The four networks whose schedules are held: LeNet, an LSTM, a GPT of 4 layers, ResNet-18."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import dlc
from dlc import f32, i32, nn, optim
from dlc.models.lenet import lenet
from dlc.nn import Layer
from tests.compile_time import networks


def lstm(units: int = 128, time: int = 28, features: int = 28) -> dlc.Task:
    """One LSTM over rows of an image, a dense layer behind it; Adam."""
    memory, dense = nn.lstm(units, returns="last"), nn.dense(10)

    def recurrent(image: f32["batch", "time", "features"], label: i32["batch"]) -> dlc.Loss:
        return dlc.loss(nn.cross_entropy(dense(memory(image)), label))

    return dlc.task(optimizer=optim.adam(1e-3), batch=64,
                    dims={"time": time, "features": features})(recurrent)


def gpt() -> dlc.Task:
    """Four blocks of 256, of four heads, over 64 tokens of 512."""
    return networks.gpt2(layers=4, size=256, heads=4, context=64, words=512, batch=8)


def resnet18() -> dlc.Task:
    """Basic blocks of two 3x3 convolutions (He et al. 2015, table 1), images of 224."""
    stem = nn.chain(nn.conv(64, 7, stride=2, padding=3, bias=False), nn.batch_norm(), nn.relu,
                    nn.max_pool(3, 2, 1))
    parts = [_basic(64 << stage, 2 if i == 0 and stage else 1)
             for stage in range(4) for i in range(2)]
    net = nn.chain(stem, *parts, nn.global_avg_pool, nn.flatten, nn.dense(1000))

    def residual_net(image: f32["batch", 3, 224, 224], label: i32["batch"]) -> dlc.Loss:
        return dlc.loss(nn.cross_entropy(net(image), label))

    return dlc.task(optimizer=optim.momentum(0.1), batch=8)(residual_net)


def _basic(width: int, stride: int) -> Layer:
    inner = nn.chain(nn.conv(width, 3, stride=stride, padding=1, bias=False),
                     nn.batch_norm(), nn.relu,
                     nn.conv(width, 3, padding=1, bias=False), nn.batch_norm())
    shortcut = nn.chain(nn.conv(width, 1, stride=stride, bias=False), nn.batch_norm())
    return nn.chain(nn.residual(inner, shortcut=shortcut if stride > 1 else None), nn.relu)


NETWORKS: Mapping[str, Callable[[], dlc.Task]] = {
    "lenet": lambda: lenet, "lstm": lstm, "gpt": gpt, "resnet18": resnet18}
