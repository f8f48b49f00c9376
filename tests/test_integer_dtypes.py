"""i8, i16, u16 and u64 through the whole language: every operator that takes integers, natively and
interpreted on every instruction set, against the evaluator; the evaluator against NumPy."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import dlc
from dlc.ir.types import DTYPES, DType, bool_, f32, i8, i16, i32, i64, sum_dtype, u16, u64
from dlc.reference.text import parse_graph, print_graph
from tests.conformance.cut import chosen
from tests.instruction_sets import NATIVE, RUNS, loaded

KINDS = (i8, i16, u16, u64)
SHAPE = (3, 300)  # rows long enough for a radix sort of 8 bytes, and tails of every vector
Array = np.ndarray[Any, Any]


def whole(kind: DType, shape: tuple[int, ...], seed: int = 0) -> Array:
    """Numbers over the whole range, its ends, 0 and 1 among them."""
    info = np.iinfo(kind.numpy)
    found = np.random.default_rng(seed).integers(info.min, info.max, shape, kind.numpy, True)
    found.reshape(-1)[:4] = [info.min, info.max, 0, 1]
    return found


def elementwise(x: Any, y: Any, at: Any) -> list[Any]:
    return [
        x + y, x - y, x * y, x // y, x % y, -x, ~x, x & y, x | y, x ^ y, x << (y % 20),
        x >> (y % 20), x ** (y % 7), x ** y, x / y, dlc.abs(x), dlc.sign(x), dlc.maximum(x, y),
        dlc.minimum(x, y), dlc.popcount(x), dlc.clz(x), dlc.fmod(x, y), x == y, x != y, x < y,
        x <= y, x > y, x >= y, dlc.clip(x, 3, 100), dlc.where(x > y, x, y), dlc.gcd(x, y),
        dlc.heaviside(x, y), dlc.square(x), x + 3, 5 - x, dlc.logical_and(x, y), *divmod(x, y)]


def reductions(x: Any, y: Any, at: Any) -> list[Any]:
    return [
        x.sum(0), x.sum(), x.prod(1), x.max(1), x.min(0), x.max(), x.mean(), x.mean(0),
        dlc.variance(x), dlc.std(x, 1), dlc.norm(x), dlc.argmax(x, 1), dlc.argmin(x, 0),
        dlc.ptp(x), (x != 0).any(1), dlc.count_nonzero(x), x @ y.T, dlc.dot(x[0], y[0]),
        dlc.inner(x, y), dlc.einsum("ij,ij->i", x, y), dlc.outer(x[0], y[1, :7]),
        dlc.median(x, 1), *dlc.max_with_indices(x, 1)]


def rows(x: Any, y: Any, at: Any) -> list[Any]:
    """Sorting, gathering, scattering, cumulative folds, views."""
    three = at % 3
    return [
        dlc.sort(x, 1), dlc.sort(x, 0, descending=True), dlc.sort(x[:, :9], 1), dlc.argsort(x, 1),
        dlc.argsort(x, 1, descending=True), *dlc.top_k(x, 3), *dlc.top_k(x, 290),
        dlc.cumsum(x, 1), dlc.cumprod(x, 0), dlc.cummax(x, 1), dlc.cummin(x, 0, reverse=True),
        *dlc.cummax_with_indices(x, 1), dlc.linear_recurrence(x, y, 1), dlc.take(x, at, 1),
        dlc.take_along_axis(x, dlc.broadcast_to(at, (3, 4)), 1), x.at[three].add(y[0]),
        x.at[three].multiply(3), x.at[0].max(y[1]), x.at[three].min(y[1]), x.at[:, 1].set(y[:, 0]),
        x.at[three].set(y[2]), dlc.segment_sum(x, three[:3], 3), dlc.segment_max(x, three[:3], 3),
        dlc.segment_prod(x, three[:3], 3), dlc.segment_mean(x, three[:3], 3),
        dlc.searchsorted(dlc.sort(x[0]), y[0]), dlc.diff(x), dlc.pad(x, 1, value=3),
        dlc.flip(x, 1), dlc.roll(x, 1, 0), dlc.concat([x, y]), x.T + y.T, x[::2, 3:290:7],
        dlc.dynamic_slice(x, (at[0], at[1]), (2, 5)), dlc.scan(
            lambda c, row: (c * row + 1, c), x[0], y)[0], dlc.one_hot(three, 5, x.dtype)]


def casts(x: Any, y: Any, at: Any) -> list[Any]:
    same = {i8: dlc.u8, i16: u16, u16: i16, u64: i64}[x.dtype]
    return [*(x.cast(kind) for kind in DTYPES.values()), dlc.bitcast(x, same),
            *(x[0].cast(kind).cast(x.dtype) for kind in DTYPES.values()), x.cast(f32) * 0.5]


PROGRAMS: tuple[Callable[..., list[Any]], ...] = (elementwise, reductions, rows, casts)


def cases() -> Iterator[Any]:
    """Every program of every dtype on each of RUNS. `make test` takes two of a dtype, a native one
    and an interpreted one, the programs in turn; `make conformance` those of the day's slice."""
    usual: dict[str, Any] = {}
    every: dict[str, Any] = {}
    for (k, kind), (p, program), (isa, device) in itertools.product(
            enumerate(KINDS), enumerate(PROGRAMS), RUNS):
        turn = (p - k) % len(KINDS)
        native = turn == 0 and (isa, device) == (NATIVE[k % len(NATIVE)], "cpu")
        taken = usual if native or (turn == 1 and (isa, device) == RUNS[-1]) else every
        taken[f"{kind} {program.__name__} {isa} {device}"] = kind, program, isa, device
    yield from (pytest.param(*case, id=name) for name, case in usual.items())
    for name in chosen("integers", list(every)):
        yield pytest.param(*every[name], id=name, marks=pytest.mark.conformance)


