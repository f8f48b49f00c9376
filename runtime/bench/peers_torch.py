"""The benchmark's networks in PyTorch, eager or compiled: a step with Adam, a prediction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

Array = np.ndarray[Any, Any]

VGG = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512, "pool")
RESNET = ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1))


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(),
                         nn.Linear(512, 10))


def lenet() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2),
                         nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(),
                         nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(),
                         nn.Linear(84, 10))


def vgg() -> nn.Module:
    layers: list[nn.Module] = []
    before = 3
    for size in VGG:
        if isinstance(size, str):
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(before, size, 3, padding=1), nn.ReLU()]
            before = size
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm beside x, through 1x1 where its shape changes."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != width:
            self.shortcut = nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False),
                                          nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ResNet18(nn.Module):
    """For 32x32 pixels: a 3x3 stem, no pool before the blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64))
        wide = [64, *(width for width, _ in RESNET)]
        self.blocks = nn.Sequential(*(BasicBlock(wide[i], width, stride)
                                      for i, (width, stride) in enumerate(RESNET)))
        self.out = nn.Linear(512, 10)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.out(self.blocks(F.relu(self.stem(x))).mean((2, 3)))
        return y


class Speller(nn.Module):
    """A recurrent net over embedded characters, and the logits of the next at each time."""

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU]) -> None:
        super().__init__()
        self.word = nn.Embedding(96, 256)
        self.recurrent = kind(256, 256, 1, batch_first=True)
        self.out = nn.Linear(256, 96)

    def forward(self, text: Tensor) -> Tensor:
        y: Tensor = self.out(self.recurrent(self.word(text))[0])
        return y.flatten(0, 1)


class Block(nn.Module):
    """Attention and two dense layers, each after a norm and beside its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.joint = nn.LayerNorm(width), nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.norm2, self.up = nn.LayerNorm(width), nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, h: Tensor) -> Tensor:
        n, time, _ = h.shape
        joint = self.joint(self.norm1(h)).view(n, time, 3, self.heads, -1)
        q, k, v = joint.permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        h = h + self.mix(y.transpose(1, 2).reshape(n, time, -1))
        inner: Tensor = self.down(F.gelu(self.up(self.norm2(h)), approximate="tanh"))
        return h + inner


class GPT(nn.Module):
    """Four blocks of width 256 over 128 words of 256."""

    def __init__(self, words: int = 256, context: int = 128, width: int = 256,
                 heads: int = 4) -> None:
        super().__init__()
        self.word, self.place = nn.Embedding(words, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(4)))
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, words, bias=False)

    def forward(self, text: Tensor) -> Tensor:
        h = self.word(text) + self.place(torch.arange(text.shape[1]))
        y: Tensor = self.out(self.norm(self.blocks(h)))
        return y.flatten(0, 1)


class VAE(nn.Module):
    """784-400-20-400-784; its result is the loss. Noise that is not given is drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.mean = nn.Linear(784, 400), nn.Linear(400, 20)
        self.spread = nn.Linear(400, 20)
        self.decoder, self.pixels = nn.Linear(20, 400), nn.Linear(400, 784)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        h = F.relu(self.encoder(x))
        mean, spread = self.mean(h), self.spread(h)
        noise = torch.randn_like(mean) if noise is None else noise
        logits = self.pixels(F.relu(self.decoder(mean + noise * (0.5 * spread).exp())))
        apart = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        return (apart - 0.5 * (1 + spread - mean * mean - spread.exp()).sum()) / len(x)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "mlp": mlp, "lenet": lenet, "vae": VAE, "lstm": lambda: Speller(nn.LSTM),
    "gru": lambda: Speller(nn.GRU), "gpt": GPT, "vgg": vgg, "resnet18": ResNet18}


def loss_of(net: nn.Module) -> Callable[..., Tensor]:
    """inputs -> the loss of `net`: its own, or cross-entropy where the last input is a label."""
    def loss(*inputs: Tensor) -> Tensor:
        if isinstance(net, VAE):
            own: Tensor = net(*inputs)
            return own
        return F.cross_entropy(net(inputs[0]), inputs[1].flatten())

    return loss


def tensors(arrays: Sequence[Array]) -> list[Tensor]:
    """Inputs as PyTorch takes them: class numbers are i64."""
    return [torch.from_numpy(a.astype(np.int64) if a.dtype.kind == "i" else a) for a in arrays]


def set_parameters(net: nn.Module, values: Iterable[Array]) -> None:
    """Give `net` its first weights; raises ValueError where there are more or fewer."""
    with torch.no_grad():
        for parameter, value in zip(net.parameters(), values, strict=True):
            parameter.copy_(torch.from_numpy(value))


def build(
    model: str, parameters: Iterable[Array], inputs: Sequence[Array], threads: int, compiled: bool
) -> tuple[Callable[[int], float], int, int, str]:
    """(steps, parameters, batch, version) of `model`; `compiled` puts the loss under torch.compile.

    The backward graph is compiled with it; the optimizer is PyTorch's own, as its users run it.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    batch = tensors(inputs)
    net = NETWORKS[model]()
    set_parameters(net, parameters)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    loss_function = loss_of(net)
    forward = torch.compile(loss_function) if compiled else loss_function

    def steps(count: int) -> float:
        for _ in range(count):
            optimizer.zero_grad(set_to_none=True)
            loss = forward(*batch)
            loss.backward()
            optimizer.step()
        return float(loss.item())

    return steps, sum(p.numel() for p in net.parameters()), len(inputs[0]), str(torch.__version__)


def build_prediction(
    model: str, parameters: Iterable[Array], inputs: Sequence[Array], threads: int, compiled: bool
) -> tuple[Callable[[int], float], int, int, str]:
    """The same of predictions: of the first input alone, in evaluation mode, without gradients."""
    torch.set_num_threads(threads)
    batch = tensors(inputs)[0]
    net = NETWORKS[model]().eval()
    set_parameters(net, parameters)
    forward = torch.compile(net) if compiled else net

    def steps(count: int) -> float:
        with torch.inference_mode():
            for _ in range(count):
                found = forward(batch)
            return float(found.abs().mean())

    return steps, sum(p.numel() for p in net.parameters()), len(batch), str(torch.__version__)
