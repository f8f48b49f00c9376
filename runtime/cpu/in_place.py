"""Which inputs of an entry kernels may read where the caller has them, instead of in the arena."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dlc.program import Branch, Entry, Loop, Port, Program, Slot, Step, sweep, walk

LEAST_BYTES = 1 << 16  # smaller inputs are copied: that takes less than to look where they lie


def large(program: Program, entry: Entry) -> dict[str, Port]:
    """The inputs of `entry` that are worth a look: large, no parameters and no state."""
    kept = {port.name for port in program.persistent}
    return {p.name: p for p in entry.inputs
            if p.name not in kept and p.role != "step" and p.type.bytes >= LEAST_BYTES}


def last_readers(program: Program, entry: Entry, ports: Mapping[str, Port]) -> dict[str, int]:
    """Of the `ports` that launches only read, the last launch of `entry.flat` that does.

    Up to that one, a pointer into an input's bytes is to the input; later ones are to values that
    have its memory next. Left out are inputs that a launch writes over before, that are given
    out again, that alternate with another buffer in a loop, or that decide a branch.
    """
    last = {name: at for name, port in ports.items()
            if (at := _last(program, entry, port)) is not None}
    for index, (launch, counts) in enumerate(walk(entry.launches)):
        for segment in (s for stage in launch.stages for s in stage):
            parameters = program.kernels[segment.kernel].params
            pointers = [(p, a) for p, a in zip(parameters, segment.args, strict=True)
                        if isinstance(a, Slot)]
            for parameter, slot in pointers:
                for name in _met(slot, counts, ports):
                    fits = not parameter.written and is_within(slot, counts, ports[name])
                    if index <= last.get(name, -1) and not fits:
                        del last[name]
    for flag, counts in _flags(entry.launches, ()):
        for name in _met(flag, counts, ports):
            last.pop(name, None)
    return last


def _last(program: Program, entry: Entry, port: Port) -> int | None:
    """The launch up to which the port's bytes are the input's; None if not known, or to the end.
    """
    for _, buffer in program.lives.get(entry.name, ()):
        if buffer.category == "input" and buffer.first < 0 and buffer.offset == port.offset:
            return buffer.last if buffer.last < len(entry.flat) else None
    return None


def _met(slot: Slot, counts: Sequence[int], ports: Mapping[str, Port]) -> Iterator[str]:
    """The ports with bytes where `slot` points in some iteration of the loops around it."""
    if 0 not in counts:
        low, high = sweep(slot, counts)
        for name, port in ports.items():
            if low < port.offset + port.type.bytes and port.offset <= high:
                yield name


def is_within(slot: Slot, counts: Sequence[int], port: Port) -> bool:
    """Whether `slot` points into the port's bytes in every iteration."""
    low, high = sweep(slot, counts)
    return not slot.swaps and port.offset <= low and high < port.offset + port.type.bytes


def _flags(steps: Sequence[Step], counts: tuple[int, ...]) -> Iterator[tuple[Slot,
                                                                            tuple[int, ...]]]:
    """The flags of all branches, with the counts of the loops around them."""
    for step in steps:
        if isinstance(step, Loop):
            yield from _flags(step.launches, (*counts, step.count))
        elif isinstance(step, Branch):
            yield step.flag, counts
            yield from _flags((*step.then, *step.otherwise), counts)
