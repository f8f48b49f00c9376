"""Objects to addresses: links ELF objects into this process through llvmlite, without Numba."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import llvmlite.binding as llvm

_MATH = (
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "pow", "sqrt", "cbrt", "hypot",
    "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "asinh", "acosh",
    "atanh", "erf", "erfc", "tgamma", "lgamma", "fmod", "fma", "fmin", "fmax", "ldexp",
    "floor", "ceil", "rint", "trunc", "round", "nearbyint", "roundeven")
_SYSTEM = ("memcpy", "memmove", "memset", "sched_yield", "nanosleep", "clock_gettime")
ALLOWED_SYMBOLS = frozenset([*_MATH, *(f"{name}f" for name in _MATH), *_SYSTEM])

_SYMBOL = struct.Struct("<IBBHQQ")     # st_name st_info st_other st_shndx st_value st_size
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMTAB = 2


class LinkError(Exception):
    """An object that is not what the compiler makes: not ELF, no entry, or foreign symbols."""


def symbols(data: bytes) -> Iterator[tuple[str, bool]]:
    """(name, defined) of every global symbol of a 64-bit little-endian ELF object.

    Raises LinkError when `data` is no such object.
    """
    if len(data) < 64 or data[:6] != b"\x7fELF\x02\x01":
        raise LinkError("not a 64-bit little-endian ELF object")
    try:
        yield from _symbols(data)
    except (struct.error, IndexError, ValueError, UnicodeDecodeError) as error:
        raise LinkError(f"damaged ELF object: {error}") from None


def _symbols(data: bytes) -> Iterator[tuple[str, bool]]:
    start, = struct.unpack_from("<Q", data, 40)
    count, = struct.unpack_from("<H", data, 60)
    sections = [_SECTION.unpack_from(data, start + 64 * i) for i in range(count)]
    for section in sections:
        if section[1] != _SYMTAB:
            continue
        offset, size, strings = section[4], section[5], sections[section[6]][4]
        for at in range(offset, offset + size, _SYMBOL.size):
            name, info, _, index, _, _ = _SYMBOL.unpack_from(data, at)
            if info >> 4 != 0 and name:  # not local
                end = data.index(b"\0", strings + name)
                yield data[strings + name:end].decode(), index != 0


def check_object(name: str, data: bytes) -> None:
    """Raise LinkError unless `data` exports exactly `name` and needs nothing unusual."""
    table = list(symbols(data))
    defined = [symbol for symbol, is_defined in table if is_defined]
    if defined != [name]:
        raise LinkError(f"object of {name} defines {', '.join(defined) or 'nothing'}")
    foreign = [s for s, is_defined in table if not is_defined and s not in ALLOWED_SYMBOLS]
    foreign = [s for s in foreign if s != "_GLOBAL_OFFSET_TABLE_"]
    if foreign:
        raise LinkError(f"object of {name} needs {', '.join(foreign)}, which dlc does not link")


class Linked:
    """Native functions by name; they stay callable as long as this object lives."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        """Link `objects` (function name to ELF bytes). Raises LinkError."""
        for name, data in objects.items():
            check_object(name, data)
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
            reloc="pic", codemodel="small", jit=True)
        # JITLink, not MCJIT: it lays all sections of an object in one block of memory. MCJIT maps
        # each section where there is room, and in a process with much memory mapped two of them
        # can be further apart than the 2 GiB an x86-64 address reaches; LLVM then aborts.
        self._linker: Any = llvm.create_lljit_compiler(machine, use_jit_link=True)
        library = llvm.JITLibraryBuilder().add_current_process()
        for name, data in objects.items():
            library.add_object_img(data).export_symbol(name)
        try:
            self._library: Any = library.link(self._linker, "kernels")
        except RuntimeError as error:
            raise LinkError(f"LLVM cannot link: {error}") from None
        self.addresses = {name: int(self._library[name]) for name in objects}
