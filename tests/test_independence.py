"""What is proved to keep rows apart does: no other row changes a bit. What mixes is not proved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, i32, nn
from dlc.definition import of_task
from dlc.independence import rows_are_apart
from dlc.init import initial_values
from dlc.ir.graph import Graph, Node
from dlc.network import Network

ROWS, TIME, SIZE = 4, 3, 6


def turned(layer: Any) -> Callable[[Any, Any], Any]:
    return lambda x, i: dlc.swapaxes(layer(dlc.swapaxes(x, 1, 2)), 1, 2)


# functions of x f32[4, 3, 6] and i i32[4, 3] that keep rows apart, and are proved to
APART: dict[str, Callable[[Any, Any], Any]] = {
    "dense": lambda x, i: nn.dense(5)(x), "mlp": lambda x, i: nn.dense(3)(nn.relu(nn.dense(4)(x))),
    "flatten": lambda x, i: nn.dense(2)(nn.flatten(x)),
    "lstm": lambda x, i: nn.lstm(3, bidirectional=True)(x),
    "gru": lambda x, i: nn.gru(3, layers=2, returns="last")(x),
    "attention": lambda x, i: nn.multi_head_attention(2, causal=True)(x),
    "encoder": lambda x, i: nn.transformer_encoder(2, 8)(x),
    "embedding": lambda x, i: nn.embedding(SIZE, 4)(i),
    "conv": turned(nn.conv(4, 3, padding=1)), "max_pool": turned(nn.max_pool(2)),
    "batch_norm": turned(nn.batch_norm()), "group_norm": turned(nn.group_norm(2)),
    "layer_norm": lambda x, i: nn.layer_norm()(x), "softmax": lambda x, i: nn.softmax(x, 1),
    "mean": lambda x, i: x.mean(1), "argmax": lambda x, i: x.argmax(2),
    "along": lambda x, i: dlc.take_along_axis(x, i[:, :, None], 2),
    "one_hot": lambda x, i: dlc.one_hot(i, SIZE), "slice": lambda x, i: x[:, 1:, ::2],
    "padded": lambda x, i: dlc.pad(x, ((0, 0), (1, 2), (0, 0))),
    "joined": lambda x, i: dlc.concat([x, 2.0 * x[:, :1]], 1),
    "positions": lambda x, i: nn.positional_encoding()(x),
    "gram": lambda x, i: x @ dlc.swapaxes(x, 1, 2),
    "einsum": lambda x, i: dlc.einsum("btf,bsf->bts", x, x),
    "constant": lambda x, i: dlc.zeros((ROWS, 2)),
    "merged": lambda x, i: dlc.tanh(x.reshape(ROWS * TIME, SIZE)).reshape(ROWS, TIME, SIZE),
}
# functions that mix rows; none may be proved
MIXING: dict[str, Callable[[Any, Any], Any]] = {
    "centred": lambda x, i: x - x.mean(0), "softmax 0": lambda x, i: nn.softmax(x, 0),
    "flipped": lambda x, i: dlc.flip(x, 0), "rolled": lambda x, i: dlc.roll(x, 1, 0),
    "transposed": lambda x, i: dlc.transpose(x[:, 0, :4], (1, 0)),
    "products": lambda x, i: x[:, 0] @ x[:, 0].T, "square": lambda x, i: x[:, 0, :4] @ x[:, 0, :4],
    "sorted": lambda x, i: dlc.sort(x, 0), "sums": lambda x, i: dlc.cumsum(x, 0),
    "reshaped": lambda x, i: x[:, 0].reshape(6, 4).T, "twisted": lambda x, i: dlc.transpose(
        x, (1, 0, 2)).reshape(ROWS, TIME * SIZE),
    "shifted": lambda x, i: dlc.concat([x[1:], x[:1]], 0),
    "picked": lambda x, i: x[i[:, 0] % ROWS], "other rows": lambda x, i: x[np.array([1, 0, 3, 2])],
    "over rows": lambda x, i: dlc.scan(lambda h, r: (h + r, h), dlc.zeros((TIME, SIZE)), x)[1],
    "scores": lambda x, i: nn.softmax(x[:, 0] @ x[:, 1].T, 1) @ x[:, 2],
    "by choice": lambda x, i: dlc.cond(x.sum() > 0, lambda: x, lambda: -x),
    "windows": lambda x, i: nn.max_pool(3, 1, padding=1)(dlc.transpose(x, (1, 2, 0))).transpose(
        (2, 0, 1)),
    "carried": lambda x, i: dlc.scan(lambda h, r: (h[::-1] + r, h), x[:, 0],
                                     dlc.swapaxes(x, 0, 1))[0],
    "halves": lambda x, i: x.reshape(2, 2, TIME, SIZE).sum(1).reshape(ROWS, -1),
}


def traced(function: Callable[[Any, Any], Any]) -> Graph:
    def network(x: f32[ROWS, TIME, SIZE], i: i32[ROWS, TIME]) -> Any:
        return function(x, i)

    graph = dlc.trace(network)
    for node in graph.inputs[:2]:
        node.attrs["role"] = "data"  # type: ignore[index]
    return graph


def changed_rows(graph: Graph, seed: int) -> bool:
    """Whether another row's values change anything of a row."""
    rng = np.random.default_rng(seed)
    values = initial_values(graph.notes["variables"], seed)
    x = rng.normal(size=(ROWS, TIME, SIZE)).astype(np.float32)
    i = rng.integers(0, SIZE, (ROWS, TIME)).astype(np.int32)

    def out(x: Any, i: Any) -> Any:
        given = {"x": x, "i": i, **values}
        found = dlc.evaluate(graph, **{n.attrs["label"]: given[n.attrs["label"]]
                                       for n in graph.inputs})
        return found["out"] if isinstance(found, dict) else found

    first = out(x, i)
    for row in range(ROWS):
        other_x, other_i = x.copy(), i.copy()
        other_x[row], other_i[row] = 5 * other_x[row] + 1, (other_i[row] + 1) % SIZE
        after = out(other_x, other_i)
        if any(first[r].tobytes() != after[r].tobytes() for r in range(ROWS) if r != row):
            return True
    return False


