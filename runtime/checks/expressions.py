"""Expressions of a kernel's text on ranges."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from typing import Any

from dlc.runtime.checks import ranges, rounds
from dlc.runtime.checks.conditions import assume, known
from dlc.runtime.checks.footprints import is_tile
from dlc.runtime.checks.frames import Frame, Memory, Pointer, Unread
from dlc.runtime.checks.ranges import (
    UNKNOWN,
    WORDS,
    Range,
    Space,
    between,
    join,
    number,
    word,
)

FLOATS = {"f32", "f64"}
ZERO = number(0)
_ARITHMETIC = {ast.Add: ranges.add, ast.Sub: ranges.subtract, ast.Mult: ranges.multiply,
               ast.BitAnd: ranges.masked, ast.FloorDiv: ranges.floor_quotient,
               ast.Mod: ranges.floor_remainder}
_CALLS = {"idiv": ranges.quotient, "imod": ranges.remainder, "min": ranges.smaller,
          "max": ranges.larger, "minimum": ranges.smaller, "maximum": ranges.larger}




def add_one(value: Range, space: Space) -> Range:
    return ranges.add(value, number(1), space)


class Expressions(ABC):
    """Values of expressions; what they load and the tiles they call go to `touch` and `tile`."""

    silent = 0  # above 0 nothing is reported: the text is only evaluated

    @abstractmethod
    def touch(self, node: ast.expr, pointer: Any, index: Any, sides: tuple[Any, ...],
              written: bool, frame: Frame) -> None:
        """A load or a store."""

    @abstractmethod
    def tile(self, node: ast.Call, name: str, frame: Frame) -> None:
        """A call of a tile."""

    @abstractmethod
    def local_name(self) -> str:
        """The name of the buffer that the current statement makes."""

    def value(self, node: ast.expr, frame: Frame) -> Any:
        """A Range, a Pointer, or None for what is no whole number."""
        rule = getattr(self, f"of_{type(node).__name__}", None)
        if rule is None:
            raise Unread(ast.unparse(node))
        found = rule(node, frame)
        if frame.taught and isinstance(found, Range) and not isinstance(node, ast.Constant):
            return known(node, found, frame)
        return found

    def of_Constant(self, node: ast.Constant, frame: Frame) -> Any:
        whole = isinstance(node.value, int) and not isinstance(node.value, bool)
        return number(node.value) if whole else None  # type: ignore[arg-type]

    def of_Name(self, node: ast.Name, frame: Frame) -> Any:
        return frame.get(node.id)

    def of_UnaryOp(self, node: ast.UnaryOp, frame: Frame) -> Any:
        operand = self.value(node.operand, frame)
        if isinstance(node.op, ast.USub) and isinstance(operand, Range):
            return ranges.subtract(number(0), operand, frame.space)
        return None

    def of_BinOp(self, node: ast.BinOp, frame: Frame) -> Any:
        a, b = self.value(node.left, frame), self.value(node.right, frame)
        return self.arithmetic(node.op, a, b, frame)

    def arithmetic(self, op: ast.operator, a: Any, b: Any, frame: Frame) -> Any:
        if not isinstance(a, Range) or not isinstance(b, Range):
            return None
        rule = _ARITHMETIC.get(type(op))
        return rule(a.within(frame.space), b.within(frame.space), frame.space) if rule else UNKNOWN

    def of_Compare(self, node: ast.Compare, frame: Frame) -> None:
        for part in (node.left, *node.comparators):
            self.value(part, frame)

    def of_BoolOp(self, node: ast.BoolOp, frame: Frame) -> None:
        """Later operands are evaluated where the earlier ones did not decide."""
        for part in node.values:
            self.value(part, frame)
            frame = assume(self, part, isinstance(node.op, ast.And), frame)
            if not frame.space.rows:
                return

    def of_IfExp(self, node: ast.IfExp, frame: Frame) -> Any:
        self.value(node.test, frame)
        found = []
        for truth, arm in ((True, node.body), (False, node.orelse)):
            inner = assume(self, node.test, truth, frame)
            if inner.space.rows:
                found.append((self.value(arm, inner), inner))
        if not all(isinstance(v, Range) for v, _ in found):
            return None
        return rounds.gathered([(v, f.space) for v, f in found], frame.space)

    def of_Subscript(self, node: ast.Subscript, frame: Frame) -> Any:
        pointer, index = self.value(node.value, frame), self.value(node.slice, frame)
        if not isinstance(pointer, Pointer):
            return None
        self.touch(node, pointer, index, (), False, frame)
        memory = pointer.memory
        return memory.value() if memory.dtype in WORDS else None

    def of_Attribute(self, node: ast.Attribute, frame: Frame) -> Any:
        """A function or number of a module, in a user's operator."""
        return None

    def of_Tuple(self, node: ast.Tuple, frame: Frame) -> None:
        for part in node.elts:
            self.value(part, frame)

    def of_Call(self, node: ast.Call, frame: Frame) -> Any:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if is_tile(name):
            self.tile(node, name, frame)
            return None
        args = [self.value(a, frame) for a in node.args]
        if name == "at" and isinstance(args[0], Pointer):
            offset = args[1] if isinstance(args[1], Range) else UNKNOWN
            base = args[0].offset.within(frame.space)
            return Pointer(args[0].memory, ranges.add(base, offset, frame.space))
        if name.startswith("local_"):
            return Pointer(Memory(self.local_name(), name[6:], int(args[0].lo), True), ZERO)
        return self.called(name, [a.within(frame.space) if isinstance(a, Range) else a
                                  for a in args], frame)

    def called(self, name: str, args: list[Any], frame: Frame) -> Any:
        """The result of a primitive or of a function of the prelude, as far as it is known."""
        whole = all(isinstance(a, Range) for a in args)
        if name in WORDS:
            return ranges.cast(args[0], name) if whole else word(name)
        if name in _CALLS and whole and len(args) == 2:
            return _CALLS[name](args[0], args[1], frame.space)
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
