"""Which part may import which (docs/design/architecture.md), read from the sources with `ast`."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(path for f in ("dlc", "runtime", "models") for path in (ROOT / f).rglob("*.py"))

BASE = {"errors", "env", "interrupt", "words"}
GRAPHS = BASE | {"ir", "ops", "derive"}
MEANING = GRAPHS | {"reference", "reference.text", "reference.rounding"}
# What a network is written in. No pass and no backend knows of it.
ARRAYS = GRAPHS | {"lang", "lang.array"}
LANGUAGE = ARRAYS | {"augment", "init", "linalg", "nn", "optim", "random", "task"}
PASSES = {"passes", "passes.rules", "passes.fuse", "passes.loops", "passes.schedule",
          "passes.recompute"}
BACKEND = {"backend", "backend.ir", "backend.cpu", "backend.cuda", "backend.emit", "backend.nest",
           "backend.contract", "backend.share"}
LOWERING = MEANING | PASSES | {"program", "backend.ir", "backend.cpu", "backend.emit"}
FACADE = {"", "__main__", "compiler", "definition", "evaluate_function", "network", "bagging",
          "sampling", "starting", "replay", "library",
          "task_training", "together", "independence", "inspection", "inspector", "faults",
          "padding", "checks", "checks.kernels"}
# The command line: nothing imports it, and it may import every part.
TOP = {"cli"}
RUNTIME = {"program", "ir", "env", "errors", "intake"}

# Part of dlc -> the parts it may import besides itself. A folder within a room is its own part.
MAY_IMPORT: dict[str, set[str]] = {
    **{part: set() for part in BASE},
    "words": {"errors"},
    "program": {"ir"},
    "intake": {"errors"},
    "memory": {"errors"},
    "ir": BASE,
    "ops": BASE | {"ir"},
    "derive": BASE | {"ir", "ops"},
    "reference": MEANING,
    "reference.text": GRAPHS,
    "reference.rounding": MEANING,
    "lang": ARRAYS,
    "lang.array": BASE | {"ir", "ops"},
    "random": ARRAYS,
    "augment": ARRAYS | {"random"},
    "linalg": ARRAYS,
    "init": ARRAYS | {"random"},
    "optim": ARRAYS | {"init"},
    "nn": ARRAYS | {"init", "random"},
    "task": ARRAYS | {"init", "optim"},
    "custom_errors": ARRAYS | {"program"},
    "custom_check": MEANING | ARRAYS | {"compiler"},
    "recompiles": BASE | {"ir"},
    "passes": MEANING | PASSES,
    "passes.rules": MEANING,
    "passes.fuse": MEANING,
    "passes.loops": MEANING | {"passes.rules"},
    "passes.schedule": MEANING | {"passes.fuse", "passes.loops"},
    "passes.recompute": MEANING | {"passes.fuse", "passes.loops", "passes.schedule"},
    "backend": MEANING | PASSES | BACKEND | {"program"},
    "backend.ir": {"ir", "program"},
    "backend.cpu": {"ir", "program", "backend.ir"},
    "backend.cuda": LOWERING | {"backend.contract"},
    "backend.emit": GRAPHS | {"backend.ir", "backend.cpu", "passes.schedule"},
    "backend.nest": LOWERING,
    "backend.contract": LOWERING,
    "backend.share": LOWERING,
    "runtime": RUNTIME,
    "runtime.compile": RUNTIME | {"runtime"},
    "runtime.cpu": RUNTIME | {"runtime", "runtime.compile"},
    "runtime.cuda": RUNTIME | {"runtime", "runtime.compile", "runtime.cpu"},
    "runtime.reference": RUNTIME | {"runtime", "runtime.compile", "runtime.cpu"},
    "runtime.build": RUNTIME | {"runtime", "runtime.compile", "runtime.cpu", "runtime.train"},
    "runtime.data": RUNTIME,
    "runtime.world": RUNTIME,
    "runtime.train": RUNTIME | {"runtime", "runtime.cpu", "runtime.data", "runtime.world"},
    "runtime.report": RUNTIME | {"runtime", "runtime.cpu", "runtime.data", "runtime.train"},
    "runtime.bench": RUNTIME | {"runtime", "runtime.compile", "runtime.cpu", "runtime.data",
                                "runtime.report", "runtime.train"},
    "models": {""} | LANGUAGE,
    # converters are written in the DSL, as models are
    "onnx": {"", "intake"} | MEANING | LANGUAGE,
}
# Only inside a function, so that loading the lower part does not load the higher one.
LAZY = {
    ("ir", "reference.text"): "print(graph) shows its text",
    ("task", "task_training"): "task.train() is the facade's",
    ("lang", "init"): "a parameter without a first value of its own",
    ("init", "linalg"): "orthogonal first values",
    ("init", "reference"): "first values are computed",
    ("runtime", "runtime.cpu"): "load() takes the device it is asked for",
    ("runtime", "runtime.cuda"): "load() takes the device it is asked for",
    ("runtime", "runtime.reference"): "load() takes the device it is asked for",
}

STANDARD = set(sys.stdlib_module_names)
OUTSIDE = {
    "dlc": {"numpy", "ml_dtypes", "networkx", "llvmlite", "rich"},
    "runtime": {"numpy", "ml_dtypes", "numba", "llvmlite", "rich", "safetensors", "PIL",
                "mpi4py"},
    "models": {"numpy"},
    "onnx": {"numpy", "onnx", "google"},
    "peers": {"numpy", "torch", "jax", "onnxruntime"},
}


def module_of(path: Path) -> str:
    """The dotted name under which `path` is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "dlc" else ("dlc", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(module: str) -> str:
    """The part of dlc that a module belongs to: dlc.ops.view -> ops, dlc.passes.fuse.grouping ->
    passes.fuse, dlc itself -> ""."""
    inner = module
    while inner not in ROOMS and "." in inner:
        inner = inner.rpartition(".")[0]
    names = inner.split(".")[1:3] or module.split(".")[1:2]
    return ".".join(names)


MODULES = {module_of(path) for path in FILES}
ROOMS = {module_of(path) for path in FILES if path.name == "__init__.py"} - {"dlc"}


def imports(tree: ast.AST, inside: bool = False) -> Iterator[tuple[str, int, bool]]:
    """(module, line, whether it is lazy) of every import of `tree`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((name, node.lineno, inside) for name in from_names(node))
        yield from imports(node, inside or is_lazy(node))


@cache
def imported(source: str) -> tuple[tuple[str, int, bool], ...]:
    """What `imports` finds in a text; several tests ask it of every file."""
    return tuple(imports(ast.parse(source)))


def is_lazy(node: ast.AST) -> bool:
    """Whether what stands in `node` is not run when its module is loaded."""
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def from_names(node: ast.ImportFrom) -> list[str]:
    """The modules that a `from` import reaches: `from dlc import env` reaches dlc.env."""
    assert node.level == 0, f"line {node.lineno}: imports are written in full"
    package = node.module or ""
    named = (f"{package}.{a.name}" for a in node.names)
    return [name if name in MODULES else package for name in named]


def violations(module: str, source: str) -> list[str]:
    """Every import in `source` that the layering forbids to `module`."""
    part = part_of(module)
    found = []
    for name, line, inside in imported(source):
        top = name.split(".")[0]
        if top == "dlc":
            allowed = may_import(part, part_of(name), inside)
        else:
            allowed = top in STANDARD | outside(module)
        if not allowed:
            found.append(f"{module}:{line} imports {name}")
    return found


def may_import(part: str, other: str, inside: bool) -> bool:
    """Whether `part` may import `other`. The facade reaches everything, the runtime only lazily."""
    if part in TOP:
        return True
    if other in TOP:
        return part == "__main__"
    if part in FACADE:
        return other.split(".")[0] not in ("runtime", "models") or inside
    return other == part or other in MAY_IMPORT[part] or ((part, other) in LAZY and inside)


def outside(module: str) -> set[str]:
    """The packages that are not dlc's own and that `module` may import."""
    if module.startswith("dlc.runtime.bench.peers_"):
        return OUTSIDE["peers"]
    part = part_of(module).split(".")[0]
    return OUTSIDE[part if part in OUTSIDE else "dlc"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_layering(path: Path) -> None:
    module = module_of(path)
    known = MAY_IMPORT.keys() | FACADE | TOP
    assert part_of(module) in known, "give the new part a place in MAY_IMPORT"
    assert violations(module, path.read_text()) == []


@pytest.mark.parametrize(("module", "source"), [
    ("dlc.ir.graph", "from dlc.ops.view import reshape"),
    ("dlc.ir.graph", "import dlc.reference.text"),
    ("dlc.ops.view", "from dlc.reference import evaluate"),
    ("dlc.ops.view", "def f():\n    from dlc.lang.array import rearrange"),
    ("dlc.derive.autodiff", "from dlc.lang import trace"),
    ("dlc.lang.trace", "from dlc.nn import dense"),
    ("dlc.passes.fuse.fuse.fuse", "def f():\n    from dlc.backend import ir"),
    ("dlc.passes.fuse.fuse.fuse", "from dlc.passes import loops"),
    ("dlc.passes.fuse.fuse.fuse", "from dlc.nn import dense"),
    ("dlc.backend.ir.index", "from dlc.backend.emit import emitter"),
    ("dlc.backend.cpu.tiles", "import numba"),
    ("dlc.backend.cpu.tiles", "from dlc.runtime.cpu.program import CpuProgram"),
    ("dlc.program", "from dlc.ops import view"),
    ("dlc.runtime.cpu.program", "from dlc.passes import PIPELINE"),
    ("dlc.runtime.cpu.program", "import dlc"),
    ("dlc.runtime.cpu.program", "if True:\n    import torch"),
    ("dlc.runtime.compile.lower", "from dlc.runtime.train import loop"),
    ("dlc.models.lenet", "from dlc.passes import PIPELINE"),
    ("dlc", "from dlc.runtime import load"),
    ("dlc.cli", "import jax"),
    ("dlc.compiler", "from dlc import runtime"),
    ("dlc.passes.fuse.fuse.fuse", "from dlc.cli import main"),
    ("dlc.ir.operators", "if DEBUG:\n    from dlc.ops.view import reshape"),
    ("dlc.runtime.bench.peers_jax", "import numba"),
])
def test_a_planted_import_is_found(module: str, source: str) -> None:
    assert len(violations(module, source)) == 1


@pytest.mark.parametrize(("module", "source"), [
    ("dlc.ir.graph", "def __str__(self):\n    from dlc.reference.text import print_graph"),
    ("dlc.cli.training", "from dlc.runtime.train import loop"),
    ("dlc.compiler", "def load():\n    from dlc import runtime"),
    ("dlc.ir.operators", "if TYPE_CHECKING:\n    from dlc.ir.graph import Node"),
    ("dlc.runtime.cpu.program", "from dlc import env\nfrom dlc.runtime.cpu import arena"),
    ("dlc.runtime.compile.numba_route", "import numba"),
    ("dlc.backend.cpu.tiles", "import llvmlite.ir as ir\nfrom dlc.backend.ir import For"),
])
def test_an_allowed_import_is_not(module: str, source: str) -> None:
    assert violations(module, source) == []


def test_no_circle_of_parts() -> None:
    """Parts that are loaded with another stand in one order. The facade is left out: converters
    and models are written with it, as users write."""
    below: dict[str, set[str]] = {}
    for path in FILES:
        part = part_of(module_of(path))
        found = {part_of(name) for name, _, inside in imported(path.read_text())
                 if name.split(".")[0] == "dlc" and not inside}
        below.setdefault(part, set()).update(found - {part, ""})
    assert next(iter(TopologicalSorter(below).static_order())) in BASE


def test_tests_import_the_folders_through_dlc() -> None:
    """`import runtime` works in the repository only, and would load every module twice."""
    for path in (ROOT / "tests").rglob("*.py"):
        for name, line, _ in imported(path.read_text()):
            assert name.split(".")[0] not in ("runtime", "models"), f"{path}:{line} imports {name}"


def test_one_place_reads_the_text_of_a_kernel() -> None:
    """The parser: what comes after lowering works on the IR. Names of locals, tiles and of the
    prelude's functions are matched, no kernel is."""
    readers = {"ast": {"dlc/backend/ir/parser.py", "dlc/backend/ir/reading.py"},
               "re": {"dlc/backend/ir/names.py", "dlc/backend/cpu/tiles.py",
                      "dlc/backend/cpu/prelude/__init__.py", "dlc/checks/kernels/footprints.py"}}
    for module, known in readers.items():
        found = {path.relative_to(ROOT).as_posix() for folder in ("backend", "checks")
                 for path in (ROOT / "dlc" / folder).rglob("*.py")
                 if any(name == module for name, _, _ in imported(path.read_text()))}
        assert found == known
