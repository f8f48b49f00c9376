"""A position of a kernel's axes as a block of threads: long rows are reduced and written together.

    for i in parallel(64):                          total = shared_f32(128)
        sum = f32(0.0)                              for t in threads(128):
        for r in reduce(1000, into=[sum], ...):         sum = f32(0.0)
            sum = radd(sum, x[i * 1000 + r])   ->       for r in range(t, 1000, 128):
        for j in vector(1000):                              sum = radd(sum, x[chunk * 1000 + r])
            y[i * 1000 + j] = ... / sum                 total[t] = sum
                                                    for t in threads(64):
                                                        ...
                                                    sum = total[0]

`for t in threads(n)` is a region: the first n threads run it, then all threads of the block meet.
What stands outside of regions is run by every thread alike and stores nothing. A thread keeps
nothing from one region to the next but what lies in shared buffers, so a region is a parallel loop
between two barriers, and runs, prints and is checked as one. Partial results are combined as a
tree, always the same one.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace

from dlc.backend.cpu.mapping import chunked, finest
from dlc.backend.ir import (
    Alloc,
    Binary,
    Call,
    Expression,
    For,
    Function,
    Let,
    Load,
    Number,
    Ref,
    Statement,
    Store,
    later,
)
from dlc.backend.ir.carried import folded_into, is_vector
from dlc.backend.ir.index import Sum, Var, least, sum_of
from dlc.backend.ir.names import Names
from dlc.backend.ir.walks import expressions, flattened, names_of

THREADS = 128
"""Threads of such a block, and the rounds from which a loop is worth one."""
LEAST_ROUNDS = 32
"""Rounds of an inner loop from which it is worth dividing: a warp reads them as one."""
SYMMETRIC = ("radd", "rmul", "rmin", "rmax", "minimum", "maximum", "min", "max")


def in_blocks(whole: Function) -> tuple[Function, int] | None:
    """The kernel with a block for each position of its axes, and how many blocks there are; None
    where threads on their own read memory as well, or where the loops do not divide."""
    kernel, blocks = chunked(whole, finest(whole))
    position = _position(whole)
    if position is None or not any(isinstance(s, For) and is_worth(s) for s in position):
        return None
    # the chunk's own statements are the position's, behind the names of where it stands
    kinds = {s.var: s for s in position if isinstance(s, For)}
    writer = Writer(Names(names_of(whole)))
    for s in kernel.body:
        if not writer.add(replace(s, kind=kinds[s.var].kind, into=kinds[s.var].into,
                                  by=kinds[s.var].by) if isinstance(s, For) else s):
            return None
    body = writer.settled()
    return None if body is None else (replace(kernel, body=(*writer.buffers, *body)), blocks)


def _position(whole: Function) -> Sequence[Statement] | None:
    """What a position of all axes does; None where positions share more than names of places."""
    body: Sequence[Statement] = whole.body
    while body and isinstance(body[-1], For) and body[-1].kind == "parallel":
        if not all(isinstance(s, Let) for s in body[:-1]):
            return None
        body = body[-1].body
    return body


@dataclass
class Writer:
    """Writes the regions of a block, statement by statement."""

    names: Names
    buffers: list[Alloc] = field(default_factory=list)
    body: list[Statement] = field(default_factory=list)

    def add(self, s: Statement) -> bool:
        """Add a statement of the position; whether it can be divided."""
        if isinstance(s, Let):
            self.body.append(s)
        elif isinstance(s, Store):
            self.region(1, (s,))
        elif isinstance(s, For) and s.kind == "vector" and s.step == 1:
            self.region(THREADS, (spread(s, self.thread()),))
        elif isinstance(s, For) and s.kind == "reduce" and is_symmetric(s):
            return self._reduce(s)
        elif isinstance(s, For) and s.kind == "serial" and is_nest(s):
            self.region(THREADS, (spread(s, self.thread()),))
        else:
            return False
        return True

    def settled(self) -> list[Statement] | None:
        """The statements, with stores of single elements that follow each other in one region.
        Where a store may come before another thread has read, one thread alone runs what stands
        behind the last region of several; None where that is not enough."""
        found: list[Statement] = []
        for s in self.body:
            last = found[-1] if found else None
            if is_single(s) and is_single(last):
                assert isinstance(s, For) and isinstance(last, For)
                found[-1] = replace(last, body=(*last.body, *s.body))
            else:
                found.append(s)
        shared = {b.name for b in self.buffers}
        if not reads_stored(found, shared):
            return found
        at = max((n for n, s in enumerate(found) if isinstance(s, For) and not is_single(s)),
                 default=-1) + 1
        tail = [part for s in found[at:] for part in (s.body if isinstance(s, For) else (s,))]
        found = [*found[:at], For("t", Sum(), Sum(1), tail, kind="threads")]
        return None if reads_stored(found, shared) else found

    def thread(self) -> Var:
        return Var("t", 0, THREADS - 1)

    def region(self, threads: int, body: Sequence[Statement]) -> None:
        self.body.append(For("t", Sum(), Sum(threads), tuple(body), kind="threads"))

    def _reduce(self, loop: For) -> bool:
        """Each thread's part from the identity on, into shared buffers; the tree; the result."""
        starts = {s.name: s for s in self.body if isinstance(s, Let) and s.name in loop.into
                  and isinstance(s.value, Number)}
        if set(starts) != set(loop.into):
            return False
        self.body = [s for s in self.body if s not in starts.values()]
        states = [Ref(n, starts[n].value.dtype) for n in loop.into]
        places = [self.names.new(f"{n}_parts") for n in loop.into]
        self.buffers += [Alloc(p, s.dtype, THREADS, "shared")
                         for p, s in zip(places, states, strict=True)]
        t = sum_of(self.thread())
        keep = [Store(p, t, s, s.dtype) for p, s in zip(places, states, strict=True)]
        self.region(THREADS, (*starts.values(), spread(loop, self.thread()), *keep))
        half = THREADS // 2
        while half:
            ours = [Let(s.name, Load(p, t, s.dtype)) for p, s in zip(places, states, strict=True)]
            theirs = [Let(later(s.name), Load(p, t + half, s.dtype))
                      for p, s in zip(places, states, strict=True)]
            made = [Store(p, t, by, s.dtype)
                    for p, s, by in zip(places, states, loop.by, strict=True)]
            self.region(half, (*ours, *theirs, *made))
            half //= 2
        self.body += [Let(s.name, Load(p, Sum(), s.dtype))
                      for p, s in zip(places, states, strict=True)]
        return True


