"""`dlc sample` from programs of one position, which keep what layers need of those before."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pytest

from dlc.cli.decoder import Decoder, Whole
from dlc.cli.sample import continued, quickest
from dlc.definition import of_task
from dlc.network import Network
from dlc.task.task import Task


def text_network(layer: str) -> tuple[Network, Task]:
    """A text model over a window of 12 of 5 letters, with weights at random."""
    space: dict[str, Any] = {}
    exec(compile(f"""
import dlc
from dlc import i32, nn, optim
net = nn.chain(nn.embedding(5, 8), {layer}, nn.dense(5), name="net")
@dlc.task(optimizer=optim.adam(0.1))
def letters(x: i32["batch", 12], y: i32["batch", 12]):
    return dlc.loss(nn.cross_entropy(net(x), y))
""", "letters.py", "exec"), space)
    task = space["letters"]
    first = task.initial_values(task.graphs(1, ("predict",)), seed=3)
    values = {k: np.asarray(v) * np.float32(3.0) for k, v in first.items()}
    return Network(of_task(task, tuple("abcde")), values, "letters.py"), task


@pytest.mark.parametrize("layer", [
    "nn.lstm(6, layers=2, peepholes=True)", "nn.gru(6)",
    "nn.position_embedding(12), nn.transformer_encoder(2, 16, causal=True, norm_first=True)",
    "nn.positional_encoding(), nn.multi_head_attention(4, causal=True, key_heads=2)",
    "nn.multi_head_attention(2, causal=True, rotary_base=100.0)"])
def test_one_position_at_a_time_writes_the_same_text(layer: str) -> None:
    """Also beyond the window, where the state begins anew."""
    net, task = text_network(layer)
    whole, decoder = Whole(net, 12), Decoder.of(net, task, 12)
    assert decoder is not None and decoder.agrees(whole)
    options = argparse.Namespace(seed=5, length=40, temperature=1.0)
    texts = [continued(writer, [1], 12, options) for writer in (whole, decoder)]
    assert texts[0] == texts[1] and len(set(texts[0])) > 2


@pytest.mark.parametrize("layer", [
    "nn.lstm(6, bidirectional=True)", "nn.multi_head_attention(2)",
    "nn.layer(lambda x: x - dlc.cumsum(x, 1) / 12.0)"])
def test_a_network_without_such_a_program_is_asked_for_whole_windows(layer: str) -> None:
    """It looks at all positions, or adds them up in a way that keeps no state."""
    net, task = text_network(layer)
    assert isinstance(quickest(net, task, 12), Whole)
