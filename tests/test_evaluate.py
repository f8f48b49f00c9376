"""The evaluator: what it takes and refuses, and the corners that its definition settles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dlc.errors import DlcError
from dlc.ir.graph import Build, Graph, Node, building, make
from dlc.ir.registry import REGISTRY
from dlc.ir.types import DTYPES, Dim, Type, bf16, f16, f32, f64, i32, u8, u32
from dlc.ops import elementwise, gather, leaf, reduce
from dlc.ops.convert import cast
from dlc.passes.rules.names import fits
from dlc.reference.evaluate import evaluate


def two_inputs() -> Graph:
    with building(Build()):
        x = leaf.input_("x", Type(f32, (Dim(2, "batch"), 3)))
        n = leaf.input_("n", i32[2])
        return Graph("f", (x, n), (reduce.sum_(x, 1), n + 1), ("total", "next"))


X, N = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([1, 2], np.int32)


@pytest.mark.parametrize(("args", "named"), [
    ((X, N), {}), ((X,), {"n": N}), ((), {"n": N, "x": X}), ((X.tolist(), [1, 2]), {})])
def test_arrays_by_place_or_by_name(args: Any, named: Any) -> None:
    result = evaluate(two_inputs(), *args, **named)
    assert list(result) == ["total", "next"]
    assert result["total"].tolist() == [3, 12] and result["next"].tolist() == [2, 3]


@pytest.mark.parametrize(("args", "named", "message"), [
    ((X,), {}, r"missing \['n'\]"),
    ((X, N), {"m": N}, r"unknown inputs \['m'\]"),
    ((X, N), {"n": N}, "takes 2 inputs: x, n"),
    ((X, N, N), {}, "takes 2 inputs: x, n"),
    ((X[:1], N), {}, r"input x: shape \(1, 3\) given, f32\[batch=2, 3\] wanted"),
    ((X.astype(np.float64), N), {}, r"input x: dtype float64 given, f32.*\n(.*\n)*.*float32"),
    ((X, N.astype(np.int64) + 2**40), {}, "input n: 10995.* is not of dtype i32"),
])
def test_what_does_not_fit_is_refused(args: Any, named: Any, message: str) -> None:
    with pytest.raises(DlcError, match=message):
        evaluate(two_inputs(), *args, **named)


def test_one_output_is_an_array_of_its_type() -> None:
    with building(Build()):
        x = leaf.input_("x", f16[3])
        result = evaluate(Graph("f", (x,), (x * 2.0,)), np.ones(3, np.float16))
    assert isinstance(result, np.ndarray) and result.dtype == np.float16


def value(node: Node, *arrays: Any) -> Any:
    """The value of a node over inputs x0, x1, ..."""
    found: dict[str, Node] = {}
    for n in Graph("f", (), (node,)).nodes():
        if n.op is leaf.INPUT:
            found[n.attrs["label"]] = n
    return evaluate(Graph("f", tuple(found[k] for k in sorted(found)), (node,)), *arrays)


def inputs(*arrays: Any) -> list[Node]:
    from dlc.ir.types import dtype

    return [leaf.input_(f"x{i}", Type(dtype(a.dtype), a.shape)) for i, a in enumerate(arrays)]


def applied(name: str, *arrays: Any, **attrs: Any) -> list[Any]:
    with building(Build()):
        return value(make(REGISTRY[name], inputs(*arrays), **attrs), *arrays).tolist()


LIMITS = np.iinfo(np.int32)


@pytest.mark.parametrize(("name", "a", "b", "expected"), [
    ("floordiv", [7, -7, 7, -7, 5, LIMITS.min], [2, 2, -2, -2, 0, -1], [3, -4, -4, 3, 0,
                                                                        LIMITS.min]),
    ("rem", [7, -7, 7, -7, 5, LIMITS.min], [2, 2, -2, -2, 0, -1], [1, 1, -1, -1, 0, 0]),
    ("add", [LIMITS.max], [1], [LIMITS.min]),
    ("mul", [65536], [65536], [0]),
    ("shl", [1, 1, 1, -1], [31, 32, -1, 1], [LIMITS.min, 0, 0, -2]),
    ("shr", [-8, -8, 8], [1, 40, 2], [-4, 0, 2]),
])
def test_integers_wrap_and_never_fault(name: str, a: list[int], b: list[int],
                                       expected: list[int]) -> None:
    assert applied(name, np.array(a, np.int32), np.array(b, np.int32)) == expected


@pytest.mark.parametrize(("kind", "expected"), [
    (i32, [0, LIMITS.max, LIMITS.min, 2, -2, LIMITS.max, LIMITS.min]),
    (u8, [0, 255, 0, 2, 0, 255, 0]),
    (u32, [0, 2**32 - 1, 0, 2, 0, 2**32 - 1, 0]),
])
def test_floats_to_integers_truncate_and_saturate(kind: Any, expected: list[int]) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 2.9, -2.9, 1e30, -1e30], np.float32)
    assert applied("cast", x, dtype=kind) == expected


def test_every_cast_is_defined() -> None:
    """All pairs of dtypes convert 0 and 1 exactly."""
    for source in DTYPES.values():
        for target in DTYPES.values():
            x = np.array([0, 1]).astype(source.numpy)
            assert applied("cast", x, dtype=target) == [0, 1]


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_extremes_of_nan_are_nan(name: str) -> None:
    x, y = np.array([np.nan, 1, np.nan], np.float32), np.array([1, np.nan, np.nan], np.float32)
    assert np.isnan(applied(name, x, y)).all()


def test_reductions_of_nothing_and_of_nan() -> None:
    empty = np.zeros((0, 2), np.float32)
    assert applied("sum", empty, axes=(0,)) == [0, 0]
    assert applied("prod", empty, axes=(0,)) == [1, 1]
    assert applied("logsumexp", empty, axes=(0,)) == [-np.inf, -np.inf]
    with pytest.raises(DlcError, match="no elements"):
        applied("max", empty, axes=(0,), ties="even")
    x = np.array([1, np.nan, 3], np.float32)
    assert applied("argmax", x, axes=(0,)) == 1 and np.isnan(applied("max", x, axes=(0,), ties=""))
    assert applied("argmax", np.array([2, 5, 5, 1], np.float32), axes=(0,)) == 1


def test_logsumexp_does_not_overflow() -> None:
    x = np.array([[1000, 1000], [-1000, -1000], [np.inf, 0], [-np.inf, -np.inf]], np.float32)
    expected = [1000 + np.log(2), -1000 + np.log(2), np.inf, -np.inf]
    np.testing.assert_allclose(applied("logsumexp", x, axes=(1,)), expected, rtol=1e-6)


def test_computed_indices_are_clamped() -> None:
    x, at = np.arange(4, dtype=np.float32), np.array([-5, 0, 3, 99], np.int32)
    assert applied("gather", x, at, axis=0, batch=0) == [0, 0, 3, 3]
    assert applied("scatter_add", at, x, shape=(4,), axis=0, batch=0) == [1, 0, 0, 5]


def test_constant_indices_are_checked_when_the_graph_is_built() -> None:
    with building(Build()):
        x = leaf.input_("x", f32[4])
        with pytest.raises(DlcError, match=r"index 4 is out of range\n(.*\n)*.*0 .. 3"):
            gather.take(x, [0, 4])


@pytest.mark.parametrize("kind", [f16, bf16])
def test_small_floats_round_once(kind: Any) -> None:
    """x + y computes in f32 and rounds at the result, so it is the nearest to the true sum."""
    rng = np.random.default_rng(0)
    x, y = (rng.uniform(-4, 4, 999).astype(kind.numpy) for _ in range(2))
    with building(Build()):
        a, b = inputs(x, y)
        result = value(elementwise.add(a, b), x, y)
    exact = (x.astype(np.float64) + y.astype(np.float64)).astype(np.float32).astype(kind.numpy)
    np.testing.assert_array_equal(result.astype(np.float32), exact.astype(np.float32))


def test_sums_are_the_nearest_to_the_true_sum() -> None:
    x = np.full(10**5, 0.1, np.float32)
    with building(Build()):
        (a,) = inputs(x)
        total = value(reduce.sum_(a), x)
    assert total == np.float32(np.sum(x.astype(np.float64)))


def test_random_bits_are_a_function_of_seed_step_site_and_place() -> None:
    """Rows of a larger array begin with the smaller one; another site or step differs."""
    seed, step = np.uint32(5), np.int32(9)

    def bits(n: int, site: int = 3, at: Any = step) -> list[int]:
        return applied("random_bits", np.asarray(seed), np.asarray(at), shape=(n,), site=site)

    assert bits(100)[:7] == bits(7) and len(set(bits(100))) == 100
    assert bits(7) != bits(7, site=4) and bits(7) != bits(7, at=np.int32(10))


def test_deep_graphs_need_no_recursion() -> None:
    with building(Build()):
        x = y = leaf.input_("x", f64[()])
        for _ in range(5000):
            y = y + 1.0
        assert evaluate(Graph("f", (x,), (y,)), np.float64(0)) == 5000


def test_casting_a_constant_is_the_constant_cast() -> None:
    """The DSL's shortcut on constants gives what the operator would give."""
    for source in DTYPES.values():
        for target in DTYPES.values():
            for number in (0, 1, 3, -1, 200, 300, -70000, 2**31, 2.9, -2.9, 1e30, np.nan):
                if not (source.is_float or source.name == "bool" or fits(number, source)):
                    continue
                with building(Build()):
                    try:
                        c = leaf.constant(bool(number) if source.name == "bool" else number,
                                          source[2])
                        direct = value(make(REGISTRY["cast"], (c,), dtype=target))
                        np.testing.assert_array_equal(value(cast(c, target)).astype(float),
                                                      direct.astype(float))
                    except DlcError as problem:
                        raise AssertionError(f"{source} to {target} of {number}") from problem
