"""Contractions, columns and in-place results that some instruction set once got wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dlc
from dlc.backend.cpu.isa import ISAS
from dlc.ir.types import Type
from dlc.runtime.compile.isa import IsaError, target_cpu

Array = np.ndarray[Any, Any]


def devices() -> list[tuple[str, str]]:
    """Every instruction set, native where the machine has it and interpreted everywhere."""
    found = [(isa, "interpret") for isa in ISAS]
    for isa in ISAS:
        try:
            target_cpu(isa)
        except IsaError:
            continue
        found.append((isa, "cpu"))
    return found


@pytest.fixture(params=devices(), ids="-".join)
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What to load on; DLC_CPU is set for it."""
    isa, name = request.param
    monkeypatch.setenv("DLC_CPU", isa)
    return str(name)


def small(*shape: int) -> Array:
    """Whole numbers from -3 to 3: sums of their products are exact in any order."""
    rng = np.random.default_rng(list(shape))
    return rng.integers(-3, 4, shape).astype(np.float32)


def exact(device: str, function: Any, *arrays: Array) -> None:
    """The compiled function gives what `evaluate` does, bit for bit."""
    types = [Type(dlc.ir.types.dtype(a.dtype), a.shape) for a in arrays]
    graph = dlc.trace(function, *types)
    want = dlc.evaluate(graph, *arrays)
    with dlc.compile(graph).load(device=device) as program:
        got = program(*arrays)
    for name in graph.output_names:
        np.testing.assert_array_equal(got[name], want[name], err_msg=name)


@pytest.mark.swept(3)
def test_windows_end_where_their_operand_does(device: str) -> None:
    """A plain axis may leave the operand as a sliding one does: a kernel one element wide over
    padding, and residues of strided gradients."""
    def squares(x: Any, w: Any) -> Any:
        y = dlc.conv(x, w, stride=2)
        return (y * y).sum()

    def programs(x: Any, w: Any, low: Any, even: Any, three: Any, t: Any, wt: Any, d: Any,
                 wd: Any) -> Any:
        by_image, by_kernel = dlc.grad(squares, wrt=(0, 1))(even, three)
        return (dlc.conv(x, w, padding=((0, 2), (1, 1))),
                dlc.conv(x, low, padding=((2, 1), (0, 3))), by_image, by_kernel,
                dlc.conv_transpose(t, wt, stride=3, dilation=(2, 3)),
                dlc.conv(d, wd, padding=((0, 1), (1, 1), (1, 1))))

    exact(device, programs, small(2, 4, 9, 8), small(6, 4, 1, 3), small(6, 4, 3, 1),
          small(2, 5, 12, 12), small(5, 5, 3, 3), small(1, 4, 5, 6), small(4, 3, 3, 5),
          small(1, 4, 5, 6, 7), small(3, 4, 1, 3, 3))


def test_no_later_loop_reads_what_a_result_overwrote(device: str) -> None:
    """Two results of as many reductions each, but not of the same: their loops follow another."""
    def program(m: Any, div: Any, sub: Any, sign: Any) -> Any:
        m, div, sub, sign = (dlc.cumsum(v, 0) for v in (m, div, sub, sign))
        fold = dlc.grad(lambda z: (dlc.avg_pool(z, 2, stride=1) * 4.0 * m).sum())(
            dlc.zeros((1, 6, 2, 3)))
        a = fold * div
        return a, sign.sum() * sub + a, fold.sum((0, 1))

    exact(device, program, small(1, 6, 1, 2), small(1, 6, 2, 3), small(1, 6, 2, 3),
          small(1, 1, 1, 2))


@pytest.mark.swept(3)
@pytest.mark.parametrize("k", [4097, 9000])
def test_long_sums_are_packed_in_parts(device: str, k: int) -> None:
    """More elements along k than a row that is transposed may have, in a box that starts in the
    middle, with a last part that is shorter; 9000 are cut along two axes."""
    def program(x: Any, y: Any, turned: Any, halves: Any, image: Any, kernel: Any) -> Any:
        return ((x * 0.5) @ y, x @ (turned * 0.5).T, (halves * 0.5) @ dlc.cast(y, dlc.f16),
                dlc.einsum("aij,bij->ab", image * 0.5, kernel * 0.5))

    images = small(2, k // 100, 100) * 2
    exact(device, program, small(3, k) * 2, small(k, 2), small(2, k) * 2,
          small(3, k).astype(np.float16), images, images)


def test_rows_walked_backwards(device: str) -> None:
    """Elements before a pointer are as good as those behind it, inside of the value."""
    exact(device, lambda x, w: (dlc.flip(x, 0) @ w, x), small(40, 50), small(50, 30))


def test_a_column_of_sums_read_elsewhere(device: str) -> None:
    """A block of a column holds the reductions of its own columns; what reads another's, by a pad,
    a flip or a slice, does not find them there."""
    def program(x: Any, few: Any) -> Any:
        top, short = x.max(0), few.sum(0)
        return (top + dlc.pad(top[:1], ((150, 49),)), top + dlc.flip(top, 0),
                short + dlc.flip(short, 0), short * 2 + dlc.pad(short[1:], ((0, 1),)))

    exact(device, program, small(20, 200), small(20, 50))
