"""Regions of a CUDA block: what threads share, and that they meet where one reads another's.

A region is a parallel loop between two barriers, so it is judged as one: each thread is a chunk of
the region, and no two of them may access an element of a shared buffer or of memory that either
writes. Outside of regions all threads run the same statements: these store nothing, read nothing
that the next region writes (no barrier stands between), and all barriers are met by all threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dlc.backend.ir import Alloc, For, Function, Let, Load, Statement, Store
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


def check_regions(case: Case) -> Verdict:
    """All regions of a kernel, in its first block and in its last one."""
    function = parse(case.kernel.text, case.kernel.params)
    wrong = list(dict.fromkeys(structure(function)))
    if wrong:
        return Verdict([f"{function.name}: {line}" for line in wrong])
    found = Verdict()
    for at, s in enumerate(function.body):
        if not is_region(s):
            continue
        for block in sorted({0, case.chunks - 1}):
            verdict = check_chunks(_alone(case, function, at, block))
            found.wrong += [line.replace(": chunks ", ": threads ") for line in verdict.wrong]
            found.undecided += verdict.undecided
    return found


def is_region(s: Statement) -> bool:
    """Whether a statement is run by the threads of a block, who meet behind it."""
    return isinstance(s, For) and s.kind == "threads"


def structure(function: Function) -> Iterator[str]:
    """What is wrong with the regions as they stand."""
    shared = {s.name for s in function.body if isinstance(s, Alloc)}
    private: set[str] = set()
    for at, s in enumerate(function.body):
        if is_region(s):
            yield from _region(s, private)
            continue
        yield from _outside(s, private)
        left = {e.buffer for e in expressions(s) if isinstance(e, Load)}
        following = next((b for b in function.body[at:] if is_region(b)), None)
        for name in sorted(left & stored([following] if following else [])):
            kind = "shared buffer" if name in shared else "buffer"
            yield f"a thread may store to the {kind} {name} before another has read it"


def _region(region: Statement, private: set[str]) -> Iterator[str]:
    """`private`: names that threads have given values of their own, which end with the region."""
    assert isinstance(region, For)
    if any(is_region(s) for s in flattened(region.body)):
        yield f"the region over {region.var} holds another, at which not all threads meet"
    known = {region.var}
    yield from _exposed(region.body, private, known)
    private |= {s.name for s in flattened(region.body) if isinstance(s, Let)} | {region.var}


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
    if isinstance(s, Alloc) and s.space != "shared":
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


def _alone(case: Case, function: Function, at: int, block: int) -> Case:
    """A region of one block as a kernel whose chunks are its threads; shared buffers are its
    arguments."""
    region = function.body[at]
    assert isinstance(region, For)
    before = [s for s in function.body[:at] if isinstance(s, Let)]
    spaces = [s for s in function.body if isinstance(s, Alloc)]
    threads = region.high.const
    body = substituted([*before, *region.body], {"chunk": Sum(block)})
    body = substituted(body, {region.var: sum_of(Var("chunk", 0, max(threads - 1, 1)))})
    params = (*function.params, *(Parameter(s.name, s.dtype.name, "pointer", True)
                                  for s in spaces))
    alone = replace(function, params=params, body=body)
    memories = [Memory(s.name, s.dtype.name, s.size, written=True) for s in spaces]
    return Case(kernel_of(alone), case.tiles, [*case.arguments, *memories], threads,
                (case.key, "region", at, block), alone)
