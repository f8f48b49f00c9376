"""Regions and shared buffers of a CUDA block, as the front end lowers them to LLVM IR for NVPTX."""

from __future__ import annotations

import ast
from typing import Any

from llvmlite import ir

from dlc.runtime.compile.lower import KNOWN
from dlc.runtime.compile.operators import Value
from dlc.runtime.compile.primitives import LLVM, NUMBERS, Primitive, call_intrinsic

SHARED = 3  # the address space of a block's memory
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


def _shared(dtype: str, name: str) -> Primitive:
    """A buffer of the block, of a literal number of elements, contents undefined."""
    def emit(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
        kind = ir.ArrayType(LLVM[dtype], operands[0])
        symbol = builder.module.get_unique_name("shared")
        variable = ir.GlobalVariable(builder.module, kind, symbol, SHARED)
        variable.linkage, variable.align = "internal", 16
        variable.initializer = ir.Constant(kind, ir.Undefined)
        return builder.addrspacecast(variable, ir.PointerType())
    known = KNOWN[name]
    return Primitive(name, known.result, emit, known.plain, literal=True)


ON_CUDA = {**KNOWN, "shared_bool": _shared("u8", "shared_bool"),
           **{f"shared_{d}": _shared(d, f"shared_{d}") for d in NUMBERS}}
"""What kernel texts may call, as it is on CUDA."""
