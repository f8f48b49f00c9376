"""Denoising diffusion: digits of a class that is asked for, out of noise, in fifty steps.

After J. Ho, A. Jain and P. Abbeel, Denoising diffusion probabilistic models, 2020: noise is added
to a picture step by step, and a network learns to tell that noise from the noisy picture, the
step and the class. To draw, the steps are taken back, from noise alone (the paper's algorithm 2).
A reader of real digits has to name the class of what is drawn. Differs: the network sees the
class; 50 larger steps and not 1,000; dense layers in place of the U-Net; 8x8 pixels.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, i32, nn, optim

STEPS, WIDTH = 50, 256

when, which = nn.embedding(STEPS, WIDTH, name="when"), nn.embedding(10, WIDTH, name="which")
enter, leave = nn.dense(WIDTH, name="enter"), nn.dense(64, name="leave")
deep = [nn.residual(nn.layer_norm(), nn.dense(WIDTH), nn.silu, nn.dense(WIDTH)) for _ in range(2)]
body = nn.chain(*deep, nn.layer_norm(), nn.silu, name="body")
reader = nn.chain(nn.dense(256), nn.relu, nn.dense(10), name="reader")


def schedule() -> tuple[Node, Node]:
    """Which share of the variance each step keeps, and what is left of the picture after it."""
    kept = 1.0 - dlc.linspace(0.002, 0.4, STEPS)
    return kept, dlc.cumprod(kept)


def noise_in(x: Node, step: Node, label: Node) -> Node:
    """What the network takes for noise in each row of x, at its step."""
    noise: Node = leave(body(enter(x) + when(step) + which(label)))
    return noise


def denoising(image: f32["batch", 64], label: i32["batch"]) -> dlc.Loss:
    step = dlc.random.randint((image.shape[0],), 0, STEPS)
    left = dlc.take(schedule()[1], step)[:, None]
    noise = dlc.random.normal(image.shape)
    noisy = dlc.sqrt(left) * (2.0 * image - 1.0) + dlc.sqrt(1.0 - left) * noise
    return dlc.loss(nn.mse(noise_in(noisy, step, label), noise))


def drawn(label: Node) -> Node:
    """A picture of each label."""
    kept, left = schedule()
    noise = dlc.random.normal((STEPS + 1, label.shape[0], 64))

    def back(taken: Node, x: Node) -> Node:
        at = STEPS - 1 - taken
        told = noise_in(x, at + 0 * label, label)
        mean = (x - (1.0 - kept[at]) / dlc.sqrt(1.0 - left[at]) * told) / dlc.sqrt(kept[at])
        return mean + dlc.where(at > 0, dlc.sqrt(1.0 - kept[at]), 0.0) * noise[at]

    pictures: Node = dlc.fori(STEPS, back, noise[STEPS])
    return dlc.clip(0.5 * pictures + 0.5, 0.0, 1.0)


def reading(image: f32["batch", 64], label: i32["batch"]) -> dlc.Loss:
    return dlc.loss(nn.cross_entropy(reader(image), label))


def measured(image: f32["batch", 64], label: i32["batch"]) -> dlc.Loss:
    pictures = drawn(label)
    logits = reader(pictures)
    return dlc.loss(nn.cross_entropy(logits, label), prediction=pictures,
                    accuracy=nn.accuracy(logits, label), real=nn.accuracy(reader(image), label),
                    score=dlc.over_set(nn.inception_score, logits))


diffusion = dlc.task(
    name="diffusion", data="digits8", batch=64, epochs=80, evaluate=measured,
    report={"shows": "samples"}, phases=[
        dlc.phase("denoise", denoising, optim.average(optim.adam(1e-3), 0.99),
                  params=[enter, when, which, body, leave]),
        dlc.phase("reader", reading, optim.adam(1e-3), params=reader, stop=60)])
