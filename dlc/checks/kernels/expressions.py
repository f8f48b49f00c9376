"""Expressions of a kernel on ranges."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from dlc.backend import ir
from dlc.backend.ir import (
    Binary,
    Call,
    Choice,
    Expression,
    Load,
    Logical,
    Negative,
    Number,
    Position,
    Ref,
    Truth,
)
from dlc.backend.ir.index import Atom, Computed, Minimum, Quotient, Remainder, Sum, Var
from dlc.checks.kernels import ranges, rounds
from dlc.checks.kernels.conditions import assume, known
from dlc.checks.kernels.frames import Frame, Memory, Pointer
from dlc.checks.kernels.ranges import (
    UNKNOWN,
    WORDS,
    Range,
    between,
    join,
    number,
    word,
)
from dlc.ir.types import DType, bool_, i64

FLOATS = {"f32", "f64"}
ZERO = number(0)
_ARITHMETIC = {"+": ranges.add, "-": ranges.subtract, "*": ranges.multiply, "&": ranges.masked}
_CALLS = {"idiv": ranges.quotient, "imod": ranges.remainder, "min": ranges.smaller,
          "max": ranges.larger, "minimum": ranges.smaller, "maximum": ranges.larger}


class Expressions(ABC):
    """Values of expressions; what they load goes to `touch`."""

    silent = 0  # above 0 nothing is reported: the kernel is only evaluated

    @abstractmethod
    def touch(self, node: object, pointer: Any, index: Any, sides: tuple[Any, ...],
              written: bool, frame: Frame) -> None:
        """A load or a store."""

    def value(self, node: Expression, frame: Frame) -> Range | None:
        """What a whole number may be; None for what is none."""
        match node:
            case Number():
                return number(int(node.value)) if node.dtype.is_integer else None
            case Ref():
                found = frame.get(node.name)
                return found if isinstance(found, Range) else None
            case Load():
                return self.load(node, frame)
            case Position():
                return self.position(node, frame)
            case Call():
                return self.call(node, frame)
            case Binary():
                return self.binary(node, frame)
            case Choice():
                return self.choice(node, frame)
            case Negative():
                self.value(node.value, frame)
            case Truth() | Logical():
                self.truth(node, frame)
        return None

    # ---- indices -------------------------------------------------------------------------------

    def index(self, index: Sum, frame: Frame) -> Range:
        """What an index may be."""
        lo: Any = index.const
        hi, exact, space = lo, True, frame.space
        for atom, count in index.terms:
            value = self.atom(atom, frame).within(space)
            if count != 1:
                value = ranges.scaled(value, count, space)
            lo = lo + value.lo
            exact = exact and value.exact
            hi = lo if exact else hi + value.hi
        return between(lo, hi, space)

    def atom(self, atom: Atom, frame: Frame) -> Range:
        """What a part of an index may be."""
        match atom:
            case Var(name=name):
                found = frame.get(name)
                return found if isinstance(found, Range) else UNKNOWN
            case Quotient() | Remainder():
                rule = ranges.quotient if isinstance(atom, Quotient) else ranges.remainder
                inner = self.index(atom.value, frame).within(frame.space)
                return known(atom, rule(inner, number(atom.by), frame.space), frame)
            case Minimum():
                a, b = (self.index(s, frame).within(frame.space) for s in (atom.a, atom.b))
                return known(atom, ranges.smaller(a, b, frame.space), frame)
            case Computed():
                return known(atom, self.value(atom.value, frame) or UNKNOWN, frame)

    def position(self, node: Position, frame: Frame) -> Range | None:
        found = self.index(node.index, frame)
        return cast(found, node.dtype)

    def place(self, place: ir.Pointer, frame: Frame) -> Pointer:
        """A pointer into a buffer."""
        memory = frame.values[place.buffer]
        assert isinstance(memory, Memory)
        return Pointer(memory, self.index(place.offset, frame))

    # ---- loads, calls, arithmetic --------------------------------------------------------------

    def load(self, node: Load, frame: Frame) -> Range | None:
        """What lies in a buffer; where the guard does not hold nothing is touched."""
        inner = frame
        if node.guard:
            truth = Truth(node.guard, bool_)
            self.truth(truth, frame)
            inner = assume(self, truth, True, frame)
            if not inner.space.rows:
                return ZERO if node.dtype.name in WORDS else None
        memory = frame.values[node.buffer]
        self.touch(node, Pointer(memory, ZERO), self.index(node.index, inner), (), False, inner)
        if node.dtype.name not in WORDS or node.dtype is bool_:
            return None
        found: Range = memory.value()
        if not node.guard:
            return found
        return join(found.within(frame.space), ZERO, frame.space)

    def call(self, node: Call, frame: Frame) -> Range | None:
        args = [self.value(a, frame) for a in node.args]
        given = [a.within(frame.space) if a is not None else None for a in args]
        found = self.called(node.function, given, frame)
        return known(node, found, frame) if found is not None and frame.taught else found

    def called(self, name: str, args: list[Any], frame: Frame) -> Range | None:
        """The result of a primitive or of a function of the prelude, as far as it is known."""
        whole = all(isinstance(a, Range) for a in args)
        if name in WORDS:
            return ranges.cast(args[0], name) if whole else word(name)
        if name in _CALLS and whole and len(args) == 2:
            found: Range = _CALLS[name](args[0], args[1], frame.space)
            return found
        if name == "select":
            both = args[1:]
            return join(both[0], both[1], frame.space) if all(
                isinstance(a, Range) for a in both) else None
        if name == "abs" and whole:
            low = ranges.most(ranges.most(args[0].lo, -args[0].hi), 0)
            return between(low, ranges.most(-args[0].lo, args[0].hi), frame.space)
        suffix = name.rpartition("_")[2]
        if suffix in FLOATS or name in FLOATS or (
                not (whole and args) and suffix not in WORDS):
            return None
        return word(suffix) if suffix in WORDS else UNKNOWN

    def binary(self, node: Binary, frame: Frame) -> Range | None:
        a, b = self.value(node.a, frame), self.value(node.b, frame)
        if a is None or b is None or not node.dtype.is_integer:
            return None
        rule = _ARITHMETIC.get(node.sign)
        found = rule(a.within(frame.space), b.within(frame.space),
                     frame.space) if rule else UNKNOWN
        return cast(found, node.dtype)

    # ---- conditions ----------------------------------------------------------------------------

    def truth(self, node: Truth | Logical, frame: Frame) -> None:
        """Later operands are evaluated where the earlier ones did not decide."""
        if isinstance(node, Truth):
            parts: list[Expression] = [Truth((c,), bool_) for c in node.condition]
            if len(parts) == 1:
                self.index(node.condition[0].value, frame)
                return
        else:
            parts = list(node.parts)
        for part in parts:
            self.value(part, frame)
            frame = assume(self, part, not (isinstance(node, Logical) and node.word == "or"),
                           frame)
            if not frame.space.rows:
                return

    def choice(self, node: Choice, frame: Frame) -> Range | None:
        self.value(node.condition, frame)
        found = []
        for truth, arm in ((True, node.a), (False, node.b)):
            inner = assume(self, node.condition, truth, frame)
            if inner.space.rows:
                found.append((self.value(arm, inner), inner))
        known_ = [(v, f.space) for v, f in found if v is not None]
        return rounds.gathered(known_, frame.space) if len(known_) == len(found) else None


def cast(value: Range, dtype: DType) -> Range | None:
    """A whole number brought to `dtype`; None where that is none of whole numbers."""
    if dtype is i64:
        return value
    return ranges.cast(value, dtype.name) if dtype.is_integer else None
