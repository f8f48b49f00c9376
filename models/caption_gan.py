"""A GAN that draws what a caption says: "a handwritten seven" gives sevens.

After S. Reed et al., Generative adversarial text to image synthesis, 2016: the caption is embedded
by a recurrent network, compressed, and joined to the noise of the generator. The judge sees a
picture beside the compressed caption, and must also refuse real pictures whose caption is another
one's. A reader of real digits has to name the digit of what is drawn. Differs: captions of five
patterns; the embedding is learnt with the judge, not before; dense networks, 8x8 pixels.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, i32, nn, optim

NOISE, WORDS, CODE = 16, 22, 16

embed = nn.chain(nn.embedding(WORDS, 16), nn.gru(32, returns="last"), name="embed")
told, shown = nn.dense(CODE, name="told"), nn.dense(CODE, name="shown")
make = nn.chain(nn.dense(128), nn.relu, nn.dense(128), nn.relu, nn.dense(64), nn.sigmoid,
                name="make")
judge = nn.chain(nn.dense(128), nn.leaky_relu, nn.dropout(0.4),
                 nn.dense(128), nn.leaky_relu, nn.dropout(0.4), nn.dense(1), name="judge")
reader = nn.chain(nn.dense(256), nn.relu, nn.dense(10), name="reader")


def made(caption: Node) -> Node:
    """A picture for each caption."""
    code = nn.leaky_relu(told(dlc.stop_gradient(embed(caption))))
    pictures: Node = make(dlc.concat([dlc.random.normal((code.shape[0], NOISE)), code], 1))
    return pictures


def judged(image: Node, words: Node) -> Node:
    """How real each picture is, with these words."""
    logit: Node = judge(dlc.concat([image, nn.leaky_relu(shown(words))], 1))
    return logit


def judging(image: f32["batch", 64], caption: i32["batch", 5]) -> dlc.Loss:
    words = embed(caption)
    real, wrong = judged(image, words), judged(image, dlc.roll(words, 1, 0))
    fake = judged(made(caption), words)
    return dlc.loss((nn.softplus(-real) + 0.5 * (nn.softplus(wrong) + nn.softplus(fake))).mean())


def making(caption: i32["batch", 5]) -> dlc.Loss:
    return dlc.loss(nn.softplus(-judged(made(caption), embed(caption))).mean())


def reading(image: f32["batch", 64], label: i32["batch"]) -> dlc.Loss:
    return dlc.loss(nn.cross_entropy(reader(image), label))


def measured(image: f32["batch", 64], caption: i32["batch", 5], label: i32["batch"]) -> dlc.Loss:
    drawn = made(caption)
    return dlc.loss(nn.softplus(-judged(drawn, embed(caption))).mean(), prediction=drawn,
                    accuracy=nn.accuracy(reader(drawn), label),
                    real=nn.accuracy(reader(image), label))


caption_gan = dlc.task(
    name="caption_gan", data="captions", batch=64, epochs=150, evaluate=measured,
    report={"shows": "samples"}, phases=[
        dlc.phase("judge", judging, optim.adam(1e-3, b1=0.5), params=[judge, shown, embed]),
        dlc.phase("make", making, optim.adam(1e-3, b1=0.5), params=[make, told]),
        dlc.phase("reader", reading, optim.adam(1e-3), params=reader, stop=60)])
