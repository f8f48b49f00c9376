"""A variational autoencoder of digits: a code of 8 numbers with a distribution, in nats.

After D. P. Kingma and M. Welling, Auto-encoding variational Bayes, 2014: Gaussian codes drawn by
reparameterization, Bernoulli pixels, and the evidence lower bound as the loss. Differs: 8x8
pixels, whose grey is taken for a probability, as is usual.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, nn, optim

CODE = 8
encode = nn.chain(nn.dense(256), nn.relu, nn.dense(2 * CODE), name="encode")
decode = nn.chain(nn.dense(256), nn.relu, nn.dense(64), name="decode")


def divergence(mean: Node, log_variance: Node) -> Node:
    """KL from the standard normal distribution, in nats a sample (appendix B of the paper)."""
    return 0.5 * (dlc.square(mean) + dlc.exp(log_variance) - 1.0 - log_variance).sum(1)


@dlc.task(data="digits8", optimizer=optim.adam(optim.cosine(3e-3)), batch=64, epochs=100)
def vae(image: f32["batch", 64]) -> dlc.Loss:
    mean, log_variance = dlc.split(encode(image), 2, 1)
    code = mean + dlc.exp(0.5 * log_variance) * dlc.random.normal(mean.shape)
    rebuilt = nn.binary_cross_entropy_with_logits(decode(code), image, reduction="none").sum(1)
    kl = divergence(mean, log_variance)
    drawn = nn.sigmoid(decode(dlc.random.normal(mean.shape)))
    return dlc.loss((rebuilt + kl).mean(), kl=kl.mean(), rebuilt=rebuilt.mean(), samples=drawn)