def graph_of(program: Callable[..., list[Any]], kind: DType) -> dlc.Graph:
    return dlc.trace(program, kind[SHAPE], kind[SHAPE], i32[4])


def operands(kind: DType) -> list[Array]:
    return [whole(kind, SHAPE), whole(kind, SHAPE, 1), np.array([2, 0, 1, 2], np.int32)]


def agree(found: Any, wanted: Any, where: str) -> None:
    """Integers to the bit; floats within the rounding of a sum of 900 terms in f32."""
    wanted = {name: want for name, want in wanted.items() if name != "fault"}
    for number, (name, want) in enumerate(wanted.items()):
        got, message = np.asarray(found[name]), f"{where} {number}"
        assert got.dtype == want.dtype, message
        if want.dtype.kind in "iub":
            np.testing.assert_array_equal(got, want, err_msg=message)
        else:
            unit = float(ml_dtypes.finfo(want.dtype).eps)
            got, want = got.astype(np.float64), np.asarray(want, np.float64)
            np.testing.assert_allclose(got, want, rtol=900 * unit, err_msg=message)


@pytest.mark.swept(3)
@pytest.mark.parametrize(("kind", "program", "isa", "device"), list(cases()))
def test_kernels_against_the_evaluator(
        kind: DType, program: Callable[..., list[Any]], isa: str, device: str) -> None:
    arrays, graph = operands(kind), graph_of(program, kind)
    wanted = dlc.evaluate(graph, *arrays)
    with loaded(graph, isa, device) as running:
        agree(running(*arrays), wanted, f"{program.__name__} of {kind} on {isa} {device}")


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_evaluator_against_numpy(kind: DType) -> None:
    x, y, _ = operands(kind)
    with np.errstate(all="ignore"):
        some = np.where(y == 0, kind.numpy.type(1), y)
        wanted = [x + y, x - y, x * y, x // some, x % some, -x, ~x, x & y, np.sort(x, 1),
                  x.sum(0, dtype=sum_dtype(kind).numpy), np.cumsum(x, 1, sum_dtype(kind).numpy),
                  np.maximum(x, y), x.max(1), x < y, x.astype(np.float32)]
    graph = dlc.trace(lambda x, y: [
        x + y, x - y, x * y, x // dlc.where(y == 0, 1, y), x % dlc.where(y == 0, 1, y), -x, ~x,
        x & y, dlc.sort(x, 1), x.sum(0), dlc.cumsum(x, 1), dlc.maximum(x, y), x.max(1), x < y,
        x.cast(f32)], kind[SHAPE], kind[SHAPE])
    for found, want in zip(dlc.evaluate(graph, x, y).values(), wanted, strict=True):
        assert found.dtype == want.dtype
        np.testing.assert_array_equal(found, want)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_floats_saturate_and_integers_wrap(kind: DType) -> None:
    """On each of RUNS for one of the four; NumPy has no such rule of its own."""
    info = np.iinfo(kind.numpy)
    given = np.array([np.nan, np.inf, -np.inf, 2.9, -2.9, 1e30, -1e30, 200.7], np.float32)
    wanted = [0, info.max, info.min, 2, max(-2, info.min), info.max, info.min, min(200, info.max)]
    graph = dlc.trace(lambda x, w: (x.cast(kind), w.cast(kind)), f32[8], i64[3])
    wide = np.array([2**40 + 5, -3, 70000])
    wrapped = np.array([int(w) % 2**info.bits for w in wide], f"u{info.bits // 8}")
    isa, device = RUNS[KINDS.index(kind) % len(RUNS)]
    with loaded(graph, isa, device) as program:
        for results in (program(given, wide), dlc.evaluate(graph, given, wide)):
            saturated, cut = results.values()
            np.testing.assert_array_equal(saturated, np.array(wanted, kind.numpy))
            np.testing.assert_array_equal(cut, wrapped.view(kind.numpy))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_texts_read_back(kind: DType) -> None:
    for program in PROGRAMS:
        text = print_graph(graph_of(program, kind))
        assert print_graph(parse_graph(text)) == text
    info = np.iinfo(kind.numpy)
    graph = dlc.trace(lambda x: (dlc.bitwise_or(x, [info.min, info.max]),
                                 dlc.minimum(x, info.max - 1)), kind[2])
    text = print_graph(graph)
    assert print_graph(parse_graph(text)) == text
    found = dlc.evaluate(parse_graph(text), np.zeros(2, kind.numpy))
    np.testing.assert_array_equal(next(iter(found.values())), [info.min, info.max])


def test_sums_of_narrow_integers_are_i32() -> None:
    assert [sum_dtype(k) for k in (bool_, i8, i16, u16, u64)] == [i32, i32, i32, i32, u64]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_state_and_loops_hold_them(kind: DType) -> None:
    """A state of the dtype, and a loop that carries one."""
    def step(x: Any) -> Any:
        kept = dlc.state("kept", kind[3])
        dlc.update_state(kept, dlc.fori(3, lambda i, c: c * 3 + x, kept))
        return kept + 1

    graph = dlc.trace(step, kind[3])
    x = whole(kind, (4,))[:3]
    with dlc.compile(graph).load("interpret") as program:
        program(x)
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(program.read("kept"), x * kind.numpy.type(13))
