"""A kernel as the checkers see it: its statements with their printed lines, and which names loops
and branches assign."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from dlc.backend.ir import For, Function, If, Let, Ref, Statement, While
from dlc.backend.ir.parser import parse
from dlc.backend.ir.printer import heading
from dlc.backend.ir.walks import blocks, expressions, indices
from dlc.program import Kernel


@dataclass(eq=False)
class Spot:
    """One statement of a kernel: equal ones in two places are two."""

    statement: Statement
    line: int
    blocks: tuple[tuple[Spot, ...], ...] = ()
    kernel: list[Spot] = field(default_factory=list)  # all statements that stand in none

    @cached_property
    def carried(self) -> Sequence[str]:
        """Names that a loop or a branch reads inside before it gives them a value in the same
        round: another round may have given it."""
        read = set(self.head) if isinstance(self.statement, While) else set()
        for inner in self.blocks:
            _exposed(inner, set(), read)
        return [n for n in self.assigned if n in read]

    @cached_property
    def kept(self) -> Sequence[str]:
        """Names that a loop or branch gives a value and that somebody outside of it reads."""
        return [n for n in self.assigned if n in self.carried or
                sum(spot.loads[n] for spot in self.kernel) > self.loads[n]]

    @cached_property
    def assigned(self) -> list[str]:
        """Names that the statements inside give a value."""
        names: dict[str, None] = {}
        for spot in (s for inner in self.blocks for s in inner):
            match spot.statement:
                case Let(name=name):
                    names[name] = None
                case For(var=var):
                    names[var] = None
            names.update(dict.fromkeys(spot.assigned))
        return list(names)

    @cached_property
    def head(self) -> Counter[str]:
        """How often the statement itself reads each name."""
        found: Counter[str] = Counter()
        for item in (self.statement, *expressions(self.statement)):
            if isinstance(item, Ref):
                found[item.name] += 1
            for index in indices(item):
                found.update(index.variables())
        return found

    @cached_property
    def loads(self) -> Counter[str]:
        """How often each name is read by the statement and those inside."""
        found = Counter(self.head)
        for spot in (s for inner in self.blocks for s in inner):
            found.update(spot.loads)
        return found


@lru_cache(maxsize=4096)
def spots_of(kernel: Kernel) -> tuple[Spot, ...]:
    """The statements of a kernel, from its text."""
    return spots_in(parse(kernel.text, kernel.params))


def spots_in(function: Function) -> tuple[Spot, ...]:
    """The statements of a kernel, numbered from the first line of its text."""
    kernel: list[Spot] = []
    found, _ = _numbered(function.body, heading(function).count("\n") + 1, kernel)
    kernel += found
    return found


def all_spots(spots: Sequence[Spot]) -> Iterator[Spot]:
    """The spots and those inside, in order."""
    for spot in spots:
        yield spot
        for inner in spot.blocks:
            yield from all_spots(inner)


def _numbered(statements: Sequence[Statement], line: int,
              kernel: list[Spot]) -> tuple[tuple[Spot, ...], int]:
    """The spots of a block of `kernel` that begins on `line`, and the line behind it."""
    found = []
    for statement in statements:
        inner, at = [], line + 1
        for number, block in enumerate(blocks(statement)):
            if number and block:
                at += 1  # else:
            spots, at = _numbered(block, at, kernel)
            inner.append(spots)
            at += not block and not number  # pass
        found.append(Spot(statement, line, tuple(inner), kernel))
        line = at
    return tuple(found), line


def _exposed(spots: Iterable[Spot], known: set[str], read: set[str]) -> set[str]:
    """Add to `read` what is read before it is `known`; gives what is known at the end."""
    for spot in spots:
        read |= set(spot.head) - known
        match spot.statement:
            case For(var=var):
                _exposed(spot.blocks[0], {*known, var}, read)
            case While():
                _exposed(spot.blocks[0], set(known), read)
            case If():
                arms = [_exposed(body, set(known), read) for body in spot.blocks]
                known = arms[0] & arms[1]
            case Let(name=name):
                known = {*known, name}
    return known
