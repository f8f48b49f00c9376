"""Two Inspections side by side: what changed in a step, by total, line and launch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from dlc.inspector.record import PARTS, EntryInfo, Inspection
from dlc.inspector.units import flops, size

METRICS = ("peak_bytes", "flops", "bytes", "launches", "barriers", "kernels", "nodes", "estimate",
           "seconds")
Machine = Mapping[str, float]  # ceilings: flops and bytes a second
_LIMIT = re.compile(r"\s*(\w+)\s*(>=|<=|==|!=|>|<)\s*([0-9.eE+-]+)\s*(x?)\s*")
HOLDS = {">": lambda a, b: a > b, ">=": lambda a, b: a >= b, "<": lambda a, b: a < b,
         "<=": lambda a, b: a <= b, "==": lambda a, b: a == b, "!=": lambda a, b: a != b}


class LimitError(ValueError):
    """A limit that can't be read, or that names no metric."""


@dataclass(frozen=True)
class Change:
    """A number of A and of B."""

    name: str
    before: float
    after: float

    @property
    def ratio(self) -> float:
        """B as a multiple of A."""
        if self.before == 0:
            return 1.0 if self.after == 0 else float("inf")
        return self.after / self.before


@dataclass(frozen=True)
class Difference:
    """What changed in one step. `lines` are named by their text and part, since an edit moves
    lines; `came` and `went` are launches with their operators."""

    entry: str
    totals: tuple[Change, ...]
    lines: tuple[tuple[str, Change, Change], ...]  # (line, flops, bytes)
    came: tuple[str, ...]
    went: tuple[str, ...]
    operators: tuple[Change, ...]


def differences(a: Inspection, b: Inspection, machine: Machine | None = None) -> list[Difference]:
    """Step by step, by name; a step that only one has is left out. With a `machine`'s ceilings
    both have an estimate of their time on it."""
    others = {e.name: e for e in b.steps()}
    return [difference(a, e, b, others[e.name], machine) for e in a.steps() if e.name in others]


def difference(a: Inspection, mine: EntryInfo, b: Inspection, other: EntryInfo,
               machine: Machine | None = None) -> Difference:
    """Of one step."""
    before, after = totals(a, mine, machine), totals(b, other, machine)
    went, came = (Counter(launches(x, e)) for x, e in ((a, mine), (b, other)))
    return Difference(
        mine.name, tuple(Change(k, before[k], after[k]) for k in METRICS
                         if k in before and k in after),
        tuple(changed_lines(a, mine, b, other)),
        tuple((came - went).elements()), tuple((went - came).elements()),
        tuple(changed(operators(a, mine), operators(b, other))))


def least(work: int, moved: int, machine: Machine) -> float:
    """Seconds that a machine's ceilings allow for so much arithmetic and traffic."""
    return max(work / machine["flops"], moved / machine["bytes"])


def totals(x: Inspection, entry: EntryInfo, machine: Machine | None = None) -> dict[str, float]:
    """The metrics that a limit may name."""
    kernels = {k for launch in entry.launches for k in launch.kernels}
    found: dict[str, float] = {
        "peak_bytes": x.arena_bytes, "flops": entry.flops, "bytes": entry.bytes,
        "launches": sum(launch.runs for launch in entry.launches),
        "barriers": sum(launch.barriers * launch.runs for launch in entry.launches),
        "kernels": len(kernels), "nodes": entry.nodes()}
    if machine:
        found["estimate"] = sum(least(k.flops, k.bytes, machine) * k.runs for k in entry.launches)
    return found if entry.seconds is None else {**found, "seconds": entry.seconds}


Costs = dict[tuple[str, int, int], tuple[int, int]]  # (file, line of A, part): flops, bytes


def lines_of(x: Inspection, entry: EntryInfo, moved: dict[tuple[str, int], int]) -> Costs:
    """Flops and bytes by line and part; `moved` says which line of A a line is."""
    found: Costs = {}
    for line in entry.lines:
        name, number = named(x, line.place)
        key = name, moved.get((name, number), number), line.part
        had = found.get(key, (0, 0))
        found[key] = had[0] + line.flops, had[1] + line.bytes
    return found


def named(x: Inspection, place: int) -> tuple[str, int]:
    """A line as the name of its file, without folders, and its number."""
    file, number = x.places[place]
    return x.files[file].path.rpartition("/")[2], number


def aligned(a: Inspection, b: Inspection) -> dict[tuple[str, int], int]:
    """The line of A that each line of B is: of one text, or one that was edited in its place. A new
    line gets a number below 0."""
    before = {f.path.rpartition("/")[2]: f.lines for f in a.files}
    found: dict[tuple[str, int], int] = {}
    for file in b.files:
        name = file.path.rpartition("/")[2]
        found.update({(name, k + 1): -k - 1 for k in range(len(file.lines))})
        pairs = SequenceMatcher(None, before.get(name, ()), file.lines, autojunk=False)
        for tag, low, high, start, end in pairs.get_opcodes():
            if tag == "equal" or (tag == "replace" and high - low == end - start):
                found.update({(name, start + k + 1): low + k + 1 for k in range(high - low)})
    return found


