"""Layers, activations, losses and metrics: networks as plain values (docs/dsl.md)."""

from dlc.nn.convolution import conv, conv_transpose, depthwise_conv, separable_conv
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
from dlc.nn.layers import batch_norm, dense, dropout, embedding, layer_norm
from dlc.nn.losses import (
    accuracy,
    binary_accuracy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    mae,
    mse,
)
from dlc.nn.pooling import (
    adaptive_avg_pool,
    adaptive_max_pool,
    avg_pool,
    global_avg_pool,
    global_max_pool,
    lp_pool,
    max_pool,
)
from dlc.nn.resizing import resize, upsample
from dlc.ops.rearrange import pixel_shuffle, pixel_unshuffle

__all__ = [
    "Layer", "accuracy", "adaptive_avg_pool", "adaptive_max_pool", "avg_pool", "batch_norm",
    "binary_accuracy", "binary_cross_entropy_with_logits", "chain", "conv", "conv_transpose",
    "cross_entropy", "dense", "depthwise_conv", "dropout", "embedding", "flatten", "gelu",
    "global_avg_pool", "global_max_pool", "layer", "layer_norm", "leaky_relu", "log_softmax",
    "lp_pool", "mae", "max_pool", "mse", "pixel_shuffle", "pixel_unshuffle", "relu", "resize",
    "separable_conv", "sigmoid", "silu", "softmax", "softplus", "tanh", "upsample",
]
