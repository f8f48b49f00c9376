"""Where every system of the benchmark starts: weights that fit dlc's networks, a batch.

Full sizes for what is drawn; batches of two where a network is computed.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from dlc.models.peers import NETWORKS
from dlc.runtime.bench import own, start
from dlc.runtime.bench.systems import BATCH


@pytest.mark.parametrize("model", sorted(BATCH))
def test_weights_are_those_of_dlcs_network(model: str) -> None:
    """As many, each of the shape that dlc has for it, and the same whenever they are drawn."""
    graph = NETWORKS[model]().graphs(kinds=("train",))["train"]
    ports = [v for v in graph.notes["variables"] if v.role == "param"]
    drawn = list(start.parameters(model))
    assert [own.turned(p.name, v).shape for p, v in zip(ports, drawn, strict=True)] == [
        tuple(map(int, p.type.shape)) for p in ports]
    assert all(v.dtype == np.float32 for v in drawn)
    assert all(map(np.array_equal, drawn, start.parameters(model)))


@pytest.mark.parametrize("model", sorted(BATCH))
def test_inputs_are_drawn_from_their_whole_range(model: str) -> None:
    """Every class and every row of an embedding occurs; floats fill [0, 1)."""
    inputs = start.inputs(model, BATCH[model])
    types = [v.type for v in NETWORKS[model]().graphs(kinds=("train",))["train"].inputs
             if v.attrs["role"] == "data"]
    assert [tuple(map(int, t.shape)) for t in types] == [a.shape for a in inputs]
    for array in inputs:
        if array.dtype.kind == "f":
            assert 0 <= array.min() < 0.01 and 0.99 < array.max() < 1
        else:
            classes = start.TEXT[model][0] if model in start.TEXT else 10
            assert set(array.ravel().tolist()) == set(range(classes))


def test_rounding_counts_the_longest_way_through_a_network() -> None:
    """784 + 512 + 512 products one after the other, 2 eps each; a recurrent layer each time."""
    eps = float(np.finfo(np.float32).eps)
    assert start.rounding("mlp") == 2 * 1808 * eps
    assert start.rounding("gru") == 2 * (3 * 256) * 64 * eps


def losses_by_jax(model: str, inputs: list[Any]) -> float:
    import jax

    from dlc.runtime.bench import peers_jax

    params = peers_jax.as_jax(model, start.parameters(model))
    given = peers_jax.images_last(inputs)
    return float(peers_jax.loss(model, params, given, jax.random.key(0)))


def losses_by_torch(model: str, inputs: list[Any]) -> float:
    from dlc.runtime.bench import peers_torch

    net = peers_torch.NETWORKS[model]()
    peers_torch.set_parameters(net, start.parameters(model))
    return float(peers_torch.loss_of(net)(*peers_torch.tensors(inputs)).detach())


@pytest.mark.conformance
@pytest.mark.parametrize("model", sorted(BATCH))
def test_both_peers_have_the_same_loss_on_two_samples(model: str) -> None:
    inputs = start.inputs(model, 2)
    one, other = losses_by_jax(model, inputs), losses_by_torch(model, inputs)
    assert math.isclose(one, other, rel_tol=start.rounding(model))