def reads_stored(body: Sequence[Statement], shared: Set[str]) -> bool:
    """Whether all threads read outside of regions what one of them stores in memory, other than in
    `shared` buffers: it may do so before another has read it."""
    read = {e.buffer for s in body if isinstance(s, Let) for e in expressions(s)
            if isinstance(e, Load)}
    return bool((read - shared) & {s.buffer for s in flattened(body) if isinstance(s, Store)})


def is_single(s: Statement | None) -> bool:
    """Whether a region stores single elements by one thread."""
    return isinstance(s, For) and s.kind == "threads" and s.high == Sum(1) and all(
        isinstance(b, Store) for b in s.body)


def is_symmetric(loop: For) -> bool:
    """Whether rounds of a reduction may be folded in any order: no buffer is folded into, each
    state is combined by an operation that commutes, and what is stored besides has its own place.
    """
    if len(loop.by) != len(loop.into) or any(isinstance(s, Alloc) for s in flattened(loop.body)):
        return False
    leaf = leaf_of(loop)
    if any(isinstance(s, Store) and s.index.coefficient((run_of(leaf) or leaf).var) != 1
           for s in flattened(loop.body)):
        return False
    return all(_commutes(by, {n, later(n)}) for n, by in zip(loop.into, loop.by, strict=True))


