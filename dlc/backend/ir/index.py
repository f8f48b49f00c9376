"""Index expressions: integer sums of loop variables, quotients, remainders and minima, simplified.

A `Sum` is const + coefficient * atom + ...; an atom is a loop variable, a quotient, a remainder,
the minimum of two sums (the bound of a loop whose last block is shorter), or an expression of the
IR that is no such sum (`key & 255`, a product of two variables), of which nothing is known.
The range of every value is known, so redundant divisions and bounds disappear. Quotients and
remainders are of non-negative values: where an operand may be negative, a guard is required.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from dlc.backend.ir.words import Name, Word, joined, numeral

if TYPE_CHECKING:
    from dlc.backend.ir import Expression

LEAST, MOST = -2**63, 2**63 - 1  # of an i64 of which nothing is known


@dataclass(frozen=True)
class Var:
    """A loop variable or another name of an index: low <= name <= high. The name says which it is;
    its range is what is known of it."""

    name: str
    low: int = field(compare=False)
    high: int = field(compare=False)

    @property
    def variables(self) -> frozenset[str]:
        return frozenset((self.name,))

    def words(self) -> list[Word]:
        return [Name(self.name)]


@dataclass(frozen=True)
class Quotient:
    """value // by, for value >= 0"""

    value: Sum
    by: int

    @property
    def low(self) -> int:
        return max(0, self.value.low) // self.by

    @property
    def high(self) -> int:
        return max(0, self.value.high) // self.by

    @property
    def variables(self) -> frozenset[str]:
        return self.value.variables()

    def words(self) -> list[Word]:
        return ["idiv(", *self.value.words(), f", {self.by})"]


@dataclass(frozen=True)
class Remainder:
    """value % by, for value >= 0"""

    value: Sum
    by: int
    low: int = 0

    @property
    def high(self) -> int:
        return self.by - 1

    @property
    def variables(self) -> frozenset[str]:
        return self.value.variables()

    def words(self) -> list[Word]:
        return ["imod(", *self.value.words(), f", {self.by})"]


@dataclass(frozen=True)
class Minimum:
    """min(a, b)"""

    a: Sum
    b: Sum

    @property
    def low(self) -> int:
        return min(self.a.low, self.b.low)

    @property
    def high(self) -> int:
        return min(self.a.high, self.b.high)

    @property
    def variables(self) -> frozenset[str]:
        return self.a.variables() | self.b.variables()

    def words(self) -> list[Word]:
        return ["min(", *self.a.words(), ", ", *self.b.words(), ")"]


@dataclass(frozen=True)
class Computed:
    """Any other whole number: the value of an i64 expression over the names in `variables`."""

    value: Expression
    variables: frozenset[str] = field(compare=False)
    low: int = field(default=LEAST, compare=False)
    high: int = field(default=MOST, compare=False)

    def words(self) -> list[Word]:
        from dlc.backend.ir.printer import factor

        return factor(self.value)


Atom: TypeAlias = Var | Quotient | Remainder | Minimum | Computed
Term: TypeAlias = "Sum | Var | int"
"""What may be added to an index."""


