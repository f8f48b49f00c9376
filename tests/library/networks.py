"""Networks of the tests of libraries: small ones that use what a library has to reproduce."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import dlc
from dlc import Node, Task, f32, i32, nn, optim, tanh

ROWS = 37  # of them 9 in a smaller last batch, 7 of the 28 for training behind three of 8
CLASSES = 5


def write_data(folder: Path) -> str:
    """Pictures of 10 by 10 and their classes, as a file that `data=` names."""
    rng = np.random.default_rng(20)
    label = rng.integers(0, CLASSES, ROWS).astype(np.int32)
    image = rng.standard_normal((ROWS, 1, 10, 10)).astype(np.float32)
    image[np.arange(ROWS), 0, label, :] += 2
    path = folder / "pictures.npz"
    np.savez(path, image=image, label=label)
    return str(path)


def narrow(data: str, epochs: int = 2) -> Task:
    """A narrow LeNet: convolutions, pooling, dropout, running statistics, a schedule of epochs."""
    net = nn.chain(nn.conv(4, 3, padding=1), tanh, nn.avg_pool(2), nn.conv(6, 3), nn.batch_norm(),
                   nn.relu, nn.flatten, nn.dropout(0.2), nn.dense(CLASSES))

    @dlc.task(data=data, optimizer=optim.adam(optim.cosine(0.01)), batch=8, epochs=epochs)
    def small(image: f32["batch", 1, 10, 10], label: i32["batch"]) -> dlc.Loss:
        logits = net(image)
        return dlc.loss(nn.cross_entropy(logits, label), accuracy=nn.accuracy(logits, label))

    return small


def tiny(data: str) -> Task:
    """A dense layer: few kernels, for what is asked of the library and not of the network."""
    net = nn.chain(nn.flatten, nn.dense(CLASSES))

    @dlc.task(data=data, optimizer=optim.adam(0.01), batch=8, epochs=2)
    def dense(image: f32["batch", 1, 10, 10], label: i32["batch"]) -> dlc.Loss:
        return dlc.loss(nn.cross_entropy(net(image), label))

    return dense


def carried(folder: Path) -> Task:
    """A recurrent network, whose state goes on from batch to batch and begins anew each epoch, over
    lanes of a text, which are taken in order: a loop whose arguments move."""
    text = folder / "text.txt"
    text.write_text("hello, world. goodbye. " * 12)
    net = nn.chain(nn.gru(6, carry=True), nn.dense(128))

    @dlc.task(data=f"{text}?length=6&lanes=4", optimizer=optim.adam(0.02), batch=4, epochs=2)
    def lanes(x: i32["batch", 6], y: i32["batch", 6]) -> dlc.Loss:
        return dlc.loss(nn.cross_entropy(net(dlc.one_hot(x, 128)), y))

    return lanes


def phased(data: str) -> Task:
    """Two phases that alternate, one of them ends; noise; a branch."""
    make, judge = nn.dense(100, name="make"), nn.dense(1, name="judge")

    def made(image: Node) -> Node:
        return make(dlc.random.normal((image.shape[0], 3)))

    def judging(image: f32["batch", 100]) -> dlc.Loss:
        score = (nn.softplus(-judge(image)) + nn.softplus(judge(made(image)))).mean()
        return dlc.loss(dlc.cond(score > 1.3, lambda: 2.0 * score, lambda: score), score=score)

    def making(image: f32["batch", 100]) -> dlc.Loss:
        return dlc.loss(nn.softplus(-judge(made(image))).mean())

    return dlc.task(name="phased", data=data, batch=8, epochs=3, evaluate=making, phases=[
        dlc.phase("judge", judging, optim.adam(1e-2), params=judge, stop=2),
        dlc.phase("make", making, optim.sgd(2e-2), params=make, every=2)])
