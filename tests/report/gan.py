"""A task of the report's tests: a generator of digits and its judge (Goodfellow et al. 2014)."""

from __future__ import annotations

from typing import Any

import dlc
from dlc import f32, nn, optim

generator = nn.chain(nn.dense(128), nn.leaky_relu, nn.dense(64), dlc.sigmoid, name="generator")
judge = nn.chain(nn.dense(128), nn.leaky_relu, nn.dense(1), name="judge")


def made(like: Any) -> Any:
    """As many pictures as there are in a batch."""
    return generator(dlc.random.normal((int(like.shape[0]), 16)))


def judging(image: f32["batch", 64]) -> dlc.Loss:
    real, fake = judge(image), judge(made(image))
    return dlc.loss(nn.softplus(-real).mean() + nn.softplus(fake).mean(),
                    caught=(fake < 0).mean())


def making(image: f32["batch", 64]) -> dlc.Loss:
    pictures = made(image)
    return dlc.loss(nn.softplus(-judge(pictures)).mean(), prediction=pictures)


gan = dlc.task(name="gan", data="digits8", batch=64, epochs=150, phases=[
    dlc.phase("judge", judging, optim.adam(1e-3, b1=0.5), params=judge),
    dlc.phase("generator", making, optim.adam(1e-3, b1=0.5), params=generator)])
