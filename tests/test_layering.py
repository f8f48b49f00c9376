"""Which part may import which (docs/design/architecture.md), read from the sources with `ast`."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(path for f in ("dlc", "runtime", "models") for path in (ROOT / f).rglob("*.py"))

BASE = {"types", "errors", "env", "interrupt"}
READERS = {"text", "verify", "evaluate", "rewrite", "rounding"}
GRAPHS = BASE | {"graph", "ops"}
# What a network is written in. It stands on the graph, and no pass or backend knows of it.
LANGUAGE = {
    "augment", "nn", "optim", "init", "random", "random_gamma", "random_sites", "schedule",
    "step", "task", "task_meta", "custom", "custom_record", "custom_source", "linalg",
    "linalg_basis", "linalg_det", "linalg_norms",
    "names", "options", "scope", "source", "trace", "transform",
    "branch", "control", "control_body", "gradient_rules", "jacobian", "nesting", "vectorize",
}
FACADE = {"", "__main__", "compiler", "evaluate_function", "network", "starting",
          "training", "faults", "checks"}
# The command line: nothing imports it, and it may import every part.
TOP = {"cli"}

# Part of dlc -> the parts it may import besides itself.
MAY_IMPORT: dict[str, set[str]] = {
    **{part: set() for part in BASE},
    "program": {"types"},
    "intake": {"errors"},
    "graph": BASE | {"operators"},
    "operators": BASE,
    "ops": BASE | {"graph"},
    **dict.fromkeys(READERS, GRAPHS | READERS),
    **dict.fromkeys(LANGUAGE, GRAPHS | READERS | LANGUAGE),
    "custom_errors": GRAPHS | READERS | LANGUAGE | {"program"},
    "custom_check": GRAPHS | READERS | LANGUAGE | {"compiler"},
    "recompiles": GRAPHS,
    "passes": GRAPHS | READERS,
    "kernel": GRAPHS | READERS | {"passes", "program"},
    "codegen": GRAPHS | READERS | {"passes", "kernel", "program"},
    "runtime": {"program", "types", "env", "errors", "intake"},
    "models": {""} | LANGUAGE | {"types"},
    # converters are written in the DSL, as models are
    "onnx": {"", "intake"} | GRAPHS | READERS | LANGUAGE,
}
# Only inside a function, so that loading the lower part does not load the higher one.
LAZY = {
    ("graph", "text"): "print(graph) shows its text",
    ("operators", "graph"): "for type checkers: the operators give nodes",
    ("task", "training"): "task.train() is the facade's",
}

STANDARD = set(sys.stdlib_module_names)
OUTSIDE = {
    "dlc": {"numpy", "ml_dtypes", "networkx", "llvmlite", "rich"},
    "runtime": {"numpy", "ml_dtypes", "numba", "llvmlite", "rich", "safetensors"},
    "models": {"numpy"},
    "onnx": {"numpy", "onnx", "google"},
    "peers": {"numpy", "torch", "jax"},
}


def module_of(path: Path) -> str:
    """The dotted name under which `path` is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "dlc" else ("dlc", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(module: str) -> str:
    """The part of dlc that a module belongs to: dlc.ops.view -> ops, dlc itself -> ""."""
    return module.split(".")[1] if "." in module else ""


PARTS = {part_of(module_of(path)) for path in FILES}


def imports(tree: ast.AST, inside: bool = False) -> Iterator[tuple[str, int, bool]]:
    """(module, line, whether it is lazy) of every import of `tree`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((name, node.lineno, inside) for name in from_names(node))
        yield from imports(node, inside or is_lazy(node))


def is_lazy(node: ast.AST) -> bool:
    """Whether what stands in `node` is not run when its module is loaded."""
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def from_names(node: ast.ImportFrom) -> list[str]:
    """The modules that a `from` import reaches: `from dlc import env` reaches dlc.env."""
    assert node.level == 0, f"line {node.lineno}: imports are written in full"
    if node.module != "dlc":
        return [node.module or ""]
    return [f"dlc.{a.name}" if a.name in PARTS else "dlc" for a in node.names]


def violations(module: str, source: str) -> list[str]:
    """Every import in `source` that the layering forbids to `module`."""
    part = part_of(module)
    found = []
    for name, line, inside in imports(ast.parse(source)):
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
        return other not in ("runtime", "models") or inside
    return other == part or other in MAY_IMPORT[part] or ((part, other) in LAZY and inside)


def outside(module: str) -> set[str]:
    """The packages that are not dlc's own and that `module` may import."""
    if module.startswith("dlc.runtime.bench.peers_"):
        return OUTSIDE["peers"]
    part = part_of(module)
    return OUTSIDE[part if part in OUTSIDE else "dlc"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_layering(path: Path) -> None:
    module = module_of(path)
    known = MAY_IMPORT.keys() | FACADE | TOP
    assert part_of(module) in known, "give the new part a place in MAY_IMPORT"
    assert violations(module, path.read_text()) == []


@pytest.mark.parametrize(("module", "source"), [
    ("dlc.graph", "from dlc.ops.view import reshape"),
    ("dlc.graph", "import dlc.text"),
    ("dlc.ops.view", "from dlc import evaluate"),
    ("dlc.passes.fuse", "def f():\n    from dlc.kernel import ir"),
    ("dlc.passes.fuse", "from dlc.nn import dense"),
    ("dlc.codegen.tiles", "import numba"),
    ("dlc.codegen.tiles", "from dlc.runtime.cpu import CpuProgram"),
    ("dlc.program", "from dlc.graph import Graph"),
    ("dlc.runtime.cpu", "from dlc.graph import Graph"),
    ("dlc.runtime.cpu", "import dlc"),
    ("dlc.runtime.cpu", "if True:\n    import torch"),
    ("dlc.models.lenet", "from dlc.passes import PIPELINE"),
    ("dlc", "from dlc.runtime import load"),
    ("dlc.cli", "import jax"),
    ("dlc.compiler", "from dlc import runtime"),
    ("dlc.passes.fuse", "from dlc.cli import main"),
    ("dlc.operators", "if DEBUG:\n    from dlc.graph import Node"),
    ("dlc.runtime.bench.peers_jax", "import numba"),
])
def test_a_planted_import_is_found(module: str, source: str) -> None:
    assert len(violations(module, source)) == 1


@pytest.mark.parametrize(("module", "source"), [
    ("dlc.graph", "def __str__(self):\n    from dlc.text import print_graph"),
    ("dlc.cli.training", "from dlc.runtime import loop"),
    ("dlc.compiler", "def load():\n    from dlc import runtime"),
    ("dlc.operators", "if TYPE_CHECKING:\n    from dlc.graph import Node"),
    ("dlc.runtime.cpu", "from dlc import env\nfrom dlc.runtime.arena import Arena\nimport numba"),
    ("dlc.codegen.tiles", "import llvmlite.ir as ir\nfrom dlc.kernel.ir import Loop"),
])
def test_an_allowed_import_is_not(module: str, source: str) -> None:
    assert violations(module, source) == []


def test_tests_import_the_folders_through_dlc() -> None:
    """`import runtime` works in the repository only, and would load every module twice."""
    for path in (ROOT / "tests").rglob("*.py"):
        for name, line, _ in imports(ast.parse(path.read_text())):
            assert name.split(".")[0] not in ("runtime", "models"), f"{path}:{line} imports {name}"


def test_one_place_reads_the_text_of_a_kernel() -> None:
    """The parser: what comes after lowering works on the IR. Names of locals, tiles and of the
    prelude's functions are matched, no kernel is."""
    readers = {"ast": {"dlc/kernel/parser.py", "dlc/kernel/reading.py"},
               "re": {"dlc/kernel/names.py", "dlc/codegen/tiles.py",
                      "dlc/codegen/prelude/__init__.py", "dlc/checks/kernels/footprints.py"}}
    for module, known in readers.items():
        found = {path.relative_to(ROOT).as_posix() for folder in ("kernel", "codegen", "checks")
                 for path in (ROOT / "dlc" / folder).rglob("*.py")
                 if any(name == module for name, _, _ in imports(ast.parse(path.read_text())))}
        assert found == known
