"""Contractions through the tiles, compiled and in plain Python, against `evaluate`."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from dlc.backend.contract.lower import lower_contract, output_index, uses_tiles
from dlc.backend.cpu.isa import ISAS
from dlc.backend.cpu.limits import DEFAULT, Limits
from dlc.backend.cpu.prelude import prelude_text
from dlc.backend.cpu.tiles import tile
from dlc.backend.emit.work import Lowered
from dlc.backend.ir.index import sum_of
from dlc.backend.ir.printer import kernel_of
from dlc.backend.ir.walks import tiles_of
from dlc.backend.share.parametrize import share
from dlc.ir.graph import Build, Graph, Kind, Node, Op, building, make
from dlc.ir.registry import REGISTRY
from dlc.ir.types import bf16, f32, f64
from dlc.lang.array.convolution import conv
from dlc.ops.contract import CONV, matmul, swap
from dlc.ops.convert import broadcast_to, cast
from dlc.ops.elementwise import maximum, where
from dlc.ops.leaf import input_
from dlc.ops.view import flip, reshape, transpose
from dlc.program import Kernel
from dlc.reference.evaluate import run as evaluate_nodes
from dlc.runtime.compile.primitives import PRIMITIVES
from dlc.runtime.reference.interpret import code_of
from tests.backend.cpu.prelude_native import linked

PAGE = mmap.PAGESIZE
KEEP: list[mmap.mmap] = []


def guarded(size: int, kind: Any, fill: float = np.nan) -> np.ndarray:
    """An array whose end is the end of a page that nothing may touch: an overrun is a crash."""
    data = size * np.dtype(kind).itemsize
    pages = -(-max(data, 1) // PAGE) * PAGE
    memory = mmap.mmap(-1, pages + PAGE)
    KEEP.append(memory)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + pages), PAGE, 0) == 0
    array = np.frombuffer(memory, np.dtype(kind), size, pages - data)
    if np.dtype(kind).kind == "f":
        array[:] = fill
    return array


def stored(array: np.ndarray) -> Any:
    """The dtype in which kernels see an array."""
    return np.uint16 if array.dtype.itemsize == 2 else array.dtype


def group(outputs: Sequence[Node], inputs: Sequence[Node], isa: str,
          limits: Limits = DEFAULT) -> tuple[Lowered, Graph]:
    body = Graph("k", tuple(inputs), tuple(outputs))
    loads = {n: n.name for n in inputs}
    stores = {n: f"out{i}" for i, n in enumerate(outputs)}
    machine = replace(ISAS[isa], limits=limits)
    return lower_contract("k", ["a contraction"], body, loads, stores, machine), body


@lru_cache(maxsize=64)
def native(kernel: Kernel, isa: str) -> Callable[..., None]:
    code, address = linked(kernel, "", {n: tile(n, isa) for n in kernel.tiles})
    entry = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(address)

    def call(*args: Any) -> None:
        slots = np.array([a if isinstance(a, int) else a.ctypes.data for a in args[:-1]], np.int64)
        entry(slots.ctypes.data, args[-1])
    call.code = code  # type: ignore[attr-defined]  it lives as long as what calls it
    return call


def interpreted(kernel: Kernel, isa: str) -> Callable[..., None]:
    names: dict[str, Any] = {p.name: p.plain for p in PRIMITIVES.values()}
    exec(code_of(prelude_text(), "<prelude>"), names)
    for name in kernel.tiles:
        exec(tile(name, isa).plain, names)
    exec(kernel.text, names)
    call: Callable[..., None] = names[kernel.name]
    return call


def run(lowered: Lowered, body: Graph, arrays: Sequence[np.ndarray], isa: str,
        how: Callable[[Kernel, str], Callable[..., None]], backwards: bool = False,
        ) -> list[np.ndarray]:
    """Run every stage chunk by chunk; `backwards` in the opposite order."""
    memory: dict[Any, np.ndarray] = {}
    for node, array in zip(body.inputs, arrays, strict=True):
        memory[node] = guarded(array.size, stored(array))
        memory[node][:] = array.reshape(-1).view(stored(array))
    for out in body.outputs:
        memory[out] = guarded(out.type.size, stored(np.empty(0, out.type.dtype.numpy)))
    for space in lowered.scratch:
        memory[space] = guarded(space.size, space.dtype.numpy)
    for stage in lowered.stages:
        for part in stage:
            call = how(kernel_of(part.kernel), isa)
            order = range(part.chunks)
            for chunk in reversed(order) if backwards else order:
                call(*(a if isinstance(a, int) else memory[a] for a in part.operands), chunk)
    return [memory[o].view(o.type.dtype.numpy).reshape(o.type.shape) for o in body.outputs]


def data(inputs: Sequence[Node]) -> list[np.ndarray]:
    rng = np.random.default_rng(len(inputs))
    return [rng.standard_normal(n.type.shape).astype(n.type.dtype.numpy) for n in inputs]


def check(outputs: Sequence[Node], inputs: Sequence[Node], isa: str = "avx512",
          how: Any = native, limits: Limits = DEFAULT) -> Lowered:
    """The lowered group gives what `evaluate` gives, in either order of chunks bit for bit."""
    body = Graph("k", tuple(inputs), tuple(outputs))
    assert uses_tiles(body, limits)
    lowered, body = group(outputs, inputs, isa, limits)
    arrays = data(inputs)
    got = run(lowered, body, arrays, isa, how)
    want = evaluate_nodes(body, arrays)
    for g, w in zip(got, want, strict=True):
        scale = np.abs(np.asarray(w, np.float64)).max()
        tolerance = {2: 1e-2, 4: 2e-5, 8: 1e-13}[g.dtype.itemsize] * max(1.0, scale)
        np.testing.assert_allclose(np.asarray(g, np.float64), np.asarray(w, np.float64),
                                   rtol=0, atol=tolerance)
    again = run(lowered, body, arrays, isa, how, backwards=True)
    assert all(np.array_equal(a, b) for a, b in zip(got, again, strict=True))
    return lowered


CASES: dict[str, Callable[[], tuple[list[Node], list[Node]]]] = {}


def case(make: Callable[[], tuple[list[Node], list[Node]]]) -> Callable[..., Any]:
    CASES[make.__name__] = make
    return make


@case
def dense_relu() -> tuple[list[Node], list[Node]]:
    x, w, b = input_("x", f32[29, 50]), input_("w", f32[50, 70]), input_("b", f32[70])
    return [maximum(matmul(x, w) + broadcast_to(b, (29, 70)), 0.0)], [x, w, b]


@case
def weight_gradient() -> tuple[list[Node], list[Node]]:
    x, g = input_("x", f32[31, 43]), input_("g", f32[31, 33])
    return [matmul(swap(x), g)], [x, g]


@case
def input_gradient_with_mask() -> tuple[list[Node], list[Node]]:
    g, h, w = input_("g", f32[20, 40]), input_("h", f32[20, 40]), input_("w", f32[37, 40])
    masked = where(h > 0.0, g, 0.0)
    return [matmul(masked, swap(w))], [g, h, w]


@case
def batched_f64_two_outputs() -> tuple[list[Node], list[Node]]:
    x, w = input_("x", f64[3, 17, 21]), input_("w", f64[3, 21, 19])
    y = matmul(x, w)
    return [y, y * 2.0], [x, w]


@case
def half_precision() -> tuple[list[Node], list[Node]]:
    x, w = input_("x", bf16[30, 24]), input_("w", bf16[24, 36])
    return [cast(matmul(x, w), f32)], [x, w]


@case
def transposed_result() -> tuple[list[Node], list[Node]]:
    x, w = input_("x", f32[24, 30]), input_("w", f32[30, 20])
    return [transpose(matmul(x, w), (1, 0)) * 3.0], [x, w]


@case
def reshaped_and_flipped_result() -> tuple[list[Node], list[Node]]:
    x, w = input_("x", f32[24, 30]), input_("w", f32[30, 20])
    return [flip(reshape(matmul(x, w), (24, 4, 5)), (1,))], [x, w]


@case
def rows_of_two_batches_regrouped() -> tuple[list[Node], list[Node]]:
    x, w = input_("x", f32[2, 5, 30]), input_("w", f32[2, 30, 30])
    return [reshape(matmul(x, w), (5, 2, 30)) * 3.0], [x, w]


@case
def long_sum_in_boxes() -> tuple[list[Node], list[Node]]:
    x, w = input_("x", f32[30, 2500]), input_("w", f32[2500, 70])
    return [matmul(x, w)], [x, w]


@case
def long_sum_in_parts() -> tuple[list[Node], list[Node]]:
    x, w = input_("x", f32[5, 9001]), input_("w", f32[9001, 7])
    return [matmul(x, w) + 1.0], [x, w]


@case
def long_masked_rows() -> tuple[list[Node], list[Node]]:
    g, h, w = input_("g", f32[5, 9001]), input_("h", f32[5, 9001]), input_("w", f32[9001, 600])
    return [matmul(where(h > 0.0, g, 0.0), w)], [g, h, w]


@case
def conv_padded() -> tuple[list[Node], list[Node]]:
    x, w = input_("x", f32[4, 3, 9, 8]), input_("w", f32[7, 3, 3, 3])
    return [conv(x, w, padding=1)], [x, w]


@case
def conv_strided_dilated_groups() -> tuple[list[Node], list[Node]]:
    x, w = input_("x", f32[3, 4, 15, 14]), input_("w", f32[6, 2, 3, 2])
    return [conv(x, w, stride=(2, 3), padding=((2, 1), (1, 2)), dilation=(1, 2), groups=2)], [x, w]


def gradients(x: Node, w: Node, **how: Any) -> tuple[Node, Node, Node]:
    """(dx, dw, g) of a convolution, as its record makes them."""
    y = conv(x, w, **how)
    g = input_("g", y.type)
    dx, dw = y.op.grad(g, y, *y.args)
    return dx, dw, g


@case
def conv_input_gradient() -> tuple[list[Node], list[Node]]:
    x, w = input_("x", f32[3, 5, 9, 9]), input_("w", f32[6, 5, 3, 3])
    dx, _, g = gradients(x, w, stride=2, padding=1)
    return [dx], [g, w]


@case
def conv_weight_gradient() -> tuple[list[Node], list[Node]]:
    x, w = input_("x", f32[40, 2, 14, 13]), input_("w", f32[6, 2, 3, 3])
    _, dw, g = gradients(x, w, padding=1)
    return [dw], [x, g]


@case
def conv_weight_gradient_strided() -> tuple[list[Node], list[Node]]:
    x, w = input_("x", f32[33, 2, 27, 26]), input_("w", f32[6, 2, 3, 3])
    _, dw, g = gradients(x, w, stride=2)
    return [dw], [x, g]


@case
def conv_line_groups() -> tuple[list[Node], list[Node]]:
    x, w = input_("x", f32[5, 6, 40]), input_("w", f32[9, 2, 5])
    return [conv(x, w, padding=2, groups=3)], [x, w]


@case
def conv_line_groups_weight_gradient() -> tuple[list[Node], list[Node]]:
    x, w = input_("x", f64[11, 6, 40]), input_("w", f64[9, 2, 5])
    y = reshape(x, (11, 3, 2, 40)), reshape(w, (3, 3, 2, 5))
    y = make(CONV, y, grouped=True, stride=(1,), padding=((2, 1),), lhs_dilation=(1,),
             rhs_dilation=(2,))
    g = input_("g", y.type)
    _, dw = CONV.grad(g, y, *y.args)
    return [dw], [x, g]


@case
def conv_half_with_prologue_and_bias() -> tuple[list[Node], list[Node]]:
    x, w, b = input_("x", bf16[3, 2, 11, 10]), input_("w", bf16[5, 2, 3, 3]), input_("b", bf16[5])
    y = conv(x * 2.0, w, padding=1, dilation=2)
    return [maximum(y + reshape(b, (5, 1, 1)), 0.0)], [x, w, b]


@case
def conv_space() -> tuple[list[Node], list[Node]]:
    x, w = input_("x", f32[2, 2, 5, 6, 7]), input_("w", f32[4, 2, 2, 3, 3])
    return [conv(x, w, padding=1)], [x, w]


@pytest.mark.swept(3, keep=("rows_of_two_batches_regrouped",))
@pytest.mark.parametrize("name", CASES)
def test_compiled(name: str) -> None:
    with building(Build()):
        check(*CASES[name]())


@pytest.mark.parametrize("name", ["dense_relu", "transposed_result", "conv_padded"])
def test_interpreted(name: str) -> None:
    with building(Build()):
        outputs, inputs = CASES[name]()
        check(outputs, inputs, how=interpreted)


@pytest.mark.parametrize("isa", ["avx2", "neon", "scalar"])
@pytest.mark.parametrize("name", ["dense_relu", "conv_padded", "conv_weight_gradient"])
def test_other_instruction_sets(name: str, isa: str) -> None:
    with building(Build()):
        outputs, inputs = CASES[name]()
        check(outputs, inputs, isa)


@pytest.mark.conformance
@pytest.mark.parametrize("op", [o for o in REGISTRY.values() if o.kind is Kind.CONTRACT],
                         ids=lambda o: o.name)
def test_records(op: Op) -> None:
    """The samples of every contraction, and of its gradients, however small."""
    every = Limits(plain_products=0)
    assert op.samples is not None and op.grad is not None
    for arrays, attrs in op.samples():
        with building(Build()):
            inputs = [input_(n, f32[a.shape]) for n, a in zip("ab", arrays, strict=True)]
            y = make(op, inputs, **attrs)
            check([y], inputs, limits=every)
            g = input_("g", y.type)
            for i, cotangent in enumerate(op.grad(g, y, *inputs)):
                check([cotangent], [g, inputs[1 - i]], limits=every)


@pytest.mark.parametrize(("view", "index"), [
    (lambda y: y, (3, 5)), (lambda y: transpose(y, (1, 0)), (5, 3)),
    (lambda y: flip(y, (1,)), (3, 14)), (lambda y: reshape(y, (24, 4, 5)), (3, 1, 0)),
    (lambda y: transpose(reshape(y, (24, 4, 5)), (1, 2, 0)) * 2.0, (1, 0, 3))])
def test_output_index(view: Callable[[Node], Node], index: tuple[int, ...]) -> None:
    with building(Build()):
        y = matmul(input_("x", f32[24, 30]), input_("w", f32[30, 20]))
        place = output_index(y, view(y))
        assert place is not None
        assert tuple(i.const for i in place((sum_of(3), sum_of(5)))) == index


def test_output_without_place() -> None:
    with building(Build()):
        y = matmul(input_("x", f32[24, 30]), input_("w", f32[30, 24]))
        assert output_index(y, y + transpose(y, (1, 0))) is None
        assert output_index(y, y.sum(0)) is None
        assert not uses_tiles(Graph("k", (), (y + transpose(y, (1, 0)),)), DEFAULT)


def test_tiny_products_stay_loops() -> None:
    with building(Build()):
        y = matmul(input_("x", f32[4, 2]), input_("w", f32[2, 2]))
        assert not uses_tiles(Graph("k", (), (y,)), DEFAULT)


def test_packing_kernels_are_shared() -> None:
    with building(Build()):
        texts = set()
        for m, k, n in ((128, 400, 120), (29, 84, 10), (64, 64, 60)):
            x, w = input_("x", f32[m, k]), input_("w", f32[k, n])
            lowered, _ = group([matmul(x, w)], [x, w], "avx512")
            texts.add(lowered.stages[0][0].kernel)
        assert len(texts) == 1


def test_64_columns_are_read_as_they_lie() -> None:
    """One stage: whoever multiplies by the only box of B packs a panel of A when it needs it."""
    with building(Build()):
        for m in (64, 65, 640):
            x, w = input_("x", f32[m, 64]), input_("w", f32[64, 64])
            assert len(group([matmul(x, w)], [x, w], "avx512")[0].stages) == 1


@pytest.mark.parametrize(("name", "tiles"), [
    ("conv_padded", "taps"), ("conv_weight_gradient", "dots"), ("dense_relu", "gemm"),
    ("conv_weight_gradient_strided", "gemm"), ("long_sum_in_parts", "gemm")])
def test_scheme(name: str, tiles: str) -> None:
    with building(Build()):
        lowered, _ = group(*CASES[name](), "avx512")
        used = {t for stage in lowered.stages for p in stage for t in tiles_of(p.kernel.body)}
        assert any(t.startswith(tiles) for t in used), used


def at_batch(name: str, batch: int) -> tuple[list[Node], list[Node]]:
    x, w, g = (input_(n, f32[d]) for n, d in (
        ("x", (batch, 60)), ("w", (60, 50)), ("g", (batch, 50))))
    image, kernel = input_("image", f32[batch, 3, 12, 12]), input_("kernel", f32[6, 3, 5, 5])
    dx, dw, gi = gradients(image, kernel, padding=2)
    return {"dense": ([matmul(x, w)], [x, w]), "dx": ([matmul(g, swap(w))], [g, w]),
            "dw": ([matmul(swap(x), g)], [x, g]),
            "conv": ([conv(image, kernel, padding=2)], [image, kernel]),
            "conv_dx": ([dx], [gi, kernel]), "conv_dw": ([dw], [image, gi])}[name]


@pytest.mark.parametrize("name", ["dense", "dx", "dw", "conv", "conv_dx", "conv_dw"])
def test_batch_sizes_share_kernels(name: str) -> None:
    kernels, entries = [], []
    for batch in (128, 29, 104):
        with building(Build()):
            lowered, _ = group(*at_batch(name, batch), "avx512")
            kernels += [p.kernel for stage in lowered.stages for p in stage]
            entries += [str(batch)] * 2
    distinct, _ = share(kernels, entries)
    assert len(distinct) == 2, "\n".join(f.kernel.text for f in distinct)
