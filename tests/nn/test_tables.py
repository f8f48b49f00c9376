"""An embedding's table read at both ends of a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, i32, nn


def language(padding: int | None = None) -> nn.Layer:
    words = nn.embedding(7, 3, name="words", padding=padding)
    return nn.chain(words, dlc.tanh, nn.unembedding(words))


def test_the_product_is_with_the_table_itself() -> None:
    graph = dlc.trace(language(), i32[2, 5])
    assert [(v.name, v.type) for v in graph.notes["variables"]] == [
        ("words.weight", f32[7, 3])]
    table = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    index = np.arange(10, dtype=np.int32).reshape(2, 5) % 7
    found = dlc.evaluate(graph, index, **{"words.weight": table})["out"]
    np.testing.assert_allclose(found, np.tanh(table[index]) @ table.T, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("padding", [None, 2])
def test_both_ends_train_the_table(padding: int | None) -> None:
    net = language(padding)

    @dlc.task(optimizer=dlc.optim.sgd(0.5), batch=4)
    def model(index: i32["batch", 5], label: i32["batch", 5]) -> dlc.Loss:
        return dlc.loss(nn.cross_entropy(net(index), label))

    index = np.array([[0, 1, 2, 3, 4]] * 4, np.int32)
    label = np.array([[1, 0, 3, 4, 6]] * 4, np.int32)
    with dlc.compile(model).load(seed=0) as step:
        before = step.read("words.weight")
        losses = [float(step(index=index, label=label)["loss"]) for _ in range(30)]
        after = step.read("words.weight")
    assert losses[-1] < 0.8 * losses[0]
    moved = np.abs(after - before).max(axis=1) > 0
    assert list(moved) == [row != padding for row in range(7)]


def test_what_reads_it_first_makes_it() -> None:
    words = nn.embedding(7, 3)

    def scores(x: f32[2, 3], index: i32[4]) -> Any:
        return nn.unembedding(words)(x), words(index)

    (table,) = dlc.trace(scores).notes["variables"]
    assert table.type == f32[7, 3]


def test_other_layers_and_other_sizes_are_refused() -> None:
    with pytest.raises(DlcError, match="no embedding"):
        nn.unembedding(nn.dense(3))  # type: ignore[arg-type]
    with pytest.raises(DlcError, match=r"f32\[2, 4\] has not the 3 columns of embedding\(7, 3\)"):
        dlc.trace(nn.unembedding(nn.embedding(7, 3)), f32[2, 4])
