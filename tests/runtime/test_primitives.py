"""Primitives: native bits equal the plain bodies', wrong operands are named, loops vectorize."""

from __future__ import annotations

import itertools
import math
import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from dlc.program import Kernel
from dlc.runtime.compile import isa, plain
from dlc.runtime.compile.lower import LowerError, Toolchain
from dlc.runtime.compile.primitives import PRIMITIVES
from tests.backend.cpu.prelude_native import assembly
from tests.runtime.programs import pointer, run_kernel, scalar

Array = np.ndarray[Any, Any]
NUMPY = {"f32": np.float32, "f64": np.float64, "i32": np.int32, "i64": np.int64,
         "u32": np.uint32, "u8": np.uint8, "u16": np.uint16, "i16": np.int16, "i8": np.int8,
         "u64": np.uint64}
EDGES = {
    "f32": [0.0, -0.0, 1.0, -1.5, 0.5, 2.5, 3.5, np.inf, -np.inf, np.nan, 1e-45, 1.17e-38, 3.4e38,
            2147483648.0, -2147483648.0, 4294967296.0, 255.5, 65504.0, 65520.0, 1e-8, 9.3e18],
    "i32": [0, 1, -1, 7, 255, 256, 2**31 - 1, -2**31, 65535],
    "i64": [0, 1, -1, 7, 300, 2**31, -2**31 - 1, 2**63 - 1, -2**63, 2**53 + 1],
    "u32": [0, 1, 7, 255, 2**31, 2**32 - 1, 65536, 0x7F800001],
    "i8": [0, 1, -1, 127, -128], "i16": [0, 1, -1, 32767, -32768],
    "u64": [0, 1, 2**63, 2**64 - 1, 2**53 + 1], "u8": [0, 1, 7, 128, 255],
    "u16": [0, 1, 0x3C00, 0x7C00, 0x7C01, 0xFC00, 0x8001, 0xFFFF],
}
EDGES["f64"] = [*EDGES["f32"], 1e308, 5e-324, 9.3e18, 1.8446744073709552e19, 1e-320]


def values(dtype: str, rng: np.random.Generator, count: int) -> Array:
    """Edge values of `dtype` and then random ones, of all magnitudes."""
    edges = np.array(EDGES[dtype], dtype=NUMPY[dtype])
    if dtype in ("f32", "f64"):
        random = (rng.standard_normal(count) * 10.0 ** rng.uniform(-9, 9, count))
        return np.concatenate([edges, random.astype(NUMPY[dtype])])
    info = np.iinfo(NUMPY[dtype])
    random = rng.integers(info.min, info.max, count, NUMPY[dtype], endpoint=True)
    return np.concatenate([edges, random])


def apply(name: str, operands: list[Array], result: str, device: str, isa: str = "") -> Array:
    """`name` over `operands` elementwise, on `device`."""
    letters = "abc"[:len(operands)]
    dtypes = [next(d for d, n in NUMPY.items() if n == o.dtype) for o in operands]
    call = f"{name}({', '.join(f'{x}[i]' for x in letters)})"
    params = [pointer(x, d) for x, d in zip(letters, dtypes, strict=True)]
    kernel = Kernel("apply", (*params, pointer("out", result, True), scalar("n")),
                    f"def apply({', '.join(letters)}, out, n, chunk):\n"
                    f"    for i in range(n):\n        out[i] = {call}\n")
    count = len(operands[0])
    arrays = {**dict(zip(letters, operands, strict=True)), "out": np.zeros(count, NUMPY[result])}
    return run_kernel(kernel, arrays, (count,), device=device, isa=isa)["out"]


def check(name: str, operands: list[Array], result: str, isa: str = "") -> None:
    """The native bits equal the plain ones; any NaN equals any NaN but in an exact operation."""
    with np.errstate(all="ignore"):
        native = apply(name, operands, result, "cpu", isa)
        plain = apply(name, operands, result, "interpret")
    if result in ("f32", "f64"):
        both = np.isnan(native) & np.isnan(plain)
        kind = np.uint32 if result == "f32" else np.uint64
        wrong = (native.view(kind) != plain.view(kind)) & ~both
    else:
        wrong = native != plain
    first = np.flatnonzero(wrong)[:3]
    told = [([o[i] for o in operands], native[i], plain[i]) for i in first]
    assert not first.size, f"{name}: (operands, native, plain) {told}"


FIRST = ("f32", "f64", "i32", "i64", "u32", "u8")
# the others' casts are in tests/test_integer_dtypes.py too
CASTS = [(a, b) if {a, b} <= {*FIRST} else pytest.param(a, b, marks=pytest.mark.conformance)
         for a, b in itertools.product(NUMPY, NUMPY)]


@pytest.mark.sliced
@pytest.mark.parametrize(("source", "target"), CASTS)
def test_cast(source: str, target: str, rng: np.random.Generator) -> None:
    check(target, [values(source, rng, 300)], target)


BITS = {8: ("i8", "u8"), 16: ("i16", "u16"), 32: ("f32", "i32", "u32"), 64: ("f64", "i64")}