@dataclass(frozen=True)
class Sum:
    """const + the sum of coefficient * atom; immutable, hashable, in canonical order."""

    const: int = 0
    terms: tuple[tuple[Atom, int], ...] = ()

    def __add__(self, other: Term) -> Sum:
        other = sum_of(other)
        found = dict(self.terms)
        for atom, c in other.terms:
            found[atom] = found.get(atom, 0) + c
        return build(self.const + other.const, found)

    __radd__ = __add__

    def __neg__(self) -> Sum:
        return self * -1

    def __sub__(self, other: Term) -> Sum:
        return self + sum_of(other) * -1

    def __rsub__(self, other: Term) -> Sum:
        return sum_of(other) + self * -1

    def __mul__(self, other: int) -> Sum:
        by = int(other)
        return Sum(self.const * by, tuple((a, c * by) for a, c in self.terms) if by else ())

    __rmul__ = __mul__

    @cached_property
    def low(self) -> int:
        return self.const + sum(c * (a.low if c > 0 else a.high) for a, c in self.terms)

    @cached_property
    def high(self) -> int:
        return self.const + sum(c * (a.high if c > 0 else a.low) for a, c in self.terms)

    def _split(self, by: int) -> tuple[Sum, Sum]:
        """(q, r) with self = q * by + r, r of the terms that `by` does not divide."""
        whole = tuple((a, c // by) for a, c in self.terms if c % by == 0)
        rest = tuple((a, c) for a, c in self.terms if c % by)
        return Sum(self.const // by, whole), Sum(self.const % by, rest)

    def __floordiv__(self, other: int) -> Sum:
        by = int(other)
        if by == 1:
            return self
        if by == 0:
            return Sum()  # an index into no elements: nobody comes here
        q, r = self._split(by)
        if r.low >= 0 and r.high < by:
            return q
        if r.low < 0 or q.low < 0:
            return Sum(0, ((Quotient(self, by), 1),))
        return q + nested_quotient(r, by)

    def __mod__(self, other: int) -> Sum:
        by = int(other)
        if by <= 1:
            return Sum()
        q, r = self._split(by)
        if r.low >= 0 and r.high < by:
            return r
        if r.low < 0 or q.low < 0:
            r = self
        return Sum(0, ((Remainder(r, by), 1),))

    def variables(self) -> frozenset[str]:
        """Names of the loop variables that the value depends on."""
        return self._names

    @cached_property
    def _names(self) -> frozenset[str]:
        names: set[str] = set()
        for atom, _ in self.terms:
            names |= atom.variables
        return frozenset(names)

    def coefficient(self, name: str) -> int | None:
        """By how much the value grows when variable `name` grows by 1; None when not linear in it.
        """
        total = 0
        for atom, c in self.terms:
            if isinstance(atom, Var):
                total += c if atom.name == name else 0
            elif name in atom.variables:
                return None
        return total

    def words(self) -> list[Word]:
        """The value as it stands in a kernel's text: what is subtracted comes last, the constant
        after the terms of its sign."""
        plus, minus = ([(atom, abs(c)) for atom, c in self.terms if (c < 0) is below]
                       for below in (False, True))
        parts: list[tuple[str, list[Word]]] = [(" + ", times(a, c)) for a, c in plus]
        if self.const > 0 or not self.terms:
            parts.append((" + ", numeral(self.const)))
        parts += [(" - ", times(a, c)) for a, c in minus]
        if self.const < 0 and self.terms:
            parts.append((" - ", numeral(-self.const)))
        found: list[Word] = ["-"] if parts[0][0] == " - " else []
        for at, (sign, words) in enumerate(parts):
            found += [sign, *words] if at else words
        return found

    def text(self) -> str:
        """The value as Python source."""
        return self._text

    @cached_property
    def _text(self) -> str:
        return joined(self.words())


def times(atom: Atom, count: int) -> list[Word]:
    """The atom as often as `count` says."""
    return atom.words() if count == 1 else [*atom.words(), " * ", *numeral(count)]


def nested_quotient(value: Sum, by: int) -> Sum:
    """value // by, with (x // a) // b as x // (a * b)."""
    if len(value.terms) == 1 and value.const == 0:
        atom, c = value.terms[0]
        if c == 1 and isinstance(atom, Quotient):
            return atom.value // (atom.by * by)
    return Sum(0, ((Quotient(value, by), 1),))


def sum_of(value: Term) -> Sum:
    """An int or Var as a Sum."""
    if isinstance(value, Sum):
        return value
    if isinstance(value, Var):
        return Sum(0, ((value, 1),)) if value.high > value.low else Sum(value.low)
    return Sum(int(value))


def least(a: Term, b: Term) -> Sum:
    """min(a, b), written out also where the ranges tell which it is: texts of several sizes then
    differ in numbers only, and one kernel serves them."""
    return Sum(0, ((Minimum(sum_of(a), sum_of(b)), 1),))


def build(const: int, found: dict[Atom, int]) -> Sum:
    """A Sum in canonical order, with x // c * c + x % c put together to x."""
    terms = {a: c for a, c in found.items() if c}
    for atom in [a for a in terms if isinstance(a, Remainder)]:
        c = terms.get(atom)
        if c is None:
            continue
        assert isinstance(atom, Remainder)
        whole = atom.value // atom.by
        merged = _join(terms, whole, c * atom.by)
        if merged:
            del terms[atom]
            return build(const, terms) + atom.value * c
    return Sum(const, tuple(sorted(terms.items(), key=_order)))


def _join(terms: dict[Atom, int], whole: Sum, factor: int) -> bool:
    """Remove factor * whole from `terms` if all of it is there."""
    if whole.const or not whole.terms:
        return False
    if any(terms.get(a) != c * factor for a, c in whole.terms):
        return False
    for a, _ in whole.terms:
        del terms[a]
    return True


def _order(item: tuple[Atom, int]) -> tuple[bool, int, str]:
    """120 - n, not -n + 120; large strides first."""
    return item[1] < 0, -abs(item[1]), joined(item[0].words())