def changed_lines(a: Inspection, mine: EntryInfo, b: Inspection, other: EntryInfo,
                  ) -> Iterator[tuple[str, Change, Change]]:
    """Lines whose cost changed, the largest change of bytes first."""
    moved = aligned(a, b)
    before, after = lines_of(a, mine, {}), lines_of(b, other, moved)
    texts = {(name, moved[name, number]): (number, b.source(p)) for p in range(len(b.places))
             for name, number in [named(b, p)] if (name, number) in moved}
    olds = {named(a, p): a.source(p) for p in range(len(a.places))}
    none = (0, 0)
    keys = [k for k in {**before, **after} if before.get(k, none) != after.get(k, none)]
    for key in sorted(keys, key=lambda k: -abs(before.get(k, none)[1] - after.get(k, none)[1])):
        name, number, part = key
        old = olds.get((name, number), "")
        line, new = texts.get((name, number), (number, old))
        text = f"{name}:{line} [{PARTS[part]}] " + (f"{old}  ->  {new}" if old != new else new)
        (f, m), (g, k) = before.get(key, none), after.get(key, none)
        yield text, Change("flops", f, g), Change("bytes", m, k)


def launches(x: Inspection, entry: EntryInfo) -> Iterator[str]:
    """Each launch as its name and operators, whatever its number and its lines."""
    for k, launch in enumerate(entry.launches):
        ops = Counter(x.rows[r].op for r in entry.rows_of(k) if x.rows[r].op != "input")
        yield f"{launch.name}: " + " ".join(op if n == 1 else f"{op} x{n}"
                                            for op, n in ops.items())


def operators(x: Inspection, entry: EntryInfo) -> Counter[str]:
    """Operators of the graph before fusion."""
    return Counter(x.rows[r].op for f in entry.stages[-3].functions for r in f.rows)


def changed(a: Counter[str], b: Counter[str]) -> Iterator[Change]:
    """Counts that are not the same."""
    for name in sorted({*a, *b}):
        if a[name] != b[name]:
            yield Change(name, a[name], b[name])


# --- in words and as a gate -----------------------------------------------------------------------


def as_text(found: Difference, most: int = 12) -> Iterator[str]:
    """A difference as lines for a terminal."""
    yield f"{found.entry:12} {'A':>14} {'B':>14}"
    for c in found.totals:
        yield (f"  {c.name:10} {shown(c.name, c.before):>14} {shown(c.name, c.after):>14}  "
               f"{times(c)}").rstrip()
    if found.operators:
        yield "  operators: " + ", ".join(f"{c.name} {c.before:.0f} -> {c.after:.0f}"
                                          for c in found.operators[:most])
    for sign, these in (("-", found.went), ("+", found.came)):
        yield from (f"  {sign} launch {text}" for text in these[:most])
        if len(these) > most:
            yield f"  {sign} and {len(these) - most} more launches"
    for name, work, moved in found.lines[:most]:
        yield (f"  {name}\n      {flops(work.before)} -> {flops(work.after)}, "
               f"{size(moved.before)} -> {size(moved.after)} moved")
    if len(found.lines) > most:
        yield f"  and {len(found.lines) - most} more lines"


def shown(name: str, value: float) -> str:
    """A metric in its unit."""
    if name in ("peak_bytes", "bytes"):
        return size(value)
    if name in ("seconds", "estimate"):
        return f"{value * 1e3:.4g} ms"
    return flops(value) if name == "flops" else f"{value:,.0f}"


def times(change: Change) -> str:
    """How many times as much."""
    return "" if change.before == change.after else f"{change.ratio:.3f}x"


def broken(limit: str, found: Sequence[Difference]) -> list[str]:
    """The steps in which a limit such as "peak_bytes > 1.05x" holds, in words: B against a number,
    or against a multiple of A. Raises LimitError for a limit that can't be read."""
    match = _LIMIT.fullmatch(limit)
    try:
        number = float(match[3]) if match else 0.0
    except ValueError:
        match = None
    if match is None:
        raise LimitError(f"limit {limit!r}: it takes METRIC > NUMBER or METRIC > NUMBERx")
    name, relation, _, relative = match.groups()
    if name not in METRICS:
        raise LimitError(f"limit {limit!r}: metrics are {', '.join(METRICS)}")
    told = []
    for each in found:
        change = next((c for c in each.totals if c.name == name), None)
        if change is None:
            raise LimitError(f"limit {limit!r}: {name} was not measured; "
                             f"--{'estimate' if name == 'estimate' else 'profile'} does")
        if HOLDS[relation](change.ratio if relative else change.after, number):
            told.append(f"{each.entry}: {limit.strip()}: {shown(name, change.before)} -> "
                        f"{shown(name, change.after)} ({change.ratio:.3f}x)")
    return told
