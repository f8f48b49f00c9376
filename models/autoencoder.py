"""Autoencoders of digits: linear, which is principal component analysis, deep, convolutional.

After G. E. Hinton and R. R. Salakhutdinov, Reducing the dimensionality of data with neural
networks, 2006, and P. Baldi and K. Hornik, Neural networks and principal component analysis,
1989: the best that a linear network with 6 hidden units can do is the first 6 principal
components, and the deep one reconstructs held-out digits better from a code of that width.
`conv_autoencoder` reaches its code by convolutions with stride 2. `denoising` sees images with
noise, and has to give back the clean ones (P. Vincent et al. 2008). `anomaly` never learns one
of the digits, which its error then tells from the others: the figure is the area under that ROC
curve. The digit is 1, the hardest; with `--set held=3` and others it is .93 to .997. Differs: no
pre-training (`deep_autoencoder` has it), 8x8 pixels, Adam.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, i32, nn, optim

WIDTH, NOISE = 6, 0.25

linear_code, linear_back = nn.dense(WIDTH, name="linear/code"), nn.dense(64, name="linear/back")
code = nn.chain(nn.dense(128), nn.silu, nn.dense(64), nn.silu, nn.dense(WIDTH), name="code")
back = nn.chain(nn.dense(64), nn.silu, nn.dense(128), nn.silu, nn.dense(64), name="back")
clean = nn.chain(nn.dense(256), nn.relu, nn.dense(256), nn.relu, nn.dense(64), name="clean")
conv_code = nn.chain(nn.conv(16, 3, stride=2, padding=1), nn.silu,
                     nn.conv(32, 3, stride=2, padding=1), nn.silu, nn.flatten, nn.dense(WIDTH),
                     name="conv_code")
conv_back = nn.chain(nn.dense(128), nn.silu, nn.reshape(32, 2, 2),
                     nn.conv_transpose(16, 4, stride=2, padding=1), nn.silu,
                     nn.conv_transpose(1, 4, stride=2, padding=1), name="conv_back")


def rebuilt(x: Node, again: Node) -> dlc.Loss:
    """The squared error of a pixel."""
    return dlc.loss(nn.mse(again, x))


@dlc.task(data="digits8", optimizer=optim.adam(optim.cosine(1e-2)), batch=64, epochs=300)
def linear_autoencoder(image: f32["batch", 64]) -> dlc.Loss:
    return rebuilt(image, linear_back(linear_code(image)))


@dlc.task(data="digits8", optimizer=optim.adam(optim.cosine(2e-3)), batch=32, epochs=200)
def autoencoder(image: f32["batch", 64]) -> dlc.Loss:
    hidden = code(image)
    return rebuilt(image, back(hidden))


@dlc.task(data="digits8", optimizer=optim.adam(optim.cosine(2e-3)), batch=32, epochs=60)
def denoising(image: f32["batch", 64]) -> dlc.Loss:
    noisy = image + NOISE * dlc.random.normal(image.shape)
    return rebuilt(image, clean(noisy))


@dlc.task(data="digits8", optimizer=optim.adam(optim.cosine(4e-3)), batch=32, epochs=60)
def conv_autoencoder(image: f32["batch", 1, 8, 8]) -> dlc.Loss:
    hidden = conv_code(image)
    return rebuilt(image, conv_back(hidden))


@dlc.task(data="digits8", optimizer=optim.adam(optim.cosine(2e-3)), batch=32, epochs=60)
def anomaly(image: f32["batch", 64], label: i32["batch"], held: int = 1) -> dlc.Loss:
    again, strange = back(code(image)), dlc.cast(label == held, f32)
    error = nn.mse(again, image, reduction="none").mean(1)
    loss = (error * (1.0 - strange)).sum() / (1.0 - strange).sum()
    return dlc.loss(loss, auc=dlc.over_set(nn.auc, error, strange), prediction=again)
