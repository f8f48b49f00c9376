"""Generative adversarial networks of digits: a generator against a network that judges it.

After I. Goodfellow et al., Generative adversarial nets, 2014, and I. Gulrajani et al., Improved
training of Wasserstein GANs, 2017. `gan` is the first paper's algorithm 1: two steps of the judge
for one of the generator, whose loss doesn't saturate. In `wgan_gp` the judge is a critic: five
steps, and a penalty on how far the norm of its slope, between real and generated pictures, is
from 1. What they draw is shown to a `reader` that has learnt real digits; the inception score (T.
Salimans et al. 2016) is high, up to 10, where it is sure of each picture and sees all digits
alike. `real` is the score of the held-out digits. Differs: dense
networks with leaky ReLU in the judge, 8x8 pixels, Adam.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, i32, nn, optim

NOISE, STEPS, CRITIC_STEPS, PENALTY = 16, 2, 5, 10.0

make = nn.chain(nn.dense(128), nn.relu, nn.dense(128), nn.relu, nn.dense(64), nn.sigmoid,
                name="make")
judge = nn.chain(nn.dense(128), nn.leaky_relu, nn.dropout(0.3),
                 nn.dense(128), nn.leaky_relu, nn.dropout(0.3), nn.dense(1), name="judge")
critic = nn.chain(nn.dense(128), nn.leaky_relu, nn.dense(128), nn.leaky_relu, nn.dense(1),
                  name="critic")
reader = nn.chain(nn.dense(256), nn.relu, nn.dense(10), name="reader")


def made(like: Node) -> Node:
    """As many pictures as `like` has rows."""
    pictures: Node = make(dlc.random.normal((like.shape[0], NOISE)))
    return pictures


def judging(image: f32["batch", 64]) -> dlc.Loss:
    return dlc.loss((nn.softplus(-judge(image)) + nn.softplus(judge(made(image)))).mean())


def making(image: f32["batch", 64]) -> dlc.Loss:
    return dlc.loss(nn.softplus(-judge(made(image))).mean())


def criticizing(image: f32["batch", 64]) -> dlc.Loss:
    fake = made(image)
    between = fake + dlc.random.uniform((image.shape[0], 1)) * (image - fake)
    slope = dlc.grad(lambda x: critic(x).sum())(between)
    steep = dlc.square(dlc.sqrt(dlc.square(slope).sum(1) + 1e-12) - 1.0).mean()
    return dlc.loss((critic(fake) - critic(image)).mean() + PENALTY * steep, steep=steep)


def pleasing(image: f32["batch", 64]) -> dlc.Loss:
    return dlc.loss(-critic(made(image)).mean())


def reading(image: f32["batch", 64], label: i32["batch"]) -> dlc.Loss:
    return dlc.loss(nn.cross_entropy(reader(image), label))


def measured(image: f32["batch", 64]) -> dlc.Loss:
    drawn = made(image)
    score, real = (dlc.over_set(nn.inception_score, reader(x)) for x in (drawn, image))
    return dlc.loss(-score, prediction=drawn, score=score, real=real)


reads = dlc.phase("reader", reading, optim.adam(1e-3), params=reader, stop=60)
gan = dlc.task(name="gan", data="digits8", batch=64, epochs=400, evaluate=measured, phases=[
    dlc.phase("judge", judging, optim.adam(1e-3, b1=0.5), params=judge),
    dlc.phase("make", making, optim.adam(2e-3, b1=0.5), params=make, every=STEPS), reads])
adam = optim.adam(1e-3, b1=0.0, b2=0.9)
wgan_gp = dlc.task(name="wgan_gp", data="digits8", batch=64, epochs=400, evaluate=measured, phases=[
    dlc.phase("critic", criticizing, adam, params=critic),
    dlc.phase("make", pleasing, adam, params=make, every=CRITIC_STEPS), reads])