@pytest.mark.parametrize("name", [p for p in PRIMITIVES if p.startswith("bitcast_")
                                  and not p.endswith("u64")])
def test_bitcast(name: str, rng: np.random.Generator) -> None:
    target = name.removeprefix("bitcast_")
    for source in BITS[int(target[1:])]:
        check(name, [values(source, rng, 50)], target)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", ["sqrt", "floor", "ceil", "rint", "trunc", "abs"])
def test_unary(name: str, dtype: str, rng: np.random.Generator) -> None:
    check(name, [values(dtype, rng, 300)], dtype)


@pytest.mark.parametrize("dtype", ["f32", "f64", "i32", "i64", "u32", "u8"])
@pytest.mark.parametrize("name", ["minimum", "maximum", "rmin", "rmax"])
def test_extremum(name: str, dtype: str, rng: np.random.Generator) -> None:
    edges = len(EDGES[dtype])
    pairs = np.array(list(itertools.product(range(edges), repeat=2)))
    data = values(dtype, rng, 0)
    check(name, [data[pairs[:, 0]], data[pairs[:, 1]]], dtype)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_fma_rounds_once(dtype: str, rng: np.random.Generator) -> None:
    a, b = values(dtype, rng, 1000), rng.permutation(values(dtype, rng, 1000))
    with np.errstate(all="ignore"):
        near = -(a * b) * (1 + rng.integers(-2, 3, len(a)).astype(a.dtype) * np.finfo(a.dtype).eps)
    check("fma", [a, b, near], dtype)
    check("fma", [a, b, rng.permutation(a)], dtype)


def test_fma_in_plain_python_is_exact(rng: np.random.Generator) -> None:
    """Beside fractions: products that cancel to their last bits, addends far away, edges of f64."""
    for number in range(6000):
        near, far = (-8, 8), (-1070, 1020)
        low, high = far if number % 4 == 0 else near
        a, b, c = (float(rng.uniform(-1, 1) * 2.0**int(e)) for e in rng.integers(low, high, 3))
        if number % 3 == 0 and math.isfinite(a * b * 4):
            c = math.nextafter(-(a * b) * 2.0**int(rng.integers(-1, 1) * 53), math.inf)
        exact = Fraction(a) * Fraction(b) + Fraction(c)
        expected = math.inf * (1 if exact > 0 else -1) if abs(exact) >= 2**1024 - 2**970 else (
            float(exact))
        assert plain.fma(np.float64(a), np.float64(b), np.float64(c)) == expected, (a, b, c)


@pytest.mark.parametrize("isa", ["", "scalar"])
def test_half_conversions_all_patterns(isa: str) -> None:
    every = np.arange(1 << 16, dtype=np.uint16)
    check("f16_to_f32", [every], "f32", isa)
    check("bf16_to_f32", [every], "f32", isa)


@pytest.mark.parametrize("isa", ["", "scalar"])
def test_to_half_rounds_to_nearest_even(isa: str, rng: np.random.Generator) -> None:
    words = rng.integers(0, 1 << 32, 4000, np.uint32)
    ties = (np.arange(1 << 16, dtype=np.uint32)[::37] << 16) | 0x8000
    data = np.concatenate([words, ties, ties + 1, ties - 1]).view(np.float32)
    data = np.concatenate([data, values("f32", rng, 500)])
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halfway = every[np.isfinite(every)].astype(np.float32) * np.float32(1 + 2.0 ** -11)
    small = data[np.isfinite(data) & (np.abs(data) < 1)] * np.float32(1e-4)
    data = np.concatenate([data, halfway, small])
    check("f32_to_bf16", [data], "u16", isa)
    finite = data[~np.isnan(data)]
    check("f32_to_f16", [finite], "u16", isa)


@pytest.mark.parametrize("isa", ["avx2", "scalar"])
def test_narrower_instruction_sets_give_the_same_bits(isa: str, rng: np.random.Generator) -> None:
    if isa == "avx2" and not on_x86():
        isa = "scalar"
    x = values("f32", rng, 500)
    for name in ("sqrt", "rint", "floor", "i32", "u8"):
        check(name, [x], {"u8": "u8", "i32": "i32"}.get(name, "f32"), isa)
    check("fma", [x, x[::-1].copy(), rng.permutation(x)], "f32", isa)


@pytest.mark.parametrize("dtype", ["i32", "i64"])
@pytest.mark.parametrize("name", ["idiv", "imod", "min", "max"])
def test_index_arithmetic(name: str, dtype: str, rng: np.random.Generator) -> None:
    a = np.abs(rng.integers(0, 1 << 30, 300)).astype(NUMPY[dtype])
    b = rng.integers(1, 1000, 300).astype(NUMPY[dtype])
    check(name, [a, b], dtype)


def test_mulhi_copysign_select(rng: np.random.Generator) -> None:
    words = values("u32", rng, 300)
    check("mulhi_u32", [words, words[::-1].copy()], "u32")
    floats = values("f32", rng, 300)
    check("copysign", [floats, rng.permutation(floats)], "f32")
    kernel = Kernel("choose", (pointer("a"), pointer("out", "f32", True), scalar("n")),
                    "def choose(a, out, n, chunk):\n    for i in range(n):\n"
                    "        out[i] = select(a[i] > f32(0.0), a[i], f32(-1.0))\n")
    got = run_kernel(kernel, {"a": floats, "out": np.zeros_like(floats)}, (len(floats),))["out"]
    assert np.array_equal(got, np.where(floats > 0, floats, np.float32(-1)), equal_nan=True)


