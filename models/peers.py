"""The eight networks that dlc is measured beside PyTorch and JAX with, in their full size.

`NETWORKS[name](kind)` is the training task in the dtype `kind`: forward, loss, backward and Adam
at 1e-3, on a batch that `dlc bench` fills. runtime/bench/peers_torch.py has the same in PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable

import dlc
from dlc import f32, i32, nn, optim
from dlc.ir.graph import Node
from dlc.ir.types import DType, Type
from dlc.models import lenet as lenet_model
from dlc.models import mlp as mlp_model
from dlc.models import resnet as resnet_model
from dlc.nn import Layer

# words and times of the recurrent networks; words, times and width of the transformer
CHARACTERS, TIMES = 96, 64
WORDS, CONTEXT, WIDTH, HEADS, BLOCKS = 256, 128, 256, 4, 4
PIXELS, HIDDEN, CODE = 784, 400, 20
VGG: tuple[int | str, ...] = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512,
                              "pool")


def trained(name: str, function: Callable[..., dlc.Loss], batch: int, **types: Type) -> dlc.Task:
    """The task of `function`, whose inputs have `types`, with the peers' optimizer."""
    function.__name__ = name
    function.__annotations__ = dict(types)
    return dlc.task(optimizer=optim.adam(1e-3), batch=batch)(function)


def classifier(name: str, net: Layer, batch: int, kind: DType, *sizes: int) -> dlc.Task:
    """Cross-entropy of what `net` says of images."""
    def function(image: Node, label: Node) -> dlc.Loss:
        return dlc.loss(nn.cross_entropy(net(image), label))

    return trained(name, function, batch, image=kind["batch", *sizes], label=i32["batch"])


def mlp(kind: DType = f32) -> dlc.Task:
    """784-512-512-10, ReLU: that of models/mlp.py."""
    return classifier("mlp", mlp_model.net, 128, kind, PIXELS)


def lenet(kind: DType = f32) -> dlc.Task:
    """LeNet-5 with tanh and average pools: that of models/lenet.py."""
    return classifier("lenet", lenet_model.net, 128, kind, 1, 28, 28)


def vgg(kind: DType = f32) -> dlc.Task:
    """Seven convolutions of 3x3 with ReLU, five pools, two dense layers, on 32x32 pixels."""
    parts: list[Layer | Callable[..., Node]] = []
    for size in VGG:
        parts += ([nn.max_pool(2)] if isinstance(size, str) else
                  [nn.conv(size, 3, padding=1), nn.relu])
    net = nn.chain(*parts, nn.flatten, nn.dense(512), nn.relu, nn.dense(10))
    return classifier("vgg", net, 32, kind, 3, 32, 32)


def resnet18(kind: DType = f32) -> dlc.Task:
    """ResNet-18 for 32x32 pixels: a 3x3 stem, eight basic blocks, no pool before them."""
    stem = nn.chain(resnet_model.normed(64), nn.relu)
    net = resnet_model.residual_network(18, stem, classes=10)
    return classifier("resnet18", net, 32, kind, 3, 32, 32)


def speller(name: str, recurrent: Layer, kind: DType) -> dlc.Task:
    """Embedded characters through `recurrent`, and the logits of the next at each time."""
    net = nn.chain(recurrent, nn.dense(CHARACTERS))

    def function(text: Node, following: Node) -> dlc.Loss:
        # a table of `kind`, where nn.embedding has one of f32
        word = dlc.parameter("word", kind[CHARACTERS, 256], dlc.init.normal())
        return dlc.loss(nn.cross_entropy(net(dlc.take(word, text)), following))

    return trained(name, function, 32, text=i32["batch", TIMES], following=i32["batch", TIMES])


def lstm(kind: DType = f32) -> dlc.Task:
    """An LSTM of 256 units over 64 characters, with PyTorch's two biases."""
    return speller("lstm", nn.lstm(256, hidden_bias=True), kind)


def gru(kind: DType = f32) -> dlc.Task:
    """A GRU of 256 units over 64 characters."""
    return speller("gru", nn.gru(256), kind)


def gpt(kind: DType = f32) -> dlc.Task:
    """Four blocks of causal attention, width 256, over 128 words; pre-norm, GELU by tanh."""
    net = nn.chain(*(_block(i) for i in range(BLOCKS)), nn.layer_norm(),
                   nn.dense(WORDS, bias=False))

    def function(text: Node, following: Node) -> dlc.Loss:
        word = dlc.parameter("word", kind[WORDS, WIDTH], dlc.init.normal())
        place = dlc.parameter("place", kind[CONTEXT, WIDTH], dlc.init.normal())
        return dlc.loss(nn.cross_entropy(net(dlc.take(word, text) + place), following))

    return trained("gpt", function, 8, text=i32["batch", CONTEXT], following=i32["batch", CONTEXT])


def _block(number: int) -> Layer:
    """x + attention(norm(x)), then x + dense(gelu(dense(norm(x))))."""
    attend = nn.chain(nn.layer_norm(), nn.dense(3 * WIDTH), _attention, nn.dense(WIDTH))
    think = nn.chain(nn.layer_norm(), nn.dense(4 * WIDTH), nn.gelu_tanh, nn.dense(WIDTH))
    return nn.chain(nn.residual(attend), nn.residual(think), name=f"block{number + 1}")


def _attention(joint: Node) -> Node:
    """Causal attention of [batch, time, 3 width]: query, key and value side by side."""
    n, time, wide = map(int, joint.shape)
    parts = dlc.transpose(dlc.reshape(joint, (n, time, 3, HEADS, wide // 3 // HEADS)),
                          (2, 0, 3, 1, 4))
    y = nn.scaled_dot_product_attention(parts[0], parts[1], parts[2], causal=True)
    return dlc.reshape(dlc.transpose(y, (0, 2, 1, 3)), (n, time, wide // 3))


def vae(kind: DType = f32) -> dlc.Task:
    """A variational autoencoder 784-400-20-400-784; the loss is a sum a sample."""
    def function(image: Node) -> dlc.Loss:
        return dlc.loss(elbo(image, dlc.random.normal((int(image.shape[0]), CODE), dtype=kind)))

    return trained("vae", function, 128, image=kind["batch", PIXELS])


def vae_with_noise(kind: DType = f32) -> dlc.Task:
    """The same with its noise as an input."""
    def function(image: Node, noise: Node) -> dlc.Loss:
        return dlc.loss(elbo(image, noise))

    return trained("vae", function, 128, image=kind["batch", PIXELS], noise=kind["batch", CODE])


def elbo(image: Node, noise: Node) -> Node:
    """Binary cross-entropy of the reconstruction and the divergence of the code, a sample."""
    h = nn.relu(nn.dense(HIDDEN, name="encoder")(image))
    mean, spread = nn.dense(CODE, name="mean")(h), nn.dense(CODE, name="spread")(h)
    code = mean + noise * dlc.exp(0.5 * spread)
    logits = nn.dense(PIXELS, name="pixels")(nn.relu(nn.dense(HIDDEN, name="decoder")(code)))
    apart = nn.binary_cross_entropy_with_logits(logits, image, reduction="sum")
    divergence = dlc.sum(1.0 + spread - mean * mean - dlc.exp(spread)) * -0.5
    return (apart + divergence) / float(image.shape[0])


NETWORKS: dict[str, Callable[..., dlc.Task]] = {
    "mlp": mlp, "lenet": lenet, "vae": vae, "lstm": lstm, "gru": gru, "gpt": gpt, "vgg": vgg,
    "resnet18": resnet18}