@pytest.mark.parametrize("name", APART)
def test_rows_that_are_apart_are_proved_to_be(name: str) -> None:
    graph = traced(APART[name])
    assert not changed_rows(graph, 1) and rows_are_apart(graph, ["out"])


@pytest.mark.parametrize("name", MIXING)
def test_rows_that_mix_are_never_proved_apart(name: str) -> None:
    graph = traced(MIXING[name])
    assert changed_rows(graph, 1) and not rows_are_apart(graph, ["out"])


def mixture(rng: np.random.Generator) -> Callable[[Any, Any], Any]:
    """A few of the functions above one after another, brought to one shape in between."""
    pool = [*APART.values(), *MIXING.values()]
    chosen = [pool[k] for k in rng.integers(0, len(pool), int(rng.integers(2, 4)))]

    def function(x: Any, i: Any) -> Any:
        for each in chosen:
            y: Node = each(x, i)
            y = y.cast(f32).reshape(ROWS, -1)
            wide = nn.dense(TIME * SIZE)(y).reshape(ROWS, TIME, SIZE)
            x = dlc.tanh(wide) + 0.5 * x
        return x

    return function


def test_what_is_proved_holds_for_random_compositions() -> None:
    """By the evaluator: whatever is proved changes no bit; and most of what holds is proved."""
    rng, proved, apart = np.random.default_rng(5), 0, 0
    for seed in range(60):
        graph = traced(mixture(rng))
        proof, mixes = rows_are_apart(graph, ["out"]), changed_rows(graph, seed)
        assert not (proof and mixes), seed
        proved, apart = proved + proof, apart + (not mixes)
    assert 0 < proved >= apart - 2


def test_a_network_that_is_proved_runs_no_other_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """`predict` runs the first block once where there is a proof; where not, thrice before that."""
    calls: list[str] = []
    kept = Network._load

    def load(self: Network, key: Any) -> Any:
        loaded = kept(self, key)
        call = loaded.running.call
        monkeypatch.setattr(loaded.running, "call",
                            lambda entry, **arrays: calls.append(entry) or call(entry, **arrays))
        return loaded

    monkeypatch.setattr(Network, "_load", load)
    for function, times in ((lambda x: x * 2.0, 1), (lambda x: dlc.sort(x, 1), 4)):
        @dlc.task(optimizer=dlc.optim.sgd(0.1), batch=4)
        def task(x: f32["batch", 3], y: f32["batch", 3], function: Any = function) -> Any:
            return dlc.loss(nn.mse(function(x) * dlc.parameter("w", f32[3]), y))

        net = Network(of_task(task), task.initial_values(task.graphs()), "a test")
        calls.clear()
        net.predict(np.ones((8, 3), np.float32))
        assert len(calls) == times
    with pytest.raises(DlcError, match="no value is called"):
        dlc.outputs(net, "nothing")
