"""Layers, activations, losses and metrics: networks as plain values (docs/dsl.md)."""

from dlc.lang.array.rearrange import pixel_shuffle, pixel_unshuffle
from dlc.lang.layer import Layer, chain, layer
from dlc.nn.activations import (
    celu,
    elu,
    gelu_tanh,
    hard_shrink,
    hard_sigmoid,
    hard_swish,
    hard_tanh,
    lecun_tanh,
    log_sigmoid,
    mish,
    quick_gelu,
    relu6,
    relu_squared,
    selu,
    soft_shrink,
    softsign,
    tanh_shrink,
    threshold,
)
from dlc.nn.attention import (
    multi_head_attention,
    scaled_dot_product_attention,
    transformer_decoder,
    transformer_encoder,
)
from dlc.nn.boltzmann import rbm
from dlc.nn.combinators import parallel, reshape, residual
from dlc.nn.convolution import conv, conv_transpose, depthwise_conv, separable_conv
from dlc.nn.ctc import ctc_loss
from dlc.nn.dropout import alpha_dropout, dropout, gaussian_dropout, spatial_dropout
from dlc.nn.functions import (
    channel_shuffle,
    flatten,
    gelu,
    glu,
    leaky_relu,
    log_softmax,
    normalize,
    relu,
    rrelu,
    sigmoid,
    silu,
    softmax,
    softmin,
    softplus,
    tanh,
)
from dlc.nn.layers import bilinear, dense, maxout, prelu
from dlc.nn.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    focal,
    gaussian_nll,
    huber,
    kl_div,
    mae,
    mse,
    nll,
    poisson_nll,
    smooth_l1,
)
from dlc.nn.margins import (
    contrastive,
    cosine_embedding,
    cosine_similarity,
    hinge,
    hinge_embedding,
    info_nce,
    margin_ranking,
    multi_margin,
    multilabel_margin,
    multilabel_soft_margin,
    pairwise_distance,
    soft_margin,
    squared_hinge,
    triplet_margin,
)
from dlc.nn.metrics import (
    accuracy,
    auc,
    binary_accuracy,
    confusion_matrix,
    f1,
    inception_score,
    precision,
    recall,
    top_k_accuracy,
)
from dlc.nn.noise import (
    gaussian_noise,
    gumbel_softmax,
    label_noise,
    masking_noise,
    salt_and_pepper,
)
from dlc.nn.norms import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
    rms_norm,
)
from dlc.nn.partial import bias, partial_conv, subsample
from dlc.nn.pooling import (
    adaptive_avg_pool,
    adaptive_max_pool,
    avg_pool,
    global_avg_pool,
    global_max_pool,
    lp_pool,
    max_pool,
)
from dlc.nn.positions import (
    position_embedding,
    positional_encoding,
    rotary,
    sinusoidal_positions,
)
from dlc.nn.recurrent import gru, gru_cell, lstm, lstm_cell, rnn, rnn_cell
from dlc.nn.regression import dice, log_cosh, mape, msle, quantile
from dlc.nn.resizing import resize, upsample
from dlc.nn.tables import embedding, embedding_bag, unembedding
from dlc.nn.translation import encoder_decoder
from dlc.words import speaking

__all__ = [
    "Layer", "accuracy", "adaptive_avg_pool", "adaptive_max_pool", "alpha_dropout", "auc",
    "avg_pool", "batch_norm", "bias", "bilinear", "binary_accuracy", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "celu", "chain", "channel_shuffle", "confusion_matrix",
    "contrastive", "conv", "conv_transpose", "cosine_embedding", "cosine_similarity",
    "cross_entropy", "ctc_loss", "dense", "depthwise_conv", "dice", "dropout", "elu", "embedding",
    "embedding_bag", "encoder_decoder", "f1", "flatten", "focal", "gaussian_dropout",
    "gaussian_nll", "gaussian_noise", "gelu", "gelu_tanh", "global_avg_pool", "global_max_pool",
    "glu", "group_norm", "gru", "gru_cell", "gumbel_softmax", "hard_shrink", "hard_sigmoid",
    "hard_swish", "hard_tanh", "hinge", "hinge_embedding", "huber", "inception_score", "info_nce",
    "instance_norm", "kl_div", "label_noise", "layer", "layer_norm", "leaky_relu", "lecun_tanh",
    "local_response_norm", "log_cosh", "log_sigmoid", "log_softmax", "lp_pool", "lstm", "lstm_cell",
    "mae", "mape", "margin_ranking", "masking_noise", "max_pool", "maxout", "mish", "mse", "msle",
    "multi_head_attention", "multi_margin", "multilabel_margin", "multilabel_soft_margin", "nll",
    "normalize", "pairwise_distance", "parallel", "partial_conv", "pixel_shuffle",
    "pixel_unshuffle", "poisson_nll", "position_embedding", "positional_encoding", "precision",
    "prelu", "quantile", "quick_gelu", "rbm", "recall", "relu", "relu6", "relu_squared", "reshape",
    "residual", "resize", "rms_norm", "rnn", "rnn_cell", "rotary", "rrelu", "salt_and_pepper",
    "scaled_dot_product_attention", "selu", "separable_conv", "sigmoid", "silu",
    "sinusoidal_positions", "smooth_l1", "soft_margin", "soft_shrink", "softmax", "softmin",
    "softplus", "softsign", "spatial_dropout", "squared_hinge", "subsample", "tanh", "tanh_shrink",
    "threshold", "top_k_accuracy", "transformer_decoder", "transformer_encoder", "triplet_margin",
    "unembedding", "upsample",
]


speaking("nn", globals(), __all__)
