"""A deep convolutional GAN of digits: pictures grow from noise by transposed convolutions.

After A. Radford, L. Metz and S. Chintala, Unsupervised representation learning with deep
convolutional generative adversarial networks, 2016: strides in place of pools, batch norm in both
networks but at the generator's output and the judge's input, ReLU in the generator, leaky ReLU in
the judge, tanh at the end, first weights of deviation .02, Adam with a momentum of .5. The figure
is the inception score of a reader of real digits, as for `gan`. Differs: 16x16 pixels, two
transposed convolutions and not four, 16 and 32 channels, a rate of 1e-3 and not 2e-4.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, i32, init, nn, optim

NOISE, WIDTH = 32, 16

def up(channels: int) -> nn.Layer:
    return nn.conv_transpose(channels, 4, stride=2, padding=1, weight_init=draw)


def down(channels: int) -> nn.Layer:
    return nn.conv(channels, 4, stride=2, padding=1, weight_init=draw)


draw = init.normal(0.02)
make = nn.chain(nn.dense(WIDTH * 32, weight_init=draw), nn.reshape(2 * WIDTH, 4, 4),
                nn.batch_norm(), nn.relu, up(WIDTH), nn.batch_norm(), nn.relu, up(1), nn.tanh,
                name="make")
judge = nn.chain(down(WIDTH), nn.leaky_relu, down(2 * WIDTH), nn.batch_norm(), nn.leaky_relu,
                 nn.flatten, nn.dense(1, weight_init=draw), name="judge")
reader = nn.chain(nn.flatten, nn.dense(256), nn.relu, nn.dense(10), name="reader")


def made(like: Node) -> Node:
    """As many pictures as `like`, from -1 to 1."""
    pictures: Node = make(dlc.random.normal((like.shape[0], NOISE)))
    return pictures


def judging(image: f32["batch", 1, 16, 16]) -> dlc.Loss:
    real, fake = judge(2.0 * image - 1.0), judge(made(image))
    return dlc.loss((nn.softplus(-real) + nn.softplus(fake)).mean())


def making(image: f32["batch", 1, 16, 16]) -> dlc.Loss:
    return dlc.loss(nn.softplus(-judge(made(image))).mean())


def reading(image: f32["batch", 1, 16, 16], label: i32["batch"]) -> dlc.Loss:
    return dlc.loss(nn.cross_entropy(reader(image), label))


def measured(image: f32["batch", 1, 16, 16]) -> dlc.Loss:
    drawn = 0.5 * made(image) + 0.5
    score, real = (dlc.over_set(nn.inception_score, reader(x)) for x in (drawn, image))
    return dlc.loss(-score, prediction=drawn, score=score, real=real)


dcgan = dlc.task(name="dcgan", data="digits?size=16", batch=64, epochs=120, evaluate=measured,
                 phases=[
    dlc.phase("judge", judging, optim.adam(1e-3, b1=0.5), params=judge),
    dlc.phase("make", making, optim.adam(1e-3, b1=0.5), params=make),
    dlc.phase("reader", reading, optim.adam(1e-3), params=reader, stop=30)])
