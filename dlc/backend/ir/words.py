"""The tokens of a kernel's text, which tell its own names and numbers from everything else.

Kernels that differ only in names are shared, and so are those that differ in some numbers, which
become arguments (backend/share/parametrize.py). Both compare tokens, never text.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

LARGEST = 2**62  # beyond, a number stays where it is: the arguments of a kernel are i64 and f64


@dataclass(frozen=True)
class Name:
    """A parameter or a local of the kernel."""

    word: str


@dataclass(frozen=True)
class Numeral:
    """A number that may become an argument of the kernel. `length`: it is how often an inner loop
    runs, by which LLVM chooses vectors and unrolling."""

    value: int | float
    length: bool = False

    @property
    def word(self) -> str:
        return repr(self.value)


Word: TypeAlias = str | Name | Numeral


def joined(words: Iterable[Word]) -> str:
    """The text that the words make."""
    return "".join(w if isinstance(w, str) else w.word for w in words)


def numeral(value: int | float, length: bool = False) -> list[Word]:
    """A number with its sign."""
    size = abs(value)
    word: Word = Numeral(size, length) if size < LARGEST else repr(size)
    return ["-", word] if value < 0 or repr(value).startswith("-") else [word]


def separated(parts: Iterable[list[Word]], between: str = ", ") -> list[Word]:
    """The parts one after the other."""
    found: list[Word] = []
    for part in parts:
        found += [between, *part] if found else part
    return found