def test_local_buffers_and_at(rng: np.random.Generator) -> None:
    kernel = Kernel("twice", (pointer("x"), pointer("out", "f32", True)), """
def fill(buffer, x):
    for i in range(16):
        buffer[i] = x[i] + x[i]

def twice(x, out, chunk):
    buffer = local_f32(16)
    fill(buffer, at(x, chunk * 16))
    target = at(out, chunk * 16)
    for i in range(16):
        target[i] = buffer[15 - i]
""")
    x = rng.standard_normal(64).astype(np.float32)
    expected = (2 * x).reshape(4, 16)[:, ::-1].ravel()
    for device in ("cpu", "interpret"):
        got = run_kernel(kernel, {"x": x, "out": np.zeros_like(x)}, (), 4, device)["out"]
        assert np.array_equal(got, expected), device


@pytest.fixture(scope="module")
def toolchain() -> Toolchain:
    return Toolchain("", {}, "")


@pytest.mark.parametrize(("call", "told"), [
    ("fma(x[0], x[0], i64(1))", "fma takes 3 operands of one type among f32 f64, got (f32, f32,"),
    ("minimum(x[0], f64(1.0))", "minimum takes 2 operands of one type"),
    ("select(x[0], x[0], x[0])", "select takes a condition and two values of one type"),
    ("sqrt(chunk)", "sqrt takes one operand of f32 f64, got (i64)"),
    ("local_f32(chunk)[0]", "must be a literal"),
    ("bitcast_f32(f64(1.0))", "bitcast_f32 takes f32/i32/u32, got (f64)"),
    ("at(x, f32(1.0))[0]", "at takes a pointer and an i64, got (f32*, f32)"),
    ("nonsense(x[0])", "nonsense"),
])
def test_wrong_operands(toolchain: Toolchain, call: str, told: str) -> None:
    text = f"def bad(x, chunk):\n    x[0] = {call}\n"
    with pytest.raises(LowerError, match=re.escape(told)):
        toolchain.compile(Kernel("bad", (pointer("x", "f32", True),), text), "bad")


def full_width(text: str, instruction: str) -> bool:
    """Whether `instruction` stands in `text` on this machine's widest registers."""
    register = {"avx512": "%zmm", "avx2": "%ymm", "scalar": "%xmm", "neon": "v"}[isa.machine_isa()]
    return any(instruction in line and register in line for line in text.splitlines())


def on_x86() -> bool:
    return isa.machine_isa() in ("avx512", "avx2")


@pytest.mark.parametrize(("fold", "instruction"), [("radd", "addps"), ("rmax", "maxps"),
                                                   ("rmin", "minps"), ("rmul", "mulps")])
def test_reductions_vectorize(toolchain: Toolchain, fold: str, instruction: str) -> None:
    kernel = Kernel("rows", (pointer("x"), pointer("out", "f32", True), scalar("n")), f"""
def rows(x, out, n, chunk):
    for i in range(chunk * 64, (chunk + 1) * 64):
        acc = f32(1.0)
        for k in range(n):
            acc = {fold}(acc, x[i * n + k])
        out[i] = acc
""")
    text = assembly(toolchain, kernel)
    expected = instruction if on_x86() else {"addps": "fadd", "maxps": "fmax", "minps": "fmin",
                                             "mulps": "fmul"}[instruction]
    assert full_width(text, expected)


def test_adam_vectorizes(toolchain: Toolchain) -> None:
    names = ("p", "m", "v", "g")
    kernel = Kernel("adam", (*(pointer(n, "f32", n != "g") for n in names), scalar("n"),
                             scalar("rate", "f64"), scalar("b1", "f64"), scalar("b2", "f64")), """
def adam(p, m, v, g, n, rate, b1, b2, chunk):
    for i in range(chunk * 4096, min((chunk + 1) * 4096, n)):
        mean = f32(b1) * m[i] + (f32(1.0) - f32(b1)) * g[i]
        square = f32(b2) * v[i] + (f32(1.0) - f32(b2)) * g[i] * g[i]
        m[i] = mean
        v[i] = square
        p[i] = p[i] - f32(rate) * mean / (sqrt(square) + f32(1e-8))
""")
    text = assembly(toolchain, kernel)
    assert full_width(text, "sqrtps" if on_x86() else "fsqrt")
    assert full_width(text, "divps" if on_x86() else "fdiv")


def test_casts_vectorize(toolchain: Toolchain) -> None:
    kernel = Kernel("cast", (pointer("x"), pointer("out", "i32", True), scalar("n")),
                    "def cast(x, out, n, chunk):\n    for i in range(n):\n"
                    "        out[i] = i32(x[i])\n")
    assert full_width(assembly(toolchain, kernel), "cvttps2dq" if on_x86() else "fcvtzs")
