"""Regions of a CUDA block: what threads share, and that they meet where one reads another's.

A region is a parallel loop between two barriers, so it is judged as one: each thread is a chunk of
the region, and no two of them may access an element of a shared buffer or of memory that either
writes. Outside of regions all threads run the same statements: these store nothing, read nothing
that the next region writes (no barrier stands between), and all barriers are met by all threads.
A loop may hold regions where all threads run it alike: its bounds are made of what they all know.
Of a `thread_` buffer each thread has its own part, and takes an element of it by a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dlc.backend.ir import Alloc, For, Function, Let, Load, Statement, Store, block_of
from dlc.backend.ir.carried import reads
from dlc.backend.ir.index import Sum, Var, sum_of
from dlc.backend.ir.parser import parse
from dlc.backend.ir.printer import kernel_of
from dlc.backend.ir.substitute import substituted
from dlc.backend.ir.walks import blocks, expressions, flattened
from dlc.checks.kernels.chunks import check_chunks
from dlc.checks.kernels.frames import Memory
from dlc.checks.kernels.segment import Case, Verdict
from dlc.program import Parameter


@dataclass(frozen=True)
class Region:
    """A region of a kernel, the loops around it, and the values before it, outermost first."""

    loop: For
    around: tuple[For, ...]
    before: tuple[Let, ...]


def check_regions(case: Case) -> Verdict:
    """All regions of a kernel, in its first block and in its last one, and in the first and the
    last round of the loops around them."""
    function = parse(case.kernel.text, case.kernel.params)
    wrong = list(dict.fromkeys((*structure(function), *own_parts(function))))
    if wrong:
        return Verdict([f"{function.name}: {line}" for line in wrong])
    found = Verdict()
    for number, region in enumerate(regions(function.body)):
        for block in sorted({0, case.chunks - 1}):
            for last in (False, True)[:1 + bool(region.around)]:
                verdict = check_chunks(_alone(case, function, number, region, block, last))
                found.wrong += [line.replace(": chunks ", ": threads ") for line in verdict.wrong]
                found.undecided += verdict.undecided
    return found


def is_region(s: Statement) -> bool:
    """Whether a statement is run by the threads of a block, who meet behind it."""
    return isinstance(s, For) and s.kind == "threads"


def regions(body: Sequence[Statement], around: tuple[For, ...] = (),
            before: tuple[Let, ...] = ()) -> Iterator[Region]:
    """The regions of a kernel, in order."""
    for s in body:
        if isinstance(s, Let):
            before = (*before, s)
        elif isinstance(s, For) and s.kind == "threads":
            yield Region(s, around, before)
        elif isinstance(s, For):
            yield from regions(s.body, (*around, s), before)


def structure(function: Function) -> Iterator[str]:
    """What is wrong with the regions as they stand."""
    shared = {s.name for s in function.body if isinstance(s, Alloc)}
    private: set[str] = set()
    for at, s in enumerate(function.body):
        if is_region(s):
            yield from _region(s, private)
            continue
        if isinstance(s, For) and any(map(is_region, flattened(s.body))):
            yield from _looped(s, private)
            continue
        yield from _outside(s, private)
        left = {e.buffer for e in expressions(s) if isinstance(e, Load)}
        following = next((b for b in function.body[at:] if isinstance(b, For)), None)
        for name in sorted(left & stored([following] if following else [])):
            kind = "shared buffer" if name in shared else "buffer"
            yield f"a thread may store to the {kind} {name} before another has read it"


def _looped(loop: For, private: set[str]) -> Iterator[str]:
    """A loop that holds regions: all threads run it as often, and leave each other nothing but what
    regions store. What a region gives a name to, the next round's first one may not read."""
    for region in regions(loop.body):
        private |= named(region.loop)
    if set(reads(loop)) & private or any(isinstance(e, Load) for e in expressions(loop)):
        yield f"threads may run the loop over {loop.var} differently often, and meet in it"
    for s in loop.body:
        if is_region(s):
            yield from _region(s, private)
        elif isinstance(s, For) and any(map(is_region, flattened(s.body))):
            yield from _looped(s, private)
        elif any(isinstance(e, Load) for e in expressions(s)):
            yield f"a thread may store in a loop over {loop.var} before another has read"
        else:
            yield from _outside(s, private)


