"""The front end of kernel texts gives what Numba and plain Python give, and takes all of dlc's own
texts: Numba is for users' functions alone."""

from __future__ import annotations

import ast
import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from dlc.backend.cpu.prelude import PRELUDE_FUNCTIONS, prelude_text
from dlc.program import Kernel, Parameter
from dlc.runtime.compile.frontend import Scope, functions_of
from dlc.runtime.compile.link import Linked
from dlc.runtime.compile.lower import LowerError, Toolchain
from dlc.runtime.compile.operators import OutsideError
from dlc.runtime.compile.primitives import CONSTANTS, PRIMITIVES
from dlc.runtime.compile.slots import slots_of

WHOLE, REAL = "stuvw", "abcd"
PARAMETERS = (Parameter("x", "f32", "pointer"), Parameter("k", "i32", "pointer"),
              Parameter("out", "f64", "pointer", True), Parameter("n", "i64", "scalar"))

HELPERS = '''"""Functions that others call."""

def both(a, s):
    if s > 40:
        return a * f32(0.5), s - 40
    return a, s + 1

def powers(s):
    found = 1
    while found < s:
        found = found + found
        if found > 500:
            break
    return found
'''


class Drawn:
    """A random function in the dialect: values stay small, so that plain Python does not differ."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.loops = 0

    def text(self) -> str:
        lines = ["def drawn(x, k, out, n, chunk):", '    """Random."""',
                 "    room = local_f32(8)", "    for j in range(8):", "        room[j] = x[j]",
                 *(f"    {v} = n + {i}" for i, v in enumerate(WHOLE)),
                 *(f"    {v} = f32({i} - 1.5)" for i, v in enumerate(REAL)),
                 *self.suite(1), *self.suite(1),
                 *(f"    out[{i}] = {v}" for i, v in enumerate([*WHOLE, *REAL])),
                 "    out[9] = room[imod(s, 8)]"]
        return HELPERS + "\n" + "\n".join(lines) + "\n"

    def any(self, names: str) -> str:
        return str(self.rng.choice(list(names)))

    def whole(self) -> str:
        a, b, c = (self.any(WHOLE) for _ in range(3))
        return str(self.rng.choice([
            f"{a} + {b} * 3", f"{a} * {b} - {c}", f"({a} ^ {b}) | 5", f"{a} << 2 >> 1",
            f"~{a} + 300", f"i64(u8({a} * 7))", f"i64(i32({a}) - i32({b}))",
            f"i64(k[imod({a}, 8)])",
            f"min({a}, {b}) + max({b}, {c})", f"{a} if {b} < {c} <= 90 else powers({a})",
            f"i64(u32({a}) >> 1)", f"idiv({a}, 3) + imod({b}, 5)", f"-{a} + 200"]))

    def real(self) -> str:
        a, b, s = self.any(REAL), self.any(REAL), self.any(WHOLE)
        return str(self.rng.choice([
            f"{a} * f32(0.25) + {b}", f"-{a}", f"x[imod({s}, 8)] - {b}", f"fma({a}, f32(0.5), {b})",
            f"select({a} < {b}, {a}, f32({s}))",
            f"x[{s} - 3] if {s} >= 3 and {s} < 11 else f32(0.0)",
            f"room[imod({s}, 8)] / f32(3)", f"f32(f64({a}) * 0.5 + {s})", f"maximum({a}, {b})",
            f"sqrt(abs({a}))", f"f32({s}) / f32(7)"]))

    def condition(self) -> str:
        s, t, a = self.any(WHOLE), self.any(WHOLE), self.any(REAL)
        return str(self.rng.choice([
            f"{s} < {t}", f"{s} != 7 and {t} > {s}", f"{a} <= f32(1.0) or {s} == {t}",
            f"not {a} < f32(0.5)", f"{s} > 3 and x[imod({s}, 8)] > f32(0.0)"]))

    def suite(self, depth: int) -> Iterator[str]:
        pad = "    " * depth
        for _ in range(int(self.rng.integers(2, 5))):
            kind = int(self.rng.integers(12)) if depth < 3 else int(self.rng.integers(7))
            v, w, a = self.any(WHOLE), self.any(WHOLE), self.any(REAL)
            if kind < 3:
                yield f"{pad}{v} = ({self.whole()}) & 127"
            elif kind < 5:
                yield f"{pad}{a} = minimum({self.real()}, f32(1000.0))"
            elif kind == 5:
                yield f"{pad}{a}, {v} = both({a}, {v})"
            elif kind == 6:
                yield f"{pad}room[imod({v}, 8)] += {a}"
            elif kind == 7:
                yield f"{pad}{v}, {w} = {w}, {v}" if v != w else f"{pad}{v} += 1"
            elif kind == 8:
                yield f"{pad}if {self.condition()}:"
                yield from self.suite(depth + 1)
                if self.rng.random() < 0.5:
                    yield f"{pad}else:"
                    yield from self.suite(depth + 1)
            else:
                yield from self.loop(depth, kind)

    def loop(self, depth: int, kind: int) -> Iterator[str]:
        pad, self.loops = "    " * depth, self.loops + 1
        i, v = f"i{self.loops}", self.any(WHOLE)
        if kind < 11:
            bounds = self.rng.choice(["imod(s, 6)", f"2, imod({v}, 9)", "7, 0, -2", "n, n + 9, 3"])
            yield f"{pad}for {i} in range({bounds}):"
            yield f"{pad}    {v} = ({v} + {i}) & 63"
        else:
            yield f"{pad}{i} = 0"
            yield f"{pad}while {i} < 5 and {v} < 100:"
            yield f"{pad}    {i} += 1"
        if self.rng.random() < 0.4:
            yield f"{pad}    if {self.condition()}:"
            yield f"{pad}        {self.rng.choice(['break', 'continue'])}"
        yield from self.suite(depth + 1)


def kernel(seed: int) -> Kernel:
    return Kernel("drawn", PARAMETERS, Drawn(seed).text())


class ByNumba(Toolchain):
    """A toolchain that leaves every text to Numba."""

    def lowered(self, kernel: Kernel, symbol: str) -> Any:
        raise OutsideError("all of it")


def native(toolchain: Toolchain, kernels: dict[str, Kernel]) -> Callable[..., None]:
    linked = Linked({name: toolchain.compile(k, name) for name, k in kernels.items()})

    def call(name: str, x: Any, k: Any, out: Any, n: int) -> None:
        slots = np.array([x.ctypes.data, k.ctypes.data, out.ctypes.data, n], np.int64)
        entry = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(linked.addresses[name])
        entry(slots.ctypes.data, 0)

    return call


def plain(kernel: Kernel) -> Callable[..., None]:
    names: dict[str, Any] = {**CONSTANTS, **{p.name: p.plain for p in PRIMITIVES.values()}}
    exec(kernel.text, names)
    found: Callable[..., None] = names[kernel.name]
    return found


def data(seed: int) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=8).astype(np.float32), rng.integers(-50, 50, 8).astype(np.int32),
            np.zeros(10))


SEEDS, NUMBAS = range(24), 6


def test_random_functions_are_what_plain_python_and_numba_compute() -> None:
    kernels = {f"drawn{seed}": kernel(seed) for seed in SEEDS}
    ours = native(Toolchain("", {}), kernels)
    theirs = native(ByNumba("", {}), dict(list(kernels.items())[:NUMBAS]))
    for seed in SEEDS:
        for n in (1, 6):
            name, (x, k, out) = f"drawn{seed}", data(seed)
            found, twin = out.copy(), out.copy()
            with np.errstate(all="ignore"):
                plain(kernels[name])(x, k, out, n, 0)
            ours(name, x, k, found, n)
            np.testing.assert_array_equal(found, out, err_msg=kernels[name].text)
            if seed < NUMBAS:
                theirs(name, x, k, twin, n)
                np.testing.assert_array_equal(twin, out, err_msg=kernels[name].text)


def test_the_functions_reach_what_the_dialect_has() -> None:
    """Among the draws stands every kind of statement and expression that the walk knows."""
    met = {type(n).__name__ for seed in SEEDS for n in ast.walk(ast.parse(kernel(seed).text))}
    assert {"While", "For", "If", "Break", "Continue", "AugAssign", "IfExp", "BoolOp", "Tuple",
            "UnaryOp", "Not", "Invert", "Subscript", "Return", "LShift", "RShift"} <= met


def scope() -> Scope:
    return Scope(functions_of(prelude_text()), PRIMITIVES, {}, has_f16=True)


def test_the_prelude_is_in_the_dialect() -> None:
    within = scope()
    for name, (arguments, result) in PRELUDE_FUNCTIONS.items():
        assert within.function(name, arguments).result == result, name


@pytest.mark.parametrize(("body", "slots"), [
    ("a = 1\na = a + 1\nb = a", ""),
    ("a = u64(1)\nfor i in range(3):\n    b = a\na = 2.0\nb = a", ""),
    ("a = 1\nfor i in range(3):\n    a = a + i", "a"),
    ("if n < 3:\n    a = 1\nelse:\n    a = 2\nb = a", "a"),
    ("for i in range(3):\n    a = i\n    a = a * a\n    b = a\nfor i in range(4):\n    b = i", ""),
    ("for i in range(3):\n    b = i\nc = b", "b"),
    ("a = 0\nwhile a < 3:\n    a += 1", "a"),
    ("a = 0\nfor i in range(3):\n    b = a\n    for j in range(2):\n        a = j\n    a = 1", "a"),
    ("a = 0\nfor i in range(3):\n    a = 1\n    for j in range(2):\n        b = a", ""),
    ("n = n + 1\nb = n", ""), ("while n < 3:\n    n = n + 1", "n"),
    ("a, b = 1, 2\na, b = b, a\nc = a", ""),
])
def test_names_that_need_a_slot(body: str, slots: str) -> None:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    (function,) = functions_of(f"def f(n):\n{lines}").values()
    assert slots_of(function) == set(slots)


@pytest.mark.parametrize(("line", "told"), [
    ("out[0] = n ** 2", "Pow"), ("out[0] = math.exp(1.0)", "form of a call"),
    ("out[0] = f32(1.0) if n else f32(2.0)", "i64 as a condition"),
    ("out[0] = n if n < 3 else f64(1.0)", "i64 or f64"), ("k[0] = 1.5", "f64 as i32"),
    ("for i in range(0, 9, n):\n        pass", "a step"),
    ("out[0] = drawn(x, k, out, n, chunk)", "itself"),
    ("out[1.5] = 3.0", r"f64\*\[f64\]"), ("out[0] = unknown", "the name unknown"),
])
def test_what_is_outside_is_named(line: str, told: str) -> None:
    text = f"def drawn(x, k, out, n, chunk):\n    {line}\n"
    with pytest.raises(OutsideError, match=told):
        Toolchain("", {}).lowered(Kernel("drawn", PARAMETERS, text), "drawn")


def test_functions_beside_a_kernel_may_be_numbas() -> None:
    """And only they: a kernel alone is dlc's own, and what is wrong with it is said."""
    body = "    for i in range(8):\n        out[i] = square(x[i])\n"
    beside = "def square(a):\n    return a ** 2\n\n"
    text = f"{beside}def drawn(x, k, out, n, chunk):\n{body}"
    call = native(Toolchain("", {}), {"drawn": Kernel("drawn", PARAMETERS, text)})
    x, k, out = data(1)
    call("drawn", x, k, out, 1)
    np.testing.assert_array_equal(out[:8], x ** 2)
    with pytest.raises(LowerError, match=r"No implementation|unknown"):
        wrong = Kernel("drawn", PARAMETERS, text.replace("a ** 2", "unknown(a)"))
        Toolchain("", {}).compile(wrong, "drawn")
    own = text.removeprefix(beside).replace("square(x[i])", "x[i] ** 2")
    alone = Kernel("drawn", PARAMETERS, own)
    with pytest.raises(LowerError, match=r"drawn, line 3, `out\[i\] = x\[i\] \*\* 2`: Pow"):
        Toolchain("", {}).compile(alone, "drawn")


@pytest.mark.parametrize("first", [False, True])
def test_functions_that_may_raise_share_nothing_with_those_that_may_not(first: bool) -> None:
    """Numba keeps what it compiles for a power of integers, which raises: as a line, or not."""
    beside = "def powered(a, n):\n    return a[n] ** n\n\n"
    head = f"{beside}def drawn(x, k, out, n, chunk):\n    out[0] = powered("
    raising = Kernel("drawn", PARAMETERS, f"{head}const_view_i32(k, 8), n)\n", raises=True)
    plain = Kernel("drawn", PARAMETERS, f"{head}k, n)\n")
    toolchain = Toolchain("", {})
    for kernel in (raising, plain, raising) if first else (plain, raising):
        if kernel is plain:
            with pytest.raises(LowerError, match="a kernel may not raise"):
                toolchain.compile(kernel, "drawn")
            continue
        x, k, out = data(1)
        native(toolchain, {"drawn": kernel})("drawn", x, k, out, 2)
        assert out[0] == k[2] ** 2
