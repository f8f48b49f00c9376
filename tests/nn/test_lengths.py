"""Sequences of several lengths, bags of several lengths, and rows that stand for nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, i32, i64, nn
from dlc.init import initial_values
from tests.nn.test_layers import applied, floats

LENGTHS = np.array([3, 5, 0, 1], np.int32)


def evaluated(function: Any, *arrays: Any, **values: Any) -> Any:
    """`function` of arrays, its variables at first values or `values`; and the fault."""
    types = [dlc.Type(dlc.ir.types.dtype(a.dtype), a.shape) for a in arrays]
    graph = dlc.trace(function, *types)
    known = {**initial_values(graph.notes["variables"], 0), **values}
    found = dlc.evaluate(graph, *arrays, **known)
    found = found if isinstance(found, dict) else {"out": found}
    return {k: v for k, v in found.items() if k not in known}, known


@pytest.mark.parametrize("make", [nn.lstm, nn.gru, nn.rnn])
def test_each_sequence_is_itself_alone(rng: np.random.Generator, make: Any) -> None:
    """Outputs and final states of both directions are those of the sequence cut to its length."""
    x = floats(rng, 4, 5, 3)
    layer = make(2, layers=2, bidirectional=True, returns="both", name="r")
    out, v = evaluated(lambda x, n: layer(x, lengths=n), x, LENGTHS)
    fault = out.pop("fault")
    assert fault == 0
    for i, n in enumerate(LENGTHS):
        sequence, *states = (value for k, value in out.items())
        assert not sequence[i, n:].any()
        if n == 0:
            assert not any(s[:, i].any() for s in states)
            continue
        alone, _ = evaluated(lambda x: layer(x), x[i:i + 1, :n], **v)
        for got, want in zip((sequence[i:i + 1, :n], *(s[:, i:i + 1] for s in states)),
                             alone.values(), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_the_last_state_is_that_of_the_last_step(rng: np.random.Generator) -> None:
    x = floats(rng, 4, 5, 3)
    last, v = evaluated(lambda x, n: nn.gru(2, returns="last", name="r")(x, lengths=n), x, LENGTHS)
    whole, _ = evaluated(lambda x: nn.gru(2, name="r")(x), x, **v)
    sequence = next(iter(whole.values()))
    want = [sequence[i, n - 1] if n else np.zeros(2) for i, n in enumerate(LENGTHS)]
    np.testing.assert_allclose(last["out"], want, rtol=1e-5, atol=1e-6)


def test_what_lies_beyond_a_length_has_no_influence(rng: np.random.Generator) -> None:
    x = floats(rng, 4, 5, 3)
    graph = dlc.trace(dlc.grad(lambda x: (nn.lstm(2, name="r")(x, lengths=LENGTHS) ** 2).sum()),
                      f32[4, 5, 3])
    known = initial_values(graph.notes["variables"], 0)
    slope = dlc.evaluate(graph, x, **known)
    slope = slope["out"] if isinstance(slope, dict) else slope
    for i, n in enumerate(LENGTHS):
        assert not slope[i, n:].any()
        assert slope[i, :n].all()


@pytest.mark.parametrize("wrong", [[3, 6, 1, 1], [3, -1, 1, 1]])
def test_a_length_outside_stops_the_step(rng: np.random.Generator, wrong: list[int]) -> None:
    out, _ = evaluated(lambda x, n: nn.rnn(2, name="r")(x, lengths=n), floats(rng, 4, 5, 3),
                       np.array(wrong, np.int32))
    assert out["fault"] == 1


@pytest.mark.parametrize("given, message", [
    ({"lengths": f32[4]}, "the lengths are"), ({"lengths": i32[3]}, "one for each sequence"),
    ({"length": i32[4]}, "unexpected keyword argument 'length'")])
def test_wrong_lengths(given: dict[str, Any], message: str) -> None:
    name, type_ = next(iter(given.items()))
    with pytest.raises(DlcError, match=message):
        dlc.trace(lambda x, n: nn.lstm(2)(x, **{name: n}), f32[4, 5, 3], type_)


def test_a_row_for_nothing() -> None:
    """It starts as zeros, and gets no gradient, whatever stands in it."""
    table = nn.embedding(5, 2, name="e", padding=-2)
    index = np.array([[3, 0], [1, 3]], np.int32)
    out, v = evaluated(lambda i: table(i), index)
    assert not v["e.weight"][3].any()
    assert v["e.weight"][[0, 1, 2, 4]].all()

    weight = np.arange(10, dtype=np.float32).reshape(5, 2)
    out, _ = evaluated(lambda i: table(i), index, **{"e.weight": weight})
    np.testing.assert_array_equal(out["out"], weight[index])
    assert out["fault"] == 0
    assert slope_of(table, index, weight)[3].tolist() == [0, 0]
    assert slope_of(table, index, weight)[1].tolist() == [4, 6]


def slope_of(table: Any, index: Any, weight: Any) -> Any:
    """The gradient of the sum of squares by the table."""
    from dlc.lang.scope import current_scope

    def step(i: Any) -> Any:
        table(i)
        w = current_scope("a test").variables["e.weight"].node
        return dlc.grad(lambda: (table(i) ** 2).sum(), wrt=w)()

    return evaluated(step, index, **{"e.weight": weight})[0]["out"]


def bags(rows: Any, kept: Any, mode: str) -> Any:
    rows = rows[kept]
    return getattr(rows, mode)(0) if len(rows) else np.zeros(rows.shape[1])


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding", [None, 2])
def test_bags(rng: np.random.Generator, mode: str, padding: int | None) -> None:
    layer = nn.embedding_bag(6, 3, mode, name="e", padding=padding)
    index = np.array([[2, 2, 2], [0, 2, 5], [1, 1, 3]], np.int32)
    out, v = applied(layer, index)
    weight = v["e.weight"]
    keep = index != (-1 if padding is None else padding)
    want = [bags(weight[r], k, mode) for r, k in zip(index, keep, strict=True)]
    np.testing.assert_allclose(out["out"], want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding", [None, 2])
@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_bags_of_several_lengths(mode: str, padding: int | None, kind: Any) -> None:
    """Also empty ones, at the start, in the middle and at the end."""
    layer = nn.embedding_bag(6, 3, mode, name="e", padding=padding)
    index, first = np.array([4, 2, 2, 0, 5, 1], kind), np.array([0, 0, 3, 3, 4, 6], kind)
    out, v = evaluated(lambda i, o: layer(i, offsets=o), index, first)
    assert out["fault"] == 0
    ends = [*first[1:], len(index)]
    keep = index != (-1 if padding is None else padding)
    want = [bags(v["e.weight"][index[a:b]], keep[a:b], mode)
            for a, b in zip(first, ends, strict=True)]
    np.testing.assert_allclose(out["out"], want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("first", [[1, 2], [0, -1], [0, 3, 2]])
def test_offsets_that_do_not_ascend_stop_the_step(first: list[int]) -> None:
    layer = nn.embedding_bag(6, 3, name="e")
    out, _ = evaluated(lambda i, o: layer(i, offsets=o), np.zeros(4, np.int32),
                       np.array(first, np.int32))
    assert out["fault"] > 0


def test_wrong_tables() -> None:
    with pytest.raises(DlcError, match="padding=5 names no row of 5"):
        nn.embedding(5, 2, padding=5)
    with pytest.raises(DlcError, match="in one row"):
        dlc.trace(lambda i, o: nn.embedding_bag(5, 2)(i, offsets=o), i32[2, 3], i64[2])
