"""Attention and transformer blocks beside torch.nn's with the same weights: values, gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import dlc
from dlc import f32, nn
from tests.conformance.cut import Tally

torch.set_num_threads(1)
pytestmark = pytest.mark.conformance
BATCH, LONG, SHORT, FEATURES, HEADS, HIDDEN = 2, 5, 4, 6, 2, 7


def projections(module: Any, front: str) -> dict[str, Any]:
    """torch.nn.MultiheadAttention's joined parameters under dlc's names."""
    found: dict[str, Any] = {}
    for name, weight, bias in zip(("query", "key", "value"), module.in_proj_weight.chunk(3),
                                  module.in_proj_bias.chunk(3), strict=True):
        found |= {f"{front}.{name}": weight.T, f"{front}.{name}_bias": bias}
    return found | {f"{front}.output": module.out_proj.weight.T,
                    f"{front}.output_bias": module.out_proj.bias}


def block(module: Any, front: str, norms: int) -> dict[str, Any]:
    """Parameters of torch's encoder or decoder layer under dlc's names."""
    found = projections(module.self_attn, f"{front}/attention")
    if hasattr(module, "multihead_attn"):
        found |= projections(module.multihead_attn, f"{front}/cross_attention")
    for i in range(1, norms + 1):
        norm = getattr(module, f"norm{i}")
        found |= {f"{front}/norm{i}.weight": norm.weight, f"{front}/norm{i}.bias": norm.bias}
    for name, part in (("hidden", module.linear1), ("output", module.linear2)):
        found |= {f"{front}/mlp.{name}": part.weight.T, f"{front}/mlp.{name}_bias": part.bias}
    return found


def arrays(seed: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def compare(layer: Any, wanted: Callable[..., Any], values: dict[str, Any],
            inputs: list[np.ndarray]) -> None:
    """Compiled: the value and the gradient of a weighed sum of it by the inputs."""
    weigh = np.cos(np.arange(FEATURES)).astype(np.float32)
    place = tuple(range(len(inputs)))

    def both(*xs: Any) -> Any:
        slopes = dlc.grad(lambda *ys: dlc.sum(layer(*ys) ** 2 * weigh), wrt=place)(*xs)
        return (layer(*xs), *slopes)

    graph = dlc.trace(both, *(f32[x.shape] for x in inputs), training=True)
    given = {k: np.ascontiguousarray(v.detach().numpy()) for k, v in values.items()}
    named = [n.attrs["label"] for n in graph.inputs[len(inputs):]]
    assert set(given) == set(named)
    with dlc.compile(graph, name="attention").load(threads=1) as program:
        for name, value in given.items():
            program.write(name, value)
        found = list(program(*inputs).values())
    tensors = [torch.tensor(x, requires_grad=True) for x in inputs]
    y = wanted(*tensors)
    (y ** 2 * torch.tensor(weigh)).sum().backward()
    expected = [y.detach().numpy(), *(t.grad.numpy() for t in tensors)]
    for got, value in zip(found, expected, strict=True):
        np.testing.assert_allclose(got, value, rtol=1e-4, atol=2e-5)


@pytest.mark.sliced
@pytest.mark.parametrize("causal", [False, True])
def test_self_attention(causal: bool, tally: Callable[[str], Tally]) -> None:
    torch.manual_seed(1)
    module = torch.nn.MultiheadAttention(FEATURES, HEADS, batch_first=True)
    mask = torch.triu(torch.ones(LONG, LONG, dtype=torch.bool), 1) if causal else None
    compare(nn.multi_head_attention(HEADS, causal=causal, name="a"),
            lambda x: module(x, x, x, attn_mask=mask, need_weights=False)[0],
            projections(module, "a"), arrays(1, (BATCH, LONG, FEATURES)))
    tally("torch.nn: attention").add()


def test_attention_to_a_memory_with_a_mask(tally: Callable[[str], Tally]) -> None:
    torch.manual_seed(2)
    module = torch.nn.MultiheadAttention(FEATURES, HEADS, batch_first=True)
    seen = np.random.default_rng(2).random((LONG, SHORT)) < 0.6
    seen[:, 0] = True
    layer = nn.multi_head_attention(HEADS, name="a")
    compare(lambda x, m: layer(x, m, m, dlc.asarray(seen)),
            lambda x, m: module(x, m, m, attn_mask=torch.tensor(~seen), need_weights=False)[0],
            projections(module, "a"),
            arrays(2, (BATCH, LONG, FEATURES), (BATCH, SHORT, FEATURES)))
    tally("torch.nn: attention").add()


@pytest.mark.sliced
@pytest.mark.parametrize("first", [False, True])
def test_transformer_blocks(first: bool, tally: Callable[[str], Tally]) -> None:
    torch.manual_seed(3)
    kind = {"dim_feedforward": HIDDEN, "dropout": 0.0, "batch_first": True, "norm_first": first}
    encoder = torch.nn.TransformerEncoderLayer(FEATURES, HEADS, **kind)
    decoder = torch.nn.TransformerDecoderLayer(FEATURES, HEADS, **kind)
    compare(nn.transformer_encoder(HEADS, HIDDEN, dropout=0.0, norm_first=first, name="e"), encoder,
            block(encoder, "e", 2), arrays(3, (BATCH, LONG, FEATURES)))
    mask = torch.triu(torch.ones(LONG, LONG, dtype=torch.bool), 1)
    compare(nn.transformer_decoder(HEADS, HIDDEN, dropout=0.0, norm_first=first, name="d"),
            lambda x, m: decoder(x, m, tgt_mask=mask), block(decoder, "d", 3),
            arrays(4, (BATCH, LONG, FEATURES), (BATCH, SHORT, FEATURES)))
    tally("torch.nn: attention").add(2)
