"""Two training steps of GPT-2 small in dlc and in PyTorch, with the same weights; printed as JSON.

    python -m tests.conformance.gpt2_step
"""

from __future__ import annotations

import json
import resource
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

import dlc
from dlc import i32, optim
from dlc.models import gpt

TIME, RATE = 8, 1e-3
Weights = Mapping[str, Any]


def data() -> tuple[Any, Any]:
    """x, y: i32[1, TIME], words at random."""
    both = np.random.default_rng(7).integers(0, 50_257, (2, 1, TIME))
    return both[0].astype(np.int32), both[1].astype(np.int32)


def weights(compiled: dlc.Compiled) -> dict[str, Any]:
    """First values, with the table of words ten times as large: else all scores are near 0, and the
    loss near log 50,257 whatever the network computes."""
    first = dict(compiled.initial_values(0))
    first["gpt/embedding1.weight"] = first["gpt/embedding1.weight"] * np.float32(10.0)
    return first


def in_dlc() -> tuple[dict[str, Any], dict[str, Any]]:
    """What is known before the first step and met after it, with the losses; and the weights."""
    net = gpt.small()

    @dlc.task(optimizer=optim.adam(RATE))
    def small(x: i32["batch", TIME], y: i32["batch", TIME]) -> dlc.Loss:
        return gpt.predicted(net(x), y)

    x, y = data()
    compiled = dlc.compile(small, batch=1)
    first = weights(compiled)
    with compiled.load() as loaded:
        for name, value in first.items():
            loaded.write(name, value)
        losses = [float(loaded(x, y, entry="train")["loss"]) for _ in range(2)]
        found = {"parameters": compiled.program.meta["parameters"], "losses": losses,
                 "known": compiled.peak_bytes, "met": loaded.allocated_bytes}
    return found, {k: v for k, v in first.items() if k.startswith("gpt/")}


def in_torch(first: Weights) -> list[float]:
    """The losses of both steps in PyTorch."""
    p = {k.removeprefix("gpt/"): torch.tensor(v).requires_grad_() for k, v in first.items()}
    adam = torch.optim.Adam(p.values(), RATE)
    x, y = (torch.tensor(part).long() for part in data())
    losses = []
    for _ in range(2):
        loss = F.cross_entropy(logits(p, x)[0], y[0])
        losses.append(loss.item())
        adam.zero_grad()
        loss.backward()
        adam.step()
    return losses


def logits(p: Mapping[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """GPT-2 as its paper has it: [1, time] -> [1, time, words]."""
    h = p["embedding1.weight"][x] + p["position_embedding1.weight"][:TIME]
    for n in range(1, 13):
        q = {k.partition("/")[2]: v for k, v in p.items() if f"transformer_encoder{n}/" in k}
        a = F.layer_norm(h, (768,), q["norm1.weight"], q["norm1.bias"])
        heads = [(a @ q[f"attention.{part}"] + q[f"attention.{part}_bias"])
                 .view(1, TIME, 12, 64).transpose(1, 2) for part in ("query", "key", "value")]
        mixed = F.scaled_dot_product_attention(*heads, is_causal=True).transpose(1, 2)
        h = h + mixed.reshape(1, TIME, 768) @ q["attention.output"] + q["attention.output_bias"]
        a = F.layer_norm(h, (768,), q["norm2.weight"], q["norm2.bias"])
        a = F.gelu(a @ q["mlp.hidden"] + q["mlp.hidden_bias"], approximate="tanh")
        h = h + a @ q["mlp.output"] + q["mlp.output_bias"]
    h = F.layer_norm(h, (768,), p["layer_norm1.weight"], p["layer_norm1.bias"])
    return h @ p["embedding1.weight"].T


if __name__ == "__main__":
    found, first = in_dlc()
    found["bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({**found, "torch": in_torch(first)}))
