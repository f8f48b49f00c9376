"""Names of parameters: where a layer stands, stable under edits elsewhere, shared by reuse."""

from __future__ import annotations

from typing import Any

import numpy as np

import dlc
from dlc import f32, nn


def names_of(function: Any, *types: Any) -> list[str]:
    return [v.name for v in dlc.trace(function, *types).notes["variables"]]


def test_names_come_from_kind_and_rank_in_the_chain() -> None:
    net = nn.chain(nn.conv(2, 3), dlc.tanh, nn.conv(3, 3), nn.flatten, nn.dense(4), dlc.tanh,
                   nn.dense(2))
    assert names_of(lambda x: net(x), f32[2, 1, 8, 8]) == [
        "conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias", "dense1.weight", "dense1.bias",
        "dense2.weight", "dense2.bias"]


def test_functions_in_a_chain_do_not_shift_names() -> None:
    short = nn.chain(nn.dense(4), nn.dense(2))
    long = nn.chain(nn.flatten, nn.dense(4), dlc.tanh, dlc.sin, nn.dropout(0.1), nn.dense(2))
    assert names_of(short, f32[2, 3]) == names_of(long, f32[2, 3])


def test_chains_nest_as_blocks() -> None:
    block = nn.chain(nn.dense(4), dlc.tanh)
    net = nn.chain(nn.dense(4), block, nn.chain(nn.dense(4), name="head"))
    assert [n for n in names_of(net, f32[2, 3]) if "weight" in n] == [
        "dense1.weight", "block1/dense1.weight", "head/dense1.weight"]


encoder = nn.dense(3)


def test_a_layer_alone_is_named_by_its_variable() -> None:
    decoder = nn.dense(5, bias=False)
    assert names_of(lambda x: decoder(encoder(x)), f32[2, 5]) == [
        "encoder.weight", "encoder.bias", "decoder.weight"]


def test_a_layer_without_a_variable_is_named_by_rank() -> None:
    layers = [nn.dense(4, bias=False), nn.dense(2, bias=False), nn.dense(1, bias=False, name="top")]

    def net(x: Any) -> Any:
        for layer in layers:
            x = layer(x)
        return x

    assert names_of(net, f32[2, 3]) == ["dense1.weight", "dense2.weight", "top.weight"]


def test_the_same_value_shares_its_parameters() -> None:
    """A siamese network: one set of weights, the same function."""
    tower = nn.chain(nn.dense(3), dlc.tanh)

    def pair(a: Any, b: Any) -> Any:
        return tower(a), tower(b)

    graph = dlc.trace(pair, f32[2, 4], f32[2, 4])
    assert [v.name for v in graph.notes["variables"]] == ["dense1.weight", "dense1.bias"]
    a, w = np.ones((2, 4), np.float32), np.full((4, 3), 0.1, np.float32)
    out = dlc.evaluate(graph, a, a, w, np.zeros(3, np.float32))
    np.testing.assert_array_equal(out["out0"], out["out1"])


def test_a_layer_of_the_users_own() -> None:
    def scale(x: Any) -> Any:
        return x * dlc.parameter("gain", f32[x.shape[-1]], dlc.init.ones)

    net = nn.chain(nn.dense(3), nn.layer(scale), nn.layer(scale, name="last"))
    assert names_of(net, f32[2, 4])[2:] == ["scale1.gain", "last.gain"]


def test_a_function_in_a_chain_may_make_parameters() -> None:
    def bias(x: Any) -> Any:
        return x + dlc.parameter("b", f32[x.shape[-1]])

    assert names_of(nn.chain(bias, dlc.tanh), f32[2, 4]) == ["bias1.b"]


def test_nested_results_are_numbered_through() -> None:
    def f(x: f32[3]) -> Any:
        return x, [x + 1, (x + 2, 5.0)]

    def g(x: f32[3]) -> Any:
        return {"value": x, "grads": (x + 1, x + 2), "row": [1.0, 2.0]}

    assert dlc.trace(f).output_names == ("out0", "out1", "out2", "out3")
    assert dlc.trace(g).output_names == ("value", "grads0", "grads1", "row")