def own_parts(function: Function) -> Iterator[str]:
    """Accesses of `thread_` buffers that are not an element, by its number, of a thread's part."""
    threads = block_of(function)
    own = {s.name: s.size // max(threads, 1) for s in function.body
           if isinstance(s, Alloc) and s.space == "thread"}
    for region in regions(function.body) if own else ():
        for s in flattened(region.loop.body):
            places = [(e.buffer, e.index) for e in expressions(s) if isinstance(e, Load)]
            places += [(s.buffer, s.index)] if isinstance(s, Store) else []
            for name, index in places:
                rest = index - sum_of(Var(region.loop.var, 0, threads)) * own.get(name, 0)
                if name in own and (rest.terms or not 0 <= rest.const < own[name]):
                    yield f"{name}[{index.text()}] is no element of the thread's own part"


def _region(region: Statement, private: set[str]) -> Iterator[str]:
    """`private`: names that threads have given values of their own, which end with the region."""
    assert isinstance(region, For)
    if any(is_region(s) for s in flattened(region.body)):
        yield f"the region over {region.var} holds another, at which not all threads meet"
    known = {region.var}
    yield from _exposed(region.body, private, known)
    private |= named(region)


def named(region: For) -> set[str]:
    """The names that a region gives."""
    return {region.var} | {s.name for s in flattened(region.body) if isinstance(s, Let)}


def _exposed(body: Sequence[Statement], private: set[str], known: set[str]) -> Iterator[str]:
    """Names of an earlier region that are read before they have a value in this one."""
    for s in body:
        yield from (f"{name} is what a thread kept from an earlier region"
                    for name in reads(s) if name in private - known)
        if isinstance(s, For):
            yield from _exposed(s.body, private, known | {s.var})
        elif isinstance(s, Let):
            known.add(s.name)


def _outside(s: Statement, private: set[str]) -> Iterator[str]:
    """What all threads run alike: allocations of shared buffers, and values."""
    if isinstance(s, Alloc) and s.space == "stack":
        yield f"the buffer {s.name} stands outside of regions and is not shared"
    if isinstance(s, Store):
        yield f"every thread stores to {s.buffer}"
    if any(is_region(inner) for body in blocks(s) for inner in flattened(body)):
        yield "a region stands in a loop or a branch, where not all threads may meet"
    if not isinstance(s, (Alloc, Store, Let)):
        yield f"a {type(s).__name__} stands outside of regions"
    yield from (f"{name} is what a thread kept from an earlier region"
                for name in reads(s) if name in private)
    if isinstance(s, Let):
        private.discard(s.name)


def stored(statements: Sequence[Statement]) -> set[str]:
    """The buffers that statements store to."""
    return {s.buffer for s in flattened(statements) if isinstance(s, Store)}


def _alone(case: Case, function: Function, number: int, region: Region, block: int,
           last: bool) -> Case:
    """A region of one block as a kernel whose chunks are its threads; shared buffers are its
    arguments."""
    spaces = [s for s in function.body if isinstance(s, Alloc)]
    threads = region.loop.high.const
    body: Sequence[Statement] = [*region.before, *region.loop.body]
    for loop in reversed(region.around):
        body = substituted(body, {loop.var: last_of(loop) if last else loop.low})
    body = substituted(body, {"chunk": Sum(block)})
    body = substituted(body, {region.loop.var: sum_of(Var("chunk", 0, max(threads - 1, 1)))})
    params = (*function.params, *(Parameter(s.name, s.dtype.name, "pointer", True)
                                  for s in spaces))
    alone = replace(function, params=params, body=tuple(body))
    memories = [Memory(s.name, s.dtype.name, s.size, written=True) for s in spaces]
    return Case(kernel_of(alone), case.tiles, [*case.arguments, *memories], threads,
                (case.key, "region", number, block, last), alone)


def last_of(loop: For) -> Sum:
    """Where the last round of a loop stands."""
    return loop.low + (loop.high - loop.low - 1) // loop.step * loop.step
