"""Loop-carried dependences, and the kind of loop that follows from them.

    for r in reduce(10, into=[total], by=lambda total, total_: total + total_):
        total = total + x[r]                    rounds leave `total` to the next one, else nothing
    for j in vector(64):                        no round leaves anything to another
        y[j] = total * x[j]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dlc.backend.ir import Alloc, For, Let, Load, Ref, Statement, Store
from dlc.backend.ir.index import Sum
from dlc.backend.ir.walks import expressions, flattened, indices


def folded_into(var: str, body: Sequence[Statement]) -> tuple[str, ...] | None:
    """The names and local buffers into which the rounds of a loop over `var` fold what they
    compute, if they leave nothing else to each other; None where they do, or where that is not
    seen."""
    if not all(isinstance(s, (Let, Store, For, Alloc)) for s in flattened(body)):
        return None
    names = assigned(body)
    read: set[str] = set()
    _exposed(body, set(), read)
    buffers = []
    for name, places in shared(body).items():
        if any(place.variables() & {var, *names} for place in places):
            if len(places) > 1:
                return None
        elif not is_cleared(name, body):
            buffers.append(name)
    return (*(n for n in names if n in read), *buffers)


def is_vector(var: str, body: Sequence[Statement]) -> bool:
    """Whether rounds of an innermost loop store to elements of their own and leave nothing to
    each other: they may run side by side in the lanes of a vector."""
    if not all(isinstance(s, (Let, Store)) for s in body):
        return False
    into = folded_into(var, body)
    stores = [s for s in body if isinstance(s, Store)]
    names = set(assigned(body))
    return into == () and all(
        s.index.coefficient(var) and not s.index.variables() & names for s in stores) and all(
        len({s.index for s in stores if s.buffer == b}) == 1 for b in {s.buffer for s in stores})


def is_cleared(buffer: str, body: Sequence[Statement]) -> bool:
    """Whether a round begins with storing to a buffer what is not made of it."""
    for s in flattened(body):
        if any(isinstance(e, Load) and e.buffer == buffer for e in expressions(s)):
            return False
        if isinstance(s, Store) and s.buffer == buffer:
            return True
    return False


def assigned(body: Sequence[Statement]) -> list[str]:
    """The names that statements give a value, in order."""
    return list(dict.fromkeys(s.name for s in flattened(body) if isinstance(s, Let)))


def shared(body: Sequence[Statement]) -> dict[str, set[Sum]]:
    """The places at which buffers are accessed that are both stored and loaded."""
    stored: dict[str, set[Sum]] = {}
    loaded: dict[str, set[Sum]] = {}
    for s in flattened(body):
        if isinstance(s, Store):
            stored.setdefault(s.buffer, set()).add(s.index)
        for e in expressions(s):
            if isinstance(e, Load):
                loaded.setdefault(e.buffer, set()).add(e.index)
    return {name: places | loaded[name] for name, places in stored.items() if name in loaded}


def _exposed(statements: Sequence[Statement], known: set[str], read: set[str]) -> None:
    """Add to `read` the names that are read before one of the statements gives them a value."""
    for s in statements:
        read |= {*reads(s)} - known
        if isinstance(s, For):
            _exposed(s.body, {*known, s.var}, read)
        elif isinstance(s, Let):
            known.add(s.name)


def reads(statement: Statement) -> Iterator[str]:
    """The names that a statement itself reads."""
    for item in (statement, *expressions(statement)):
        if isinstance(item, Ref):
            yield item.name
        for index in indices(item):
            yield from index.variables()
