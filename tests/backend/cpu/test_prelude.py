"""The prelude as text: signatures, straight lines, plain Python against compiled code, vectors."""

from __future__ import annotations

import ast
import builtins
import re
from pathlib import Path

import numpy as np
import pytest

from dlc.backend.cpu import prelude
from dlc.backend.cpu.prelude import PRELUDE_FUNCTIONS, TEXTS, prelude_text, read_signatures
from dlc.ir.types import DTYPES
from dlc.runtime.compile.isa import machine_isa
from dlc.runtime.compile.primitives import PRIMITIVES
from tests.backend.cpu.prelude_native import assembly, compiled, loop_kernel, plain, toolchain

DEFINITIONS = {f.name: f for f in ast.parse(prelude_text()).body if isinstance(f, ast.FunctionDef)}
BRANCHES = (ast.If, ast.IfExp, ast.For, ast.While, ast.BoolOp, ast.Try, ast.With, ast.Subscript,
            ast.ListComp, ast.Lambda)
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, 1e-40, -1e-40, 3e-39, 88.8, -87.5, -100.0, 104.5,
           1e-7, 709.9, -745.0, 3.4e38, -3.4e38, np.inf, -np.inf, np.nan, 0.25, 3.0, -7.5]


def test_every_text_of_the_folder_is_used() -> None:
    folder = Path(prelude.__file__).parent
    made = {"__init__", "widths"}
    assert sorted(TEXTS) == sorted({p.stem for p in folder.glob("*.py")} - made)


def test_signatures_are_the_definitions() -> None:
    """The signatures read with a pattern are those that Python's own parser finds."""
    assert list(PRELUDE_FUNCTIONS) == list(DEFINITIONS)
    for name, (arguments, result) in PRELUDE_FUNCTIONS.items():
        function = DEFINITIONS[name]
        annotations = tuple(ast.unparse(a.annotation) for a in function.args.args if a.annotation)
        assert arguments == annotations
        word = result if isinstance(result, str) else f"tuple[{', '.join(result)}]"
        assert function.returns is not None
        assert word == ast.unparse(function.returns)


def test_signature_of_several_results() -> None:
    text = "def pair(a: u32, b: f64) -> tuple[i32, f64]:\n    return i32(a), b\n"
    assert read_signatures(text) == {"pair": (("u32", "f64"), ("i32", "f64"))}


