"""One kernel for many sizes: kernels that differ only in numbers become one with arguments.

    def k(x, y, chunk):                                 def k(x, y, n0, chunk):
        for i in range(chunk, 784): y[i] = -x[i]   ->       for i in range(chunk, n0): y[i] = -x[i]
    (and the same with 512)                             called with n0 = 784 and n0 = 512

Numbers in which all kernels agree stay in the text; so do divisors, steps and stack sizes, whose
value the generated code is made for. Kernels are compared by their words (dlc/backend/ir/words.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

from dlc.backend.ir import Function, block_of
from dlc.backend.ir.printer import body_words, heading
from dlc.backend.ir.walks import functions_of, tiles_of
from dlc.backend.ir.words import Name, Numeral, Word, joined
from dlc.program import Kernel, Parameter

MOST = 12  # scalars a shared kernel may take: beyond, they are not the same program
Key: TypeAlias = tuple[object, ...]


@dataclass(frozen=True)
class Use:
    """One use of a kernel: its index among the distinct kernels, and its extra scalar arguments."""

    kernel: int
    scalars: tuple[int | float, ...]


@dataclass(frozen=True, eq=False)
class Form:
    """A kernel and the words of its statements, which say some of its numbers as arguments."""

    function: Function
    words: tuple[Word, ...]

    @cached_property
    def numbers(self) -> tuple[Numeral, ...]:
        """Its numbers that may become arguments, in order."""
        return tuple(w for w in self.words if isinstance(w, Numeral))

    @cached_property
    def tiles(self) -> tuple[str, ...]:
        return tiles_of(self.function.body)

    @property
    def fixed(self) -> tuple[int | float, ...]:
        """What stays a literal within one entry: on tiles everything, else the lengths of inner
        loops, by which LLVM chooses vectors and unrolling (14 pixels are not a vector of 16)."""
        return tuple(n.value for n in self.numbers if self.tiles or n.length)

    @property
    def signature(self) -> Key:
        """What two kernels have in common beside their words to be one."""
        params = tuple((p.dtype, p.kind, p.written) for p in self.function.params)
        return params, self.tiles, self.function.raises

    def nameless(self, numbers: bool) -> Key:
        """The words with the kernel's own names by their rank: names are no reason for two
        kernels. Without its numbers where these are not asked for."""
        own = {p.name: at for at, p in enumerate(self.function.params)}
        own["chunk"] = len(own)
        found: list[object] = []
        for word in self.words:
            if isinstance(word, Name):
                found.append(own.setdefault(word.word, len(own)))
            elif isinstance(word, Numeral):
                found.append(repr(word.value) if numbers else None)
            else:
                found.append((word,))
        return tuple(found)

    @property
    def kernel(self) -> Kernel:
        """The kernel as the runtime takes it."""
        f = self.function
        return Kernel(f.name, f.params, heading(f) + joined(self.words), self.tiles, f.raises,
                      block_of(f))


def form_of(function: Function) -> Form:
    """A kernel as it was emitted."""
    return Form(function, tuple(body_words(function)))


def share(functions: Sequence[Function], entries: Sequence[str]) -> tuple[list[Form], list[Use]]:
    """The distinct kernels, and for each given kernel how it is called.

    `entries` says which entry each kernel comes from: between entries (another batch size) any
    number may become an argument, within one entry the `fixed` ones of a kernel may not.
    """
    groups: dict[Key, list[int]] = {}
    # equal bodies share one function
    known = {id(f): form_of(f) for f in {id(f): f for f in functions}.values()}
    keys = {at: (form.nameless(False), form.signature) for at, form in known.items()}
    seen: dict[Key, dict[str, int]] = {}
    for i, function in enumerate(functions):
        key = keys[id(function)]
        ranks = seen.setdefault((entries[i], key), {})
        rank = ranks.setdefault(repr(known[id(function)].fixed), len(ranks))
        groups.setdefault((key, rank), []).append(i)
    out: list[Form] = []
    uses: list[Use | None] = [None] * len(functions)
    for members in groups.values():
        _share_group([known[id(functions[i])] for i in members], members, out, uses)
    return out, [u for u in uses if u is not None]


def _share_group(forms: Sequence[Form], members: Sequence[int], out: list[Form],
                 uses: list[Use | None]) -> None:
    """One kernel for the whole group if few numbers differ, else one for each set of numbers."""
    numbers = [tuple(n.value for n in f.numbers) for f in forms]
    columns = list(zip(*numbers, strict=True))
    holes = [c for c, column in enumerate(columns) if len(set(map(repr, column))) > 1]
    # by their text: 512 rows are not the divisor 512.0
    found = {repr(columns[c]): columns[c] for c in holes}
    distinct, places = list(found.values()), {text: i for i, text in enumerate(found)}
    mixed = any(len({type(v) for v in column}) > 1 for column in distinct)
    if len(distinct) > MOST or mixed:
        by_numbers: dict[str, int] = {}
        for form, key, member in zip(forms, map(repr, numbers), members, strict=True):
            if key not in by_numbers:
                by_numbers[key] = len(out)
                out.append(form)
            uses[member] = Use(by_numbers[key], ())
        return
    index = len(out)
    out.append(_with_scalars(forms[0], {c: places[repr(columns[c])] for c in holes}, distinct))
    for row, member in enumerate(members):
        uses[member] = Use(index, tuple(column[row] for column in distinct))


def _with_scalars(form: Form, holes: dict[int, int],
                  columns: Sequence[Sequence[int | float]]) -> Form:
    """The kernel with the numbers at `holes` as parameters."""
    if not columns:
        return form
    taken = {w.word for w in form.words if isinstance(w, Name)}
    taken |= functions_of(form.function.body) | {p.name for p in form.function.params}
    params = []
    for i, column in enumerate(columns):
        kind = "f64" if isinstance(column[0], float) else "i64"
        name = f"{'c' if kind == 'f64' else 'n'}{i}"
        while name in taken:
            name += "_"
        taken.add(name)
        params.append(Parameter(name, kind, "scalar"))
    words, number = list(form.words), 0
    for at, word in enumerate(words):
        if isinstance(word, Numeral):
            if number in holes:
                words[at] = Name(params[holes[number]].name)
            number += 1
    function = replace(form.function, params=(*form.function.params, *params))
    return Form(function, tuple(words))
