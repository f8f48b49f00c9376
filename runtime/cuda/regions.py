"""Regions and buffers of a CUDA block, as the front end lowers them to LLVM IR for NVPTX.

A `thread_` buffer has a part for each thread, as long as that of any other: `acc[t * 32 + 5]` is
element 5 of thread t's. Each thread has its own part only, and drops `t * 32`: what is left is a
number, so the elements become registers.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from typing import Any

from llvmlite import ir

from dlc.ir.types import DTYPES
from dlc.runtime.compile.lower import KNOWN
from dlc.runtime.compile.operators import OutsideError, Value
from dlc.runtime.compile.primitives import LLVM, NUMBERS, Primitive, call_intrinsic

SHARED = 3  # the address space of a block's memory
ALIGNED = 16  # bytes: of a shared buffer, and the widest access of a thread
TID = "llvm.nvvm.read.ptx.sreg.tid.x"
BARRIER = "llvm.nvvm.barrier.cta.sync.aligned.all"


def region(walk: Any, name: str, loop: ast.For) -> None:
    """`for name in threads(n)`: the first n threads run the body, then all of the block meet."""
    builder = walk.builder
    _, count, _ = walk.range(loop.iter)
    number = builder.zext(call_intrinsic(builder, TID, LLVM["i32"], []), LLVM["i64"])
    body, after = walk.block("region"), walk.block("met")
    builder.cbranch(builder.icmp_signed("<", number, count), body, after)
    builder.position_at_end(body)
    walk.assign(name, Value("i64", number))
    walk.run(loop.body)
    walk.go(after)
    builder.position_at_end(after)
    call_intrinsic(builder, BARRIER, LLVM["void"], [ir.Constant(LLVM["i32"], 0)])


class Places(ast.NodeTransformer):
    """Drops the thread's number from the indices of `thread_` buffers: `acc[t * 32 + 5]` is
    `acc[5]`; and says how elements of shared buffers and of those `aligned` to 16 bytes (bytes of
    an element by name) are aligned, where their index tells."""

    def __init__(self, aligned: Mapping[str, int]) -> None:
        self.own: set[str] = set()
        self.aligned = dict(aligned)

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id=word))):
                space, _, dtype = word.partition("_")
                if space == "thread":
                    self.own.add(name)
                elif space == "shared":
                    self.aligned[name] = DTYPES[dtype].bytes
        return self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        name = node.value.id if isinstance(node.value, ast.Name) else ""
        if name in self.aligned:
            bytes_ = self.aligned[name] * (factor_of(node.slice) or ALIGNED)
            node.aligned = math.gcd(bytes_, ALIGNED)  # type: ignore[attr-defined]
        if name not in self.own:
            return self.generic_visit(node)
        return ast.copy_location(ast.Subscript(
            node.value, ast.Constant(element_of(node.slice)), node.ctx), node)


def factor_of(index: ast.expr) -> int:
    """A number that divides an index; 0 where that is 0."""
    match index:
        case ast.Constant(value=int(number)):
            return number
        case ast.BinOp(left=a, op=ast.Add() | ast.Sub(), right=b):
            return math.gcd(factor_of(a), factor_of(b))
        case ast.BinOp(op=ast.Mult(), left=a, right=b):
            return factor_of(a) * factor_of(b)
    return 1


def element_of(index: ast.expr) -> int:
    """The element of its own part that a thread takes. Raises OutsideError for any other index."""
    match index:
        case ast.BinOp(left=ast.Name(), op=ast.Mult(), right=ast.Constant()):
            return 0
        case ast.BinOp(left=ast.BinOp(left=ast.Name(), op=ast.Mult(), right=ast.Constant()),
                       op=ast.Add(), right=ast.Constant(value=int(element))):
            return element
    raise OutsideError(f"{ast.unparse(index)} as the index of a thread's own buffer")


def _shared(dtype: str, name: str) -> Primitive:
    """A buffer of the block, of a literal number of elements, contents undefined."""
    def emit(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
        kind = ir.ArrayType(LLVM[dtype], operands[0])
        symbol = builder.module.get_unique_name("shared")
        variable = ir.GlobalVariable(builder.module, kind, symbol, SHARED)
        variable.linkage, variable.align = "internal", ALIGNED
        variable.initializer = ir.Constant(kind, ir.Undefined)
        return builder.addrspacecast(variable, ir.PointerType())
    known = KNOWN[name]
    return Primitive(name, known.result, emit, known.plain, literal=True)


ON_CUDA = {**KNOWN, "shared_bool": _shared("u8", "shared_bool"),
           **{f"shared_{d}": _shared(d, f"shared_{d}") for d in NUMBERS}}
"""What kernel texts may call, as it is on CUDA."""
