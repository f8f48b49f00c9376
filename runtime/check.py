"""What must hold of a Program before it runs: everything that could touch wrong memory."""

from __future__ import annotations

from collections.abc import Iterator

from dlc.program import Entry, Kernel, Launch, Port, Program, Segment, Slot
from dlc.types import DTYPES

ELEMENT_BYTES = {**{name: d.bytes for name, d in DTYPES.items()}, "u16": 2, "u64": 8}


class ProgramError(ValueError):
    """A Program that does not hold together; the message names entry, launch and argument."""


def check_program(program: Program) -> None:
    """Raise ProgramError unless every offset, index and argument of `program` fits."""
    if program.arena_bytes < 0:
        raise ProgramError(f"{program.name}: arena of {program.arena_bytes} bytes")
    for kernel in program.kernels:
        _check_kernel(program, kernel)
    for constant in program.constants:
        _check_range(program, "a constant", constant.offset, len(constant.data))
    for port in program.persistent:
        _check_port(program, "persistent", port)
    for entry in program.entries.values():
        for port in (*entry.inputs, *entry.outputs):
            _check_port(program, entry.name, port)
        for index, launch in enumerate(entry.launches):
            _check_launch(program, entry, index, launch)


def _check_kernel(program: Program, kernel: Kernel) -> None:
    names = [p.name for p in kernel.params]
    if len(set(names)) != len(names) or "chunk" in names:
        raise ProgramError(f"kernel {kernel.name}: parameters {', '.join(names)} are not distinct "
                           "(chunk is added last)")
    kinds = [p.kind for p in kernel.params]
    if kinds != sorted(kinds):
        raise ProgramError(f"kernel {kernel.name}: pointers come before scalars")
    for p in kernel.params:
        allowed = ELEMENT_BYTES if p.kind == "pointer" else ("i64", "f64")
        if p.kind not in ("pointer", "scalar") or p.dtype not in allowed:
            raise ProgramError(f"kernel {kernel.name}: {p.kind} {p.name} of {p.dtype}")
    for tile in kernel.tiles:
        if tile not in program.tiles:
            raise ProgramError(f"kernel {kernel.name} calls tile {tile}, which is not there")


def _check_range(program: Program, what: str, offset: int, count: int) -> None:
    if offset < 0 or count < 0 or offset + count > program.arena_bytes:
        raise ProgramError(f"{program.name}: {what} takes bytes {offset} to {offset + count} of "
                           f"an arena of {program.arena_bytes}")


def _check_port(program: Program, where: str, port: Port) -> None:
    what = f"{where} {port.name}"
    _check_range(program, what, port.offset, port.type.bytes)
    if port.offset % port.type.dtype.bytes:
        raise ProgramError(f"{program.name}: {what} at {port.offset} is not aligned to its "
                           f"{port.type.dtype.bytes} bytes")
    if port.role == "step" and (port.type.size != 1 or not port.type.dtype.is_integer):
        raise ProgramError(f"{program.name}: {what} of role step is no integer scalar")
    if port.role == "fault" and (port.type.size != 1 or port.type.dtype.name != "i32"):
        raise ProgramError(f"{program.name}: {what} of role fault is no i32 scalar")


def _check_launch(program: Program, entry: Entry, index: int, launch: Launch) -> None:
    where = f"{entry.name}, launch {index} ({launch.name})"
    for stage in launch.stages:
        for segment in stage:
            if not 0 <= segment.kernel < len(program.kernels):
                raise ProgramError(f"{where}: no kernel {segment.kernel}; there are "
                                   f"{len(program.kernels)}")
            if not 0 <= segment.chunks < 2**31:
                raise ProgramError(f"{where}: {segment.chunks} chunks")
            _check_arguments(program, where, program.kernels[segment.kernel], segment)
        _check_stage(program, entry, where, index, stage)


def _check_arguments(program: Program, where: str, kernel: Kernel, segment: Segment) -> None:
    if len(segment.args) != len(kernel.params):
        raise ProgramError(f"{where}: kernel {kernel.name} takes {len(kernel.params)} arguments, "
                           f"got {len(segment.args)}")
    for parameter, value in zip(kernel.params, segment.args, strict=True):
        what = f"{where}: argument {parameter.name} of kernel {kernel.name}"
        if parameter.kind == "pointer":
            if not isinstance(value, Slot):
                raise ProgramError(f"{what} is a pointer, got {value!r}")
            _check_range(program, what, value.offset, 0)
            if value.offset % ELEMENT_BYTES[parameter.dtype]:
                raise ProgramError(f"{what}: offset {value.offset} is not aligned")
        elif isinstance(value, Slot) or (isinstance(value, float) and parameter.dtype == "i64"):
            raise ProgramError(f"{what} is an {parameter.dtype}, got {value!r}")
        elif parameter.dtype == "i64" and not -2**63 <= value < 2**63:
            raise ProgramError(f"{what}: {value} is no i64")


def _check_stage(program: Program, entry: Entry, where: str, index: int,
                 stage: tuple[Segment, ...]) -> None:
    """Segments of one stage run at the same time: none may write what another one touches, nor
    may one get the same buffer twice and write it."""
    extents = extents_of(program, entry, index)
    uses = sorted((low, high, number, name, written) for number, segment in enumerate(stage)
                  for low, high, name, written in _uses(program, segment, extents))
    open_: list[tuple[int, int, int, str, bool]] = []
    for use in uses:
        open_ = [other for other in open_ if other[1] > use[0]]
        for other in open_:
            if (use[4] or other[4]) and (use[2] != other[2] or use[0] == other[0]):
                writer, reader = (use, other) if use[4] else (other, use)
                raise ProgramError(
                    f"{where}: segment {writer[2]} writes {writer[3]} (bytes {writer[0]} to "
                    f"{writer[1]}) while segment {reader[2]} uses {reader[3]} (bytes {reader[0]} "
                    f"to {reader[1]})")
        open_.append(use)


def extents_of(program: Program, entry: Entry, index: int) -> dict[int, int]:
    """End of the buffer that starts at an offset while launch `index` of `entry` runs."""
    ends: dict[int, int] = {}
    for buffer in program.buffers:
        if buffer.entry in (entry.name, "") and buffer.first <= index <= buffer.last:
            end = buffer.offset + buffer.bytes
            ends[buffer.offset] = max(end, ends.get(buffer.offset, 0))
    for port in (*program.persistent, *entry.inputs, *entry.outputs):
        ends.setdefault(port.offset, port.offset + port.type.bytes)
    return ends


def _uses(program: Program, segment: Segment,
          extents: dict[int, int]) -> Iterator[tuple[int, int, str, bool]]:
    """(first byte, end, parameter, written) of every pointer argument, at least one byte each."""
    for parameter, value in zip(program.kernels[segment.kernel].params, segment.args, strict=True):
        if isinstance(value, Slot):
            end = extents.get(value.offset, value.offset + 1)
            yield value.offset, max(end, value.offset + 1), parameter.name, parameter.written

