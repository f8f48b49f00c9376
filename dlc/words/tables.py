"""The tables of this folder, read when an error first needs them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

HERE = Path(__file__).parent
# Where a counterpart's name ends up when somebody writes it in dlc: torch.nn.Linear as nn.Linear.
# The longest beginning that fits holds.
WRITTEN = {
    "torch.Tensor.": "x.", "np.ndarray.": "x.", "torch.nn.functional.": "nn.", "F.": "nn.",
    "torch.nn.init.": "init.", "torch.nn.utils.": "optim.", "torch.nn.Module.": "net.",
    "torch.nn.": "nn.", "jax.nn.": "nn.", "torch.optim.lr_scheduler.": "optim.",
    "torch.optim.swa_utils.": "optim.", "torch.optim.": "optim.", "torch.distributions.": "random.",
    "torch.linalg.": "linalg.", "jsp.linalg.": "linalg.", "np.linalg.": "linalg.",
    "jax.random.": "random.", "torch.": "dlc.", "np.": "dlc.", "jnp.": "dlc.", "lax.": "dlc.",
    "jax.": "dlc.", "jsp.": "dlc."}
LIBRARIES = {"torch": "PyTorch", "F": "PyTorch", "np": "NumPy", "jnp": "JAX", "lax": "JAX",
             "jax": "JAX", "jsp": "JAX"}


@dataclass(frozen=True)
class Idiom:
    """`written` is what users of `library` write, `said` dlc's word ("" where there is none),
    `line` a line that works, `why` what else is to know."""

    written: str
    library: str
    said: str
    line: str = ""
    why: str = ""


@dataclass(frozen=True)
class Argument:
    """`written` is an argument of another library's; `said` are dlc's ("" where there is none)."""

    function: str
    written: str
    said: tuple[str, ...]
    why: str = ""


def parts(name: str) -> dict[str, list[list[str]]]:
    """The rows of a table, as cells, under its headings."""
    found: dict[str, list[list[str]]] = {}
    for line in (HERE / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            found[line[2:]] = []
        elif line and not line.startswith("##"):
            list(found.values())[-1].append([cell.strip() for cell in line.split(" | ")])
    return found


def several(cell: str) -> list[str]:
    """The words of a cell; none for `-`."""
    return [] if cell == "-" else cell.split(", ")


@lru_cache(maxsize=1)
def counterparts() -> dict[str, list[tuple[str, list[str], list[str]]]]:
    """(dlc's name, PyTorch's, NumPy's or JAX's) under each heading of counterparts.txt."""
    return {heading: [(name, several(torch), several(numpy)) for name, torch, numpy in rows]
            for heading, rows in parts("counterparts.txt").items()}


@lru_cache(maxsize=1)
def listed() -> dict[str, list[Idiom]]:
    """The rows of idioms.txt under their headings."""
    return {heading: [Idiom(row[0], row[1], "".join(several(row[2])), *row[3:]) for row in rows]
            for heading, rows in parts("idioms.txt").items()}


@lru_cache(maxsize=1)
def idioms() -> dict[str, Idiom]:
    """What is written -> its row: of idioms.txt, else as counterparts.txt has it."""
    found: dict[str, Idiom] = {}
    for name, *others in (row for rows in counterparts().values() for row in rows):
        for word in (word for cell in others for word in cell):
            written = as_written(word)
            found.setdefault(written, Idiom(written, LIBRARIES[word.partition(".")[0]], name))
    return found | {i.written.removesuffix("()"): i for rows in listed().values() for i in rows}


def as_written(word: str) -> str:
    """How a user of dlc would write another library's name: torch.nn.Linear as nn.Linear."""
    start = max((s for s in WRITTEN if word.startswith(s)), key=len)
    return WRITTEN[start] + word.rpartition(".")[2]


@lru_cache(maxsize=1)
def arguments() -> tuple[Argument, ...]:
    return tuple(Argument(row[0], row[1], tuple(several(row[2])), "".join(row[3:]))
                 for row in parts("calls.txt")["arguments"])


@lru_cache(maxsize=1)
def orders() -> dict[str, list[str]]:
    """dlc's function -> the arguments of PyTorch's, in order."""
    return {name: several(cell) for name, cell in parts("calls.txt")["orders"]}
