"""Checks of a Program before it runs: everything that could access wrong memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dlc.ir.types import DTYPES
from dlc.program import (
    Branch,
    Entry,
    Kernel,
    Launch,
    Loop,
    Port,
    Program,
    Segment,
    Slot,
    Step,
    may_meet,
    stands,
    sweep,
    walk,
)

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
        _check_steps(program, entry, entry.launches, ())
        for index, (launch, counts) in enumerate(walk(entry.launches)):
            _check_launch(program, entry, index, launch, counts)


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
        raise ProgramError(f"{program.name}: {what} of role step is not an integer scalar")
    if port.role == "fault" and (port.type.size != 1 or port.type.dtype.name != "i32"):
        raise ProgramError(f"{program.name}: {what} of role fault is not an i32 scalar")


def _check_steps(program: Program, entry: Entry, steps: Sequence[Step],
                 counts: tuple[int, ...]) -> None:
    """Loops run a number of times, flags of branches lie in the arena."""
    for step in steps:
        if isinstance(step, Loop):
            if not 0 <= step.count < 2**31:
                raise ProgramError(f"{entry.name}: loop {step.name} runs {step.count} times")
            _check_steps(program, entry, step.launches, (*counts, step.count))
        elif isinstance(step, Branch):
            what = f"{entry.name}: the flag of branch {step.name}"
            _check_moves(program, what, step.flag, 1, counts)
            _check_steps(program, entry, (*step.then, *step.otherwise), counts)


def _check_moves(program: Program, what: str, slot: Slot, count: int,
                 counts: Sequence[int]) -> None:
    """`count` bytes at `slot` lie in the arena in every iteration."""
    if max(len(slot.strides), len(slot.swaps)) > len(counts):
        raise ProgramError(f"{what} moves with {max(len(slot.strides), len(slot.swaps))} loops, "
                           f"{len(counts)} are around it")
    if 0 not in counts:
        low, high = sweep(slot, counts)
        _check_range(program, what, low, high - low + count)


def _check_launch(program: Program, entry: Entry, index: int, launch: Launch,
                  counts: Sequence[int]) -> None:
    where = f"{entry.name}, launch {index} ({launch.name})"
    extents = extents_of(program, entry, index)
    for stage in launch.stages:
        for segment in stage:
            if not 0 <= segment.kernel < len(program.kernels):
                raise ProgramError(f"{where}: no kernel {segment.kernel}; there are "
                                   f"{len(program.kernels)}")
            if not 0 <= segment.chunks < 2**31:
                raise ProgramError(f"{where}: {segment.chunks} chunks")
            _check_arguments(program, where, segment, extents, counts)
        _check_stage(program, where, stage, extents, counts)


def _check_arguments(program: Program, where: str, segment: Segment, extents: dict[Slot, int],
                     counts: Sequence[int]) -> None:
    kernel = program.kernels[segment.kernel]
    if len(segment.args) != len(kernel.params):
        raise ProgramError(f"{where}: kernel {kernel.name} takes {len(kernel.params)} arguments, "
                           f"got {len(segment.args)}")
    for parameter, value in zip(kernel.params, segment.args, strict=True):
        what = f"{where}: argument {parameter.name} of kernel {kernel.name}"
        if parameter.kind == "pointer":
            if not isinstance(value, Slot):
                raise ProgramError(f"{what} is a pointer, got {value!r}")
            _check_moves(program, what, value, 0, counts)
            _check_pointer(what, value, ELEMENT_BYTES[parameter.dtype], extents, counts)
        elif isinstance(value, Slot) or (isinstance(value, float) and parameter.dtype == "i64"):
            raise ProgramError(f"{what} is an {parameter.dtype}, got {value!r}")
        elif parameter.dtype == "i64" and not -2**63 <= value < 2**63:
            raise ProgramError(f"{what}: {value} is not an i64")


def _check_pointer(what: str, slot: Slot, size: int, extents: dict[Slot, int],
                   counts: Sequence[int]) -> None:
    """A pointer is aligned to its elements wherever it stands, and one that moves stays, over all
    iterations, within buffers that stand still."""
    for bytes_ in (slot.offset, *slot.strides, *slot.swaps):
        if bytes_ % size:
            raise ProgramError(f"{what}: offset {bytes_} is not aligned")
    if not slot.moves or 0 in counts:
        return
    if slot not in extents:
        raise ProgramError(f"{what} moves, and no buffer says how large it is")
    for place in stands(slot, counts):
        low, high = sweep(place, counts)
        end = high + extents[slot]
        if not any(still.offset <= low and end <= still.offset + count
                   for still, count in extents.items() if not still.moves):
            raise ProgramError(f"{what} moves over bytes {low} to {end}, which is not a buffer")


def _check_stage(program: Program, where: str, stage: tuple[Segment, ...],
                 extents: dict[Slot, int], counts: Sequence[int]) -> None:
    """Segments of one stage run at the same time: none may write what another one touches, nor
    may one get the same buffer twice and write it."""
    uses = sorted(((low, high, number, slot, name, written)
                   for number, segment in enumerate(stage)
                   for slot, name, written in _uses(program, segment)
                   for low, high in [_reach(slot, extents, counts)]), key=lambda use: use[:3])
    open_: list[tuple[int, int, int, Slot, str, bool]] = []
    for use in uses:
        open_ = [other for other in open_ if other[1] > use[0]]
        for other in open_:
            same = use[2] == other[2] and use[3] != other[3]
            if (use[5] or other[5]) and not same and may_meet(
                    use[3], _size(use[3], extents), other[3], _size(other[3], extents), counts):
                writer, reader = (use, other) if use[5] else (other, use)
                raise ProgramError(
                    f"{where}: segment {writer[2]} writes {writer[4]} (bytes {writer[0]} to "
                    f"{writer[1]}) while segment {reader[2]} uses {reader[4]} (bytes {reader[0]} "
                    f"to {reader[1]})")
        open_.append(use)


def _size(slot: Slot, extents: dict[Slot, int]) -> int:
    return max(extents.get(slot, 0), 1)


def _reach(slot: Slot, extents: dict[Slot, int], counts: Sequence[int]) -> tuple[int, int]:
    """First byte and end of what a pointer names, over all iterations; at least one byte."""
    low, high = sweep(slot, counts)
    return low, high + _size(slot, extents)


def extents_of(program: Program, entry: Entry, index: int) -> dict[Slot, int]:
    """Bytes of the buffer that starts at a slot while launch `index` of `entry.flat` runs."""
    found: dict[Slot, int] = {}
    for slot, buffer in program.alive(entry.name, index):
        found[slot] = max(buffer.bytes, found.get(slot, 0))
    for port in (*program.persistent, *entry.inputs, *entry.outputs):
        found.setdefault(Slot(port.offset), port.type.bytes)
    return found


def _uses(program: Program, segment: Segment) -> Iterator[tuple[Slot, str, bool]]:
    """(slot, parameter, written) of every pointer argument."""
    for parameter, value in zip(program.kernels[segment.kernel].params, segment.args, strict=True):
        if isinstance(value, Slot):
            yield value, parameter.name, parameter.written
