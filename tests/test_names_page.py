"""docs/names.md: every public name, what it does, and its counterparts in PyTorch, NumPy and JAX.

The page is written from the code's docstrings and tests/counterparts.txt, which has a row for each
name; `--update-golden` writes it anew.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import augment, init, linalg, nn, onnx, optim, random
from dlc.ir.types import DType
from tests.documents import ROOT, replaced

PAGE = ROOT / "docs" / "names.md"
TABLE = ROOT / "tests" / "counterparts.txt"
MODULES = {"dlc": dlc, "nn": nn, "optim": optim, "random": random, "linalg": linalg, "init": init,
           "augment": augment, "onnx": onnx}
LIBRARIES = {"torch": "torch", "F": "torch.nn.functional", "jax": "jax", "jnp": "jax.numpy",
             "lax": "jax.lax", "jsp": "jax.scipy"}
# parts of the libraries that an import of the whole does not load
LOADED = ("torch.fx", "torch.library", "torch.onnx", "torch.utils.checkpoint", "jax.extend.core",
          "jax.ffi", "jax.image", "jax.nn.initializers", "jax.ops", "jax.scipy.linalg",
          "jax.scipy.ndimage", "jax.scipy.special", "jax.scipy.stats", "jax.stages")
Row = tuple[str, list[str], list[str]]


def sections() -> dict[str, list[Row]]:
    """The rows of counterparts.txt under each heading."""
    found: dict[str, list[Row]] = {}
    for line in TABLE.read_text().splitlines():
        if line.startswith("# "):
            found[line[2:]] = []
        elif line and not line.startswith("##"):
            name, torch, numpy = (part.strip() for part in line.split("|"))
            list(found.values())[-1].append((name, words(torch), words(numpy)))
    return found


def words(cell: str) -> list[str]:
    return [] if cell == "-" else cell.split(", ")


def rows() -> Iterator[Row]:
    for section in sections().values():
        yield from section


def summary(value: Any) -> str:
    """The first sentence of a docstring."""
    if isinstance(value, DType):
        return f"the element type {value.name}"
    text = " ".join((inspect.getdoc(value) or "").partition("\n\n")[0].split())
    sentence = re.match(r".*?[^.]\.(?= [A-Z`(]|$)", text)
    return (sentence.group() if sentence else text).rstrip(".").replace("|", "\\|")


def attribute(roots: dict[str, Any], name: str) -> Any:
    root, *path = name.split(".")
    value = roots[root]
    for word in path:
        value = getattr(value, word)
    return value


def page() -> str:
    """The generated part of docs/names.md."""
    parts = []
    for heading, section in sections().items():
        lines = [f"## {heading.capitalize().replace('onnx', 'ONNX')}", "",
                 "| dlc | PyTorch | NumPy or JAX | meaning |", "|---|---|---|---|"]
        for name, *others in section:
            cells = [f"`{name}`", *(", ".join(f"`{word}`" for word in cell) for cell in others),
                     summary(attribute(dict(MODULES), name))]
            lines.append("|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|")
        parts.append("\n".join(lines))
    methods = [name for name in dir(dlc.Node) if not name.startswith("_")]
    return "\n\n".join([*parts, "## Methods and attributes of a node",
                        " ".join(f"`{name}`" for name in methods)])


def test_every_public_name_is_on_the_page(request: pytest.FixtureRequest) -> None:
    public = {f"{short}.{name}" for short, module in MODULES.items() for name in module.__all__}
    listed = [name for name, *_ in rows()]
    assert sorted(listed) == sorted(public), "tests/counterparts.txt has a row for each name"
    text = replaced(PAGE.read_text(), "names", page())
    if request.config.getoption("--update-golden"):
        PAGE.write_text(text)
    assert PAGE.read_text() == text, "write the page anew: pytest tests --update-golden"


def test_every_name_says_what_it_does() -> None:
    assert not [name for name, *_ in rows() if not summary(attribute(dict(MODULES), name))]


def test_no_module_hides_a_public_name() -> None:
    """A module of dlc that is imported later becomes an attribute of dlc, over a function of its
    name; one that `import dlc` loads itself does not, as its functions are bound after it."""
    loaded = "import sys, dlc; print(*(m[4:] for m in sys.modules if m.startswith('dlc.')))"
    done = subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, check=True,
                          capture_output=True, text=True)
    modules = {module.name for module in pkgutil.iter_modules(dlc.__path__)}
    functions = {name for name in dlc.__all__ if not inspect.ismodule(getattr(dlc, name))}
    assert modules & functions <= set(done.stdout.split())


def test_names_of_numpy_exist() -> None:
    named = [word for _, _, cell in rows() for word in cell if word.startswith("np.")]
    assert len(named) > 150
    for word in named:
        assert attribute({"np": np}, word) is not None


@pytest.mark.conformance
def test_names_of_pytorch_and_jax_exist() -> None:
    for name in LOADED:
        importlib.import_module(name)
    libraries: dict[str, ModuleType] = {
        short: importlib.import_module(name) for short, name in LIBRARIES.items()}
    named = [word for _, *cells in rows() for cell in cells for word in cell
             if not word.startswith("np.")]
    assert len(named) > 300
    for word in named:
        assert attribute({**libraries}, word) is not None