def test_functions_are_straight_lines_of_known_names() -> None:
    """No branch could keep a loop from vectorizing, and a text calls only what stands before."""
    known = {*PRIMITIVES, "tuple"}
    for name, function in DEFINITIONS.items():
        body = [n for statement in function.body for n in ast.walk(statement)]
        assert not [n for n in body if isinstance(n, BRANCHES)], name
        bound = {a.arg for a in function.args.args}
        bound |= {n.id for n in body if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        used = {n.id for n in body if isinstance(n, ast.Name)} - bound
        assert used <= known, f"{name} uses {used - known}"
        assert ast.get_docstring(function), name
        assert not hasattr(builtins, name) and name not in PRIMITIVES
        known.add(name)


def operands(name: str, rng: np.random.Generator, count: int) -> list[np.ndarray]:
    """Special values against each other, then random ones over many magnitudes."""
    dtypes = [DTYPES[d].numpy for d in PRELUDE_FUNCTIONS[name][0]]
    if dtypes[0].kind != "f":
        return [_integers(d, rng, count) for d in dtypes]
    grid = np.meshgrid(*[SPECIAL] * len(dtypes))
    size = 10.0 ** rng.uniform(-8, 3, (len(dtypes), count))
    spread = size * rng.choice([-1.0, 1.0], size.shape)
    with np.errstate(over="ignore"):
        return [_as_operand(np.concatenate([g.ravel(), r]), d)
                for g, r, d in zip(grid, spread, dtypes, strict=True)]


def _as_operand(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype.kind == "i":  # an exponent beside a float
        values = np.nan_to_num(values, nan=7, posinf=2**30, neginf=-(2**30)).clip(-2**31, 2**31 - 1)
    return values.astype(dtype)


def _integers(dtype: np.dtype, rng: np.random.Generator, count: int) -> np.ndarray:
    info = np.iinfo(dtype)
    edges = [v for v in (0, 1, 2, 7, 31, 32, 63, 64, -1, info.min, info.max) if v >= info.min]
    small = rng.integers(0, 70, count, dtype=dtype)
    return np.concatenate([rng.choice(np.array(edges, dtype), 40), small,
                           rng.integers(info.min, info.max, count, dtype=dtype, endpoint=True)])


WORDS = ["exp", "exp2", "expm1", "log", "log2", "log1p", "tanh", "sigmoid", "softplus", "rsqrt",
         "sin", "cos", "erf", "erfinv", "pow", "floordiv", "rem", "sign", "shl", "shr", "tan",
         "sinpi", "cospi", "asin", "acos", "atan", "atan2", "sinh", "cosh", "asinh", "acosh",
         "atanh", "log10", "cbrt", "hypot", "logaddexp", "erfc", "erfcx", "lgamma", "digamma",
         "i0e", "i1e", "popcount", "clz", "nextafter", "ldexp", "fmod"]
PUBLIC = [n for n in PRELUDE_FUNCTIONS
          if n.rsplit("_", 1)[0] in WORDS or n in ("threefry2x32", "random_bits")]


@pytest.mark.swept(4)
@pytest.mark.parametrize("name", PUBLIC)
def test_plain_python_gives_the_compiled_bits(name: str, rng: np.random.Generator) -> None:
    columns = operands(name, rng, 60)
    for got, want in zip(plain(name, *columns), compiled(name)(*columns), strict=True):
        word = f"u{got.itemsize}"
        same = (got.view(word) == want.view(word)) | ((got != got) & (want != want))
        wrong = np.flatnonzero(~same)
        rows = [(*(c[i] for c in columns), got[i], want[i]) for i in wrong[:5]]
        assert not wrong.size, f"{name}: operands, plain, compiled: {rows}"


# of the widest instruction set of a machine, in its assembly
VECTOR_REGISTER = {"avx512": "zmm", "avx2": "ymm", "neon": r"v\d+\.4s|v\d+\.2d", "scalar": "xmm"}


@pytest.mark.swept(4)
@pytest.mark.parametrize("name", [n for n in PUBLIC if n.endswith(("_f32", "_f64"))])
def test_a_loop_vectorizes(name: str) -> None:
    """The assembly computes in full vector registers and calls no function."""
    isa = machine_isa()
    if isa == "scalar":
        return  # without fma instructions fma is a call, and nothing vectorizes
    text = assembly(toolchain(), loop_kernel(name))
    lines = [line for line in text.splitlines() if re.search(VECTOR_REGISTER[isa], line)]
    work = [line for line in lines if re.search(r"madd|msub|mla|mul|div|cmp", line)]
    assert work, f"{name} compiles to scalar code"
    calls = re.findall(r"\b(?:callq?|bl)\s+(\S+)", text)
    assert not [c for c in calls if re.match(r"_?(fma|exp|log|sin|cos|tan|erf|pow|rint|trunc)", c)]


@pytest.mark.swept(4)
@pytest.mark.parametrize("name", [n for n in PUBLIC if n.endswith(("_f32", "_f64"))])
def test_bits_do_not_depend_on_the_vector_width(name: str, rng: np.random.Generator) -> None:
    """A narrower instruction set gives the same bits: fma is fma everywhere."""
    narrower = {"avx512": "avx2", "avx2": "scalar", "neon": "scalar", "scalar": "scalar"}
    columns = operands(name, rng, 300)
    wide, = compiled(name)(*columns)
    narrow, = compiled(name, narrower[machine_isa()])(*columns)
    same = (wide.view(f"u{wide.itemsize}") == narrow.view(f"u{wide.itemsize}")) | np.isnan(wide)
    assert same.all()
    np.testing.assert_array_equal(np.isnan(wide), np.isnan(narrow))