def is_nest(loop: For) -> bool:
    """Whether a loop holds one whose rounds may run side by side, and leaves nothing to itself."""
    leaf = leaf_of(loop)
    outside = (s for s in loop.body if isinstance(s, Store))
    return (leaf is not loop and folded_into(loop.var, loop.body) == ()
            and is_vector(leaf.var, leaf.body) and leaf.step == 1 and not any(outside))


def _commutes(by: Expression, names: set[str]) -> bool:
    """Whether `by` combines the two names by an operation that commutes."""
    if isinstance(by, Call):
        parts: tuple[Expression, ...] = by.args if by.function in SYMMETRIC else ()
    elif isinstance(by, Binary):
        parts = (by.a, by.b) if by.sign in "+*&|^" else ()
    else:
        parts = ()
    return {p.name for p in parts if isinstance(p, Ref)} == names and len(parts) == 2


def run_of(loop: For) -> For | None:
    """The inner loop of a reduction in runs, `for r2 in range(r, min(r + step, n))`."""
    inner = [s for s in loop.body if isinstance(s, For)]
    if loop.step == 1 or len(inner) != 1 or inner[0].low != _place(loop) or inner[0].step != 1:
        return None
    return inner[0]


def nested(loop: For) -> For | None:
    """The loop inside a reduction that its threads divide in its place, each of them running all
    rounds of the outer one: `for r in range(64): for r2 in range(784): ...`. None where the outer
    one folds anything that is not of the inner one: every thread would fold it."""
    inner = [s for s in loop.body if isinstance(s, For)]
    if run_of(loop) is not None or len(inner) != 1:
        return None
    at = list(loop.body).index(inner[0])
    begun = {s.name for s in loop.body[:at] if isinstance(s, Let) and isinstance(s.value, Number)}
    for s in (*loop.body[:at], *loop.body[at + 1:]):
        if not isinstance(s, Let):
            return None
        used = {e.name for e in expressions(s) if isinstance(e, Ref)}
        if s.name in loop.into and (s in loop.body[:at] or not used <= begun | {s.name}):
            return None
    return inner[0]


def leaf_of(loop: For) -> For:
    """The loop that threads divide: the innermost of nested ones, or the loop itself."""
    inner = nested(loop)
    return loop if inner is None else leaf_of(inner)


def _place(loop: For) -> Sum:
    """Where a loop stands. The name alone says which variable it is."""
    return sum_of(Var(loop.var, loop.low.low, loop.high.high - 1))


def spread(loop: For, thread: Var) -> For:
    """The rounds of a loop that a thread takes: every THREADS-th, or of each round those of the
    loop inside. Of a reduction in runs it takes every THREADS-th element of THREADS runs at a time.
    """
    run, inner = run_of(loop), nested(loop)
    if inner is not None:
        mine = spread(inner, thread)
        return replace(loop, body=tuple(mine if s is inner else s for s in loop.body),
                       kind="serial", into=(), by=())
    if run is None:
        return replace(loop, low=loop.low + sum_of(thread), step=loop.step * THREADS,
                       kind="serial", into=(), by=())
    wide = loop.step * THREADS
    mine = replace(run, low=run.low + sum_of(thread), high=least(_place(loop) + wide, loop.high),
                   step=THREADS, kind="serial", into=(), by=())
    return replace(loop, body=tuple(mine if s is run else s for s in loop.body), step=wide,
                   kind="serial", into=(), by=())


def is_worth(loop: For) -> bool:
    """Whether a loop has rounds for all threads, and neighbouring rounds read neighbouring
    elements."""
    if loop.kind != "reduce":
        return False
    leaf = leaf_of(loop)
    least_rounds = THREADS if leaf is loop else LEAST_ROUNDS
    if leaf.high.high - leaf.low.low < least_rounds:
        return False
    var = (run_of(leaf) or leaf).var
    places = [e.index.coefficient(var) for s in flattened(loop.body) for e in expressions(s)
              if isinstance(e, Load)]
    return 1 in places and all(p in (0, 1) for p in places)
