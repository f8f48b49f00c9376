"""Autoencoders of digits: linear, which is principal component analysis, and deep.

After G. E. Hinton and R. R. Salakhutdinov, Reducing the dimensionality of data with neural
networks, 2006, and P. Baldi and K. Hornik, Neural networks and principal component analysis,
1989: the best that a linear network with 6 hidden units can do is the first 6 principal
components, and the deep one reconstructs held-out digits better from a code of that width.
`denoising` sees images with noise, and has to give back the clean ones (P. Vincent et al. 2008).
Differs: no pre-training, 8x8 pixels, Adam.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, nn, optim

WIDTH, NOISE = 6, 0.25

linear_code, linear_back = nn.dense(WIDTH, name="linear/code"), nn.dense(64, name="linear/back")
code = nn.chain(nn.dense(128), nn.silu, nn.dense(64), nn.silu, nn.dense(WIDTH), name="code")
back = nn.chain(nn.dense(64), nn.silu, nn.dense(128), nn.silu, nn.dense(64), name="back")
clean = nn.chain(nn.dense(256), nn.relu, nn.dense(256), nn.relu, nn.dense(64), name="clean")


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
