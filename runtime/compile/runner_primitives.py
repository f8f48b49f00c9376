"""Primitives of the runner itself: words at addresses, atomics, calls, waiting, clocks.

Addresses are i64, not pointers: a kernel's pointers promise not to alias, other threads' words
must not.
"""

from __future__ import annotations

import ctypes
import platform
import threading
import time
from typing import Any

from llvmlite import ir

from dlc.runtime.compile.primitives import LLVM, Emit, Primitive, call_intrinsic, fixed

_I64 = LLVM["i64"]
_KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
_plain_atomics = threading.Lock()


def _word(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, _I64.as_pointer())


def _load(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
    return builder.load(_word(builder, operands[0]), typ=_I64)


def _load_byte(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
    """The byte at an address, as i64."""
    byte = ir.IntType(8)
    pointer = builder.inttoptr(operands[0], byte.as_pointer())
    return builder.zext(builder.load(pointer, typ=byte), _I64)


def _store(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
    builder.store(operands[1], _word(builder, operands[0]))
    return operands[1]


def _atomic_load(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
    return builder.load_atomic(_word(builder, operands[0]), "acquire", 8, typ=_I64)


def _atomic_store(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
    builder.store_atomic(operands[1], _word(builder, operands[0]), "release", 8)
    return operands[1]


def _atomic_add(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
    return builder.atomic_rmw("add", _word(builder, operands[0]), operands[1], "acq_rel")


def _atomic_claim(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
    """Store operands[2] if the word holds operands[1]; the word's old value either way."""
    pair = builder.cmpxchg(_word(builder, operands[0]), operands[1], operands[2],
                           "acq_rel", "acquire")
    return builder.extract_value(pair, 0)


def _call_kernel(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
    kind = ir.FunctionType(ir.VoidType(), [_I64.as_pointer(), _I64])
    function = builder.inttoptr(operands[0], kind.as_pointer())
    builder.call(function, [_word(builder, operands[1]), operands[2]])
    return operands[2]


def _pause(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
    """A hint that this is a spin loop; it has no effect besides time."""
    if platform.machine() in ("x86_64", "AMD64"):
        call_intrinsic(builder, "llvm.x86.sse2.pause", ir.VoidType(), [])
    else:
        call_intrinsic(builder, "llvm.aarch64.hint", ir.VoidType(), [ir.Constant(LLVM["i32"], 1)])
    return ir.Constant(_I64, 0)


def _give_way(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
    call_intrinsic(builder, "sched_yield", LLVM["i32"], [])
    return ir.Constant(_I64, 0)


def _timespec(builder: Any) -> Any:
    with builder.goto_entry_block():
        return builder.alloca(ir.ArrayType(_I64, 2))


def _sleep(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
    """nanosleep for operands[0] (below one second) nanoseconds."""
    time_ = _timespec(builder)
    builder.store(ir.Constant(_I64, 0), builder.bitcast(time_, _I64.as_pointer()))
    half = builder.gep(builder.bitcast(time_, _I64.as_pointer()), [ir.Constant(_I64, 1)],
                       source_etype=_I64)
    builder.store(operands[0], half)
    null = ir.Constant(_I64.as_pointer(), None)
    address = builder.bitcast(time_, _I64.as_pointer())
    call_intrinsic(builder, "nanosleep", LLVM["i32"], [address, null])
    return operands[0]


def _clock(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
    """clock_gettime(CLOCK_MONOTONIC) in nanoseconds."""
    address = builder.bitcast(_timespec(builder), _I64.as_pointer())
    which = ir.Constant(LLVM["i32"], time.CLOCK_MONOTONIC)
    call_intrinsic(builder, "clock_gettime", LLVM["i32"], [which, address])
    seconds = builder.load(address, typ=_I64)
    rest = builder.load(builder.gep(address, [ir.Constant(_I64, 1)], source_etype=_I64), typ=_I64)
    return builder.add(builder.mul(seconds, ir.Constant(_I64, 1_000_000_000)), rest)


def _plain_load(address: int) -> int:
    return ctypes.c_int64.from_address(int(address)).value


def _plain_load_byte(address: int) -> int:
    return ctypes.c_uint8.from_address(int(address)).value


def _plain_store(address: int, value: int) -> int:
    ctypes.c_int64.from_address(int(address)).value = int(value)
    return int(value)


def _plain_add(address: int, value: int) -> int:
    with _plain_atomics:
        old = _plain_load(address)
        _plain_store(address, old + int(value))
        return old


def _plain_claim(address: int, expected: int, value: int) -> int:
    with _plain_atomics:
        old = _plain_load(address)
        if old == expected:
            _plain_store(address, value)
        return old


def _plain_call(function: int, arguments: int, chunk: int) -> int:
    _KERNEL(function)(arguments, chunk)
    return chunk


def _plain_pause() -> int:
    return 0


def _plain_give_way() -> int:
    time.sleep(0)
    return 0


def _plain_sleep(nanoseconds: int) -> int:
    time.sleep(nanoseconds * 1e-9)
    return nanoseconds


def _control(name: str, operands: int, emit: Emit, plain: Any) -> Primitive:
    return Primitive(name, fixed(name, (("i64",),) * operands, "i64"), emit, plain)


CONTROL: dict[str, Primitive] = {p.name: p for p in (
    _control("load_word", 1, _load, _plain_load),
    _control("load_byte", 1, _load_byte, _plain_load_byte),
    _control("store_word", 2, _store, _plain_store),
    _control("atomic_load", 1, _atomic_load, _plain_load),
    _control("atomic_store", 2, _atomic_store, _plain_store),
    _control("atomic_add", 2, _atomic_add, _plain_add),
    _control("atomic_claim", 3, _atomic_claim, _plain_claim),
    _control("call_kernel", 3, _call_kernel, _plain_call),
    _control("pause", 0, _pause, _plain_pause),
    _control("give_way", 0, _give_way, _plain_give_way),
    _control("sleep_ns", 1, _sleep, _plain_sleep),
    _control("clock_ns", 0, _clock, time.monotonic_ns),
)}
