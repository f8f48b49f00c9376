"""Layers, activations, losses and metrics: networks as plain values (docs/dsl.md)."""

from dlc.nn.functions import (
    flatten,
    gelu,
    leaky_relu,
    log_softmax,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)
from dlc.nn.layer import Layer, chain, layer
from dlc.nn.layers import (
    avg_pool,
    batch_norm,
    conv,
    dense,
    dropout,
    embedding,
    layer_norm,
    max_pool,
)
from dlc.nn.losses import (
    accuracy,
    binary_accuracy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    mae,
    mse,
)
from dlc.ops.rearrange import pixel_shuffle, pixel_unshuffle

__all__ = [
    "Layer", "accuracy", "avg_pool", "batch_norm", "binary_accuracy",
    "binary_cross_entropy_with_logits", "chain", "conv", "cross_entropy", "dense", "dropout",
    "embedding", "flatten", "gelu", "layer", "layer_norm", "leaky_relu", "log_softmax", "mae",
    "max_pool", "mse", "pixel_shuffle", "pixel_unshuffle", "relu", "sigmoid", "silu", "softmax",
    "softplus", "tanh",
]
