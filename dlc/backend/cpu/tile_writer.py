"""A builder for an LLVM function over vectors, with which the tiles are written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from dlc.ir.types import DType

I32, I64 = ir.IntType(32), ir.IntType(64)


class TileWriter:
    """Builds one function: vectors of the tile's element type, loops, broadcasts, fma."""

    def __init__(self, name: str, params: tuple[tuple[str, str], ...], kind: DType,
                 lanes: int) -> None:
        self.element = ir.FloatType() if kind.name == "f32" else ir.DoubleType()
        self.suffix, self.size, self.lanes = f"v{lanes}{kind.name}", kind.bytes, lanes
        self.vector = ir.VectorType(self.element, lanes)
        self.module = ir.Module(name=name)
        self.module.triple = ""
        types = [I64 if t == "i64" else ir.PointerType() for _, t in params]
        self.function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), types), name)
        # every kernel that calls the tile brings the same definition along
        self.function.linkage = "linkonce_odr"
        for attribute in ("nounwind", "noinline"):
            self.function.attributes.add(attribute)
        for argument, (label, t) in zip(self.function.args, params, strict=True):
            argument.name = label
            if t != "i64":
                argument.add_attribute("noalias")
        self.args = self.function.args
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))

    def at(self, pointer: Any, index: Any, scale: int = 1) -> Any:
        """pointer + index * scale elements."""
        if isinstance(index, int):
            index = number(index)
        if scale != 1:
            index = self.b.mul(index, number(scale))
        return self.b.gep(pointer, [index], source_etype=self.element)

    def word(self, table: Any, index: int | Any) -> Any:
        """table[index] of an i64 table."""
        index = number(index) if isinstance(index, int) else index
        return self.b.load(self.b.gep(table, [index], source_etype=I64), typ=I64)

    def load(self, pointer: Any) -> Any:
        return self.b.load(pointer, typ=self.vector, align=self.size)

    def store(self, value: Any, pointer: Any) -> None:
        self.b.store(value, pointer, align=self.size)

    def call(self, stem: str, result: Any, operands: list[Any]) -> Any:
        """An LLVM intrinsic on this tile's vectors."""
        function = self.module.globals.get(stem)
        if function is None:
            kind = ir.FunctionType(result, [o.type for o in operands])
            function = ir.Function(self.module, kind, stem)
        return self.b.call(function, operands)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        return self.call(f"llvm.fma.{self.suffix}", self.vector, [a, b, c])

    def broadcast(self, pointer: Any) -> Any:
        """The element at `pointer` in every lane."""
        one = self.b.load(pointer, typ=self.element, align=self.size)
        none = ir.Constant(self.vector, ir.Undefined)
        first = self.b.insert_element(none, one, ir.Constant(I32, 0))
        zeros = ir.Constant(ir.VectorType(I32, self.lanes), None)
        return self.b.shuffle_vector(first, none, zeros)

    def block(self, label: str) -> Any:
        """Append a block, jump to it when the current one is still open, and go on there."""
        block = self.function.append_basic_block(label)
        if not self.b.block.is_terminated:
            self.b.branch(block)
        self.b = ir.IRBuilder(block)
        return block

    @contextmanager
    def loop(self, count: Any, step: int, carried: list[Any]) -> Iterator[tuple[Any, list[Any]]]:
        """for i in range(0, count, step), at least once. The body replaces items of the list it
        is given; afterwards the list holds the final values."""
        before = self.b.block
        head = self.block("loop")
        i = self.b.phi(I64)
        phis = [self.b.phi(v.type) for v in carried]
        values: list[Any] = list(phis)
        yield i, values
        after = self.b.add(i, number(step))
        i.add_incoming(number(0), before)
        i.add_incoming(after, self.b.block)
        for phi, first, last in zip(phis, carried, values, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(last, self.b.block)
        again = self.b.icmp_signed("<", after, count)
        leave = self.function.append_basic_block("done")
        self.b.cbranch(again, head, leave)
        self.b = ir.IRBuilder(leave)

    @contextmanager
    def when(self, condition: Any) -> Iterator[None]:
        """What is written inside runs where `condition` holds; it may have blocks of its own."""
        inside, behind = (self.function.append_basic_block(n) for n in ("when", "behind"))
        self.b.cbranch(condition, inside, behind)
        self.b = ir.IRBuilder(inside)
        yield
        self.b.branch(behind)
        self.b = ir.IRBuilder(behind)

    def finish(self) -> str:
        if not self.b.block.is_terminated:
            self.b.ret_void()
        return str(self.module)


def number(value: int) -> Any:
    """An i64 constant."""
    return ir.Constant(I64, value)
