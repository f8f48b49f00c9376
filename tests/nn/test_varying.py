"""Rows of several lengths in one array give what each row gives alone: values and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f64, nn
from dlc.init import initial_values
from tests.instruction_sets import NATIVE, RUNS, loaded

TIME, FEATURES = 9, 4
EPS = np.finfo(np.float64).eps
# Terms that the longest chain adds up: a recurrence over TIME steps of products of some 20 terms,
# forward and backward. Every one is at most a few units large.
TERMS = 4 * TIME * 20


def turned(x: Any) -> Any:
    return dlc.swapaxes(x, 1, 2)


def convolved(layer: Any) -> Callable[[Any], Any]:
    """The layer over x [batch, time, features] as [batch, features, time]."""
    return lambda x: turned(layer(turned(x)))


# name -> a function of x [batch, time, features]; its first axis is the batch, and a second one of
# the length that a row has is cut to it
CASES: dict[str, Callable[[Any], Any]] = {
    "lstm": nn.lstm(3, bidirectional=True, name="lstm"),
    "gru": nn.gru(3, layers=2, returns="last", name="gru"),
    "rnn": nn.rnn(3, name="rnn"),
    "causal": nn.multi_head_attention(2, causal=True, rotary_base=100.0, name="causal"),
    "encoder": nn.transformer_encoder(2, 5, dropout=0.0, name="encoder"),
    "conv": convolved(nn.conv(3, 3, padding=1, name="conv")),
    "dilated": convolved(nn.conv(3, 2, padding=(0,), dilation=2, name="dilated")),
    "strided": convolved(nn.conv(3, 3, stride=2, padding=1, name="strided")),
    "same": convolved(nn.conv(3, 4, padding="same", name="same")),
    "twice": convolved(nn.chain(nn.conv(3, 3, padding=1), nn.tanh, nn.max_pool(2),
                                nn.conv(2, 2, padding=1), name="twice")),
    "max_pool": convolved(nn.max_pool(3, 2, padding=1)),
    "avg_pool": convolved(nn.avg_pool(2, 1, padding=1)),
    "lp_pool": convolved(nn.lp_pool(2.0, 2)),
    "global": lambda x: nn.global_avg_pool(turned(x)) + nn.global_max_pool(turned(x)),
    "group_norm": convolved(nn.group_norm(2, name="group_norm")),
    "instance_norm": convolved(nn.instance_norm()),
    "layer_norm": nn.layer_norm(name="layer_norm"),
    "dense": nn.dense(3, name="dense"),
    "mean": lambda x: x.mean(1) + x.sum((1, 2))[:, None],
    "extremes": lambda x: dlc.max(x, 1) - dlc.min(x, 1) + dlc.prod(x, 1),
    "spread": lambda x: dlc.variance(x, 1) + dlc.logsumexp(x, 1),
    "last": dlc.last,
    "softmax": lambda x: nn.softmax(x, 1) * x,
    "log_softmax": lambda x: nn.log_softmax(x, 1),
    "gram": lambda x: turned(x) @ x,
    "einsum": lambda x: dlc.einsum("btf,btg->bfg", x, dlc.tanh(x)),
    "suffixes": lambda x: dlc.cumsum(x, 1, reverse=True),
    "weighted": lambda x: (nn.softmax(x[:, :, 0], 1)[:, :, None] * x).sum(1),
}


def both(x: f64["batch", f"time<={TIME}", FEATURES]) -> Any:
    """Every case, and the gradient of its squares by x."""
    found = {}
    for name, function in CASES.items():
        def squares(x: Any, function: Any = function) -> Any:
            y = function(x)
            return (y * y).sum(), y

        (_, found[name]), found[f"{name} gradient"] = dlc.value_and_grad(squares)(x)
    return found


def cut(value: Any, length: int, full: Any) -> Any:
    """One row of a padded result, as long as it is alone."""
    return value[:full.shape[1]] if full.ndim > 1 else value


@pytest.fixture(scope="module")
def alone() -> Any:
    """(padded rows, their lengths, values of the variables, what the evaluator says of each)."""
    rng = np.random.default_rng(11)
    lengths = np.array([TIME, 4, 6], np.int32)
    x = rng.uniform(-1.5, 1.5, (3, TIME, FEATURES))
    wanted, values = [], {}
    for row, length in zip(x, lengths, strict=True):
        graph = dlc.trace(both, dims={"batch": 1, "time": int(length)})
        values = values or {k: rng.uniform(-0.7, 0.7, v.shape).astype(v.dtype)
                            for k, v in initial_values(graph.notes["variables"], 0).items()}
        wanted.append(dlc.evaluate(graph, x=row[None, :length], time=length[None], **values))
    return x, lengths, values, wanted


def padded(x: Any, lengths: Any, fill: float) -> Any:
    found = x.copy()
    for row, length in zip(found, lengths, strict=True):
        row[length:] = fill
    return found


@pytest.mark.swept(5)
@pytest.mark.parametrize(("isa", "device"), sorted(RUNS, key=(NATIVE[-1], "cpu").__eq__))
def test_a_row_is_what_it_is_alone(alone: Any, isa: str, device: str) -> None:
    """On every instruction set, in an array of the bound; and whatever stands behind the end of a
    row, bit for bit."""
    x, lengths, values, wanted = alone
    with loaded(both, isa, device, batch=3) as program:
        for name, value in values.items():
            program.write(name, value)
        found, other = (program(padded(x, lengths, fill), lengths) for fill in (0.0, 77.0))
        wrong = []
        for name in (n for n in found if n in wanted[0]):
            for i, length in enumerate(lengths):
                want = wanted[i][name][0]
                inside = tuple(slice(0, n) for n in want.shape)
                got = found[name][i][inside]
                bound = TERMS * EPS * max(1.0, float(np.abs(want).max()))
                if not np.abs(got - want).max() <= bound:
                    wrong.append((name, i, float(np.abs(got - want).max()), bound))
                if got.tobytes() != other[name][i][inside].tobytes():
                    wrong.append((name, i, "depends on padding"))
                if name.endswith("gradient") and found[name][i, length:].any():
                    wrong.append((name, i, "a gradient of padding"))
        assert not wrong
