"""docs/names.md: every public name, what it does, and its counterparts in PyTorch, NumPy and JAX.

The page is written from the code's docstrings and the tables in dlc/words, whose counterparts.txt
has a row for each name; `--update-golden` writes it anew.
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
from dlc.words import tables
from tests.documents import ROOT, replaced

PAGE = ROOT / "docs" / "names.md"
MODULES = {"dlc": dlc, "nn": nn, "optim": optim, "random": random, "linalg": linalg, "init": init,
           "augment": augment, "onnx": onnx}
LIBRARIES = {"torch": "torch", "F": "torch.nn.functional", "jax": "jax", "jnp": "jax.numpy",
             "lax": "jax.lax", "jsp": "jax.scipy"}
# parts of the libraries that an import of the whole does not load
LOADED = ("torch.fx", "torch.library", "torch.onnx", "torch.utils.checkpoint", "jax.extend.core",
          "jax.ffi", "jax.image", "jax.nn.initializers", "jax.ops", "jax.scipy.linalg",
          "jax.scipy.ndimage", "jax.scipy.special", "jax.scipy.stats", "jax.stages")
Row = tuple[str, list[str], list[str]]


def rows() -> Iterator[Row]:
    for section in tables.counterparts().values():
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
    for heading, section in tables.counterparts().items():
        lines = [f"## {heading.capitalize().replace('onnx', 'ONNX')}", "",
                 "| dlc | PyTorch | NumPy or JAX | meaning |", "|---|---|---|---|"]
        for name, *others in section:
            cells = [f"`{name}`", *(", ".join(f"`{word}`" for word in cell) for cell in others),
                     summary(attribute(dict(MODULES), name))]
            lines.append("|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|")
        parts.append("\n".join(lines))
    methods = [name for name in dir(dlc.Node) if not name.startswith("_")]
    return "\n\n".join([*parts, *idioms(), "## Methods and attributes of a node",
                        " ".join(f"`{name}`" for name in methods)])


def idioms() -> Iterator[str]:
    """What other libraries do another way, as tables; each is also an error at the user's line."""
    for heading, listed in tables.listed().items():
        lines = [f"## In other libraries' words: {heading}", "", "| written | whose | in dlc | |",
                 "|---|---|---|---|"]
        for i in listed:
            why = i.why.replace("|", "\\|")
            lines.append(f"| `{i.written}` | {i.library} | `{i.line}` | {why} |")
        yield "\n".join(lines)
    lines = ["## In other libraries' words: arguments", "", "| function | written | in dlc | |",
             "|---|---|---|---|"]
    for a in tables.arguments():
        where = "any" if a.function == "*" else f"`{a.function}`"
        own = ", ".join(f"`{s}=`" for s in a.said)
        lines.append(f"| {where} | `{a.written}=` | {own} | {a.why} |")
    yield "\n".join(lines)


def test_every_public_name_is_on_the_page(request: pytest.FixtureRequest) -> None:
    public = {f"{short}.{name}" for short, module in MODULES.items() for name in module.__all__}
    listed = [name for name, *_ in rows()]
    assert sorted(listed) == sorted(public), "dlc/words/counterparts.txt has a row for each name"
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
