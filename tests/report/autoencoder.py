"""A task of the report's tests: digits through a code of two numbers and back."""

from __future__ import annotations

import dlc
from dlc import f32, nn, optim

encoder = nn.chain(nn.flatten, nn.dense(64), nn.relu, nn.dense(2), name="encoder")
decoder = nn.chain(nn.dense(64), nn.relu, nn.dense(64), name="decoder")


@dlc.task(data="digits8", optimizer=optim.adam(optim.cosine(5e-3)), batch=64, epochs=60)
def autoencoder(image: f32["batch", 1, 8, 8]) -> dlc.Loss:
    code = encoder(image)
    again = decoder(code).reshape((int(image.shape[0]), 1, 8, 8))
    return dlc.loss(nn.binary_cross_entropy_with_logits(again, image))
