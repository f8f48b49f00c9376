"""The checkers applied to a whole Program, each distinct segment once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from dlc.checks.kernels.bounds import Loose, check_bounds, look
from dlc.checks.kernels.chunks import Touched, check_chunks, note
from dlc.checks.kernels.frames import Event, Unread, WorkLimit
from dlc.checks.kernels.initialised import check_locals
from dlc.checks.kernels.known import Known
from dlc.checks.kernels.regions import check_regions
from dlc.checks.kernels.segment import BUDGETS, Case, Verdict, case_of
from dlc.ir.types import DTYPES
from dlc.program import Entry, Launch, Program, Segment, Slot

_known: Known[Verdict] = Known()


@dataclass
class Findings:
    """What the checkers of a Program found: segments looked at, and accesses left undecided."""

    segments: int = 0
    undecided: list[str] = field(default_factory=list)


def check_static(program: Program) -> Findings:
    """All that can be said of a Program without running it; raises ProgramError."""
    from dlc.runtime.reference.hazards import check_hazards

    check_hazards(program)
    return check_kernels(program)


def check_kernels(program: Program) -> Findings:
    """Every segment's loads and stores; raises ProgramError for what is wrong."""
    from dlc.runtime.cpu.check import ProgramError

    findings = Findings()
    for entry, launch, segment, extents in segments_of(program):
        case = case_of(program.kernels[segment.kernel], program.tiles, extents, segment.args,
                       segment.chunks)
        verdict = judged(check_segment, case)
        where = f"{entry.name}, launch {launch.name} ({', '.join(launch.lines)})"
        if verdict.wrong:
            raise ProgramError(f"{where}: {'; '.join(verdict.wrong)}")
        findings.segments += 1
        findings.undecided += [f"{where}: {line}" for line in verdict.undecided]
    return findings


def check_segment(case: Case) -> Verdict:
    """Bounds, local buffers and chunks; bounds and chunks share their first walk. A user's function
    on array views checks its own indices."""
    if case.kernel.raises or not case.chunks:
        return Verdict()
    (loose, touched), cut = case.walk(BUDGETS[0], None, _nothing_seen, _see)
    found = check_bounds(case, (loose, cut))
    found = Verdict(found.wrong or check_locals(case).wrong, found.undecided)
    if case.kernel.block and not found.wrong:
        other = check_regions(case)
        found = Verdict(other.wrong, found.undecided + other.undecided)
    if found.wrong or case.chunks == 1:
        return found
    other = check_chunks(case, (touched, cut))
    return Verdict(other.wrong, found.undecided + other.undecided)


def _nothing_seen() -> tuple[dict[int, Loose], dict[str, Touched]]:
    return {}, {}


def _see(found: tuple[dict[int, Loose], dict[str, Touched]], event: Event) -> None:
    look(found[0], event)
    note(BUDGETS[0], found[1], event)


def judged(check: Callable[..., Verdict], case: Case, *more: str | Case) -> Verdict:
    """What `check` says of the case, from the last time where all is the same; undecided where the
    text takes too much work or can't be followed."""
    key = (check, case.key, *(m.key if isinstance(m, Case) else m for m in more))

    def find() -> Verdict:
        try:
            return check(case, *more)
        except (WorkLimit, Unread) as reason:
            return Verdict(undecided=[f"{case.kernel.name}: {type(reason).__name__} {reason}"])

    return _known.get(key, find)


def segments_of(program: Program) -> Iterator[
        tuple[Entry, Launch, Segment, tuple[int | None, ...]]]:
    """Every segment, with the number of elements that each of its pointers has."""
    for entry in program.entries.values():
        for index, launch in enumerate(entry.flat):
            sizes = sizes_of(program, entry, index)
            for stage in launch.stages:
                for segment in stage:
                    kernel = program.kernels[segment.kernel]
                    yield entry, launch, segment, tuple(
                        sizes.get(value, 0) // DTYPES[p.dtype].bytes if isinstance(value, Slot)
                        else None for p, value in zip(kernel.params, segment.args, strict=True))


def sizes_of(program: Program, entry: Entry, index: int) -> dict[Slot, int]:
    """Bytes of the value at a slot while launch `index` runs, its alignment left out."""
    found: dict[Slot, int] = {}
    for slot, buffer in program.alive(entry.name, index):
        found[slot] = max(buffer.type.bytes, found.get(slot, 0))
    for port in (*program.persistent, *entry.inputs, *entry.outputs):
        found.setdefault(Slot(port.offset), port.type.bytes)
    return found
