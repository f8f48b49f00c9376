"""In words: what a line became, why a value is kept, why two values are in two launches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dlc.errors import DlcError, here, nearest
from dlc.inspector.record import PARTS, BufferInfo, EdgeInfo, EntryInfo, Inspection
from dlc.inspector.units import flops, lines_of, plural, size

MOST = 6  # names that are listed, edges that are told
PERSISTENT = ("parameter", "state")


def explain(inspection: Inspection, place: int) -> str:
    """What the line number `place` became in each step: nodes, launches, memory, cost."""
    head = [f"{inspection.place(place)}: {inspection.source(place)}"]
    for entry in inspection.steps():
        head += ["", *step_lines(inspection, entry, place)]
    return "\n".join(head)


def step_lines(found: Inspection, entry: EntryInfo, place: int) -> Iterator[str]:
    """The same of one step."""
    mine = [x for x in entry.lines if x.place == place]
    held = [s for s in entry.peak if s.place == place]
    if not mine and not held:
        yield f"{entry.name}: nothing of this line is left"
        return
    shares = [(sum(x.flops for x in mine), entry.flops, "of the arithmetic"),
              (sum(x.bytes for x in mine), entry.bytes, "of the bytes moved"),
              (sum(s.bytes for s in held), found.arena_bytes, "of the arena at its fullest")]
    yield f"{entry.name}: " + ", ".join(f"{part / (whole or 1):.1%} {what}"
                                        for part, whole, what in shares)
    yield from part_lines(found, entry, place)
    yield from launch_lines(found, entry, place)
    yield from stored_lines(entry, [e for e in entry.edges if place in e.places])
    if held:
        yield f"  holds while launch {number(entry, entry.peak_launch)} runs, the fullest:"
        yield from (f"    {size(s.bytes):>10} {s.category}" for s in held)


def part_lines(found: Inspection, entry: EntryInfo, place: int) -> Iterator[str]:
    """The nodes before fusion, by part, with what the part costs."""
    before = entry.stages[-3]
    rows = [found.rows[r] for f in before.functions for r in f.rows]
    for part, word in enumerate(PARTS):
        names = [r.name for r in rows if place in r.places and r.part == part and r.op != "input"]
        costs = [x for x in entry.lines if x.place == place and x.part == part]
        if not names and not costs:
            continue
        cost = ", ".join(f"{flops(x.flops)}, {size(x.bytes)} moved" for x in costs) or "no cost"
        yield f"  {word:9} {plural(len(names), 'node')}: {listed(names)}"
        yield f"  {'':9} {cost}"


def launch_lines(found: Inspection, entry: EntryInfo, place: int) -> Iterator[str]:
    """The launches in which nodes of the line are computed."""
    numbers = [k for k in range(len(entry.launches)) if works_for(found, entry, k, place)]
    if numbers:
        yield f"  in {plural(len(numbers), 'launch')}:"
    for k in numbers:
        x = entry.launches[k]
        others = tuple(found.place(p) for p in x.places if p != place)
        also = f", with {lines_of(others)}" if others else ""
        times = f", {x.runs} times a step" if x.runs > 1 else ""
        yield (f"    {number(entry, k)}: {flops(x.flops)}, {size(x.bytes)} moved{times}{also}")


def works_for(found: Inspection, entry: EntryInfo, launch: int, place: int) -> bool:
    """Whether something of a launch is computed for a line."""
    rows = (found.rows[r] for r in entry.rows_of(launch))
    return any(place in r.places and (r.op != "input" or r.bytes) for r in rows)


def stored_lines(entry: EntryInfo, edges: Sequence[EdgeInfo]) -> Iterator[str]:
    """Values that lie in memory between launches, and why."""
    if edges:
        yield f"  stores {plural(len(edges), 'value')} from one launch for another:"
    for e in edges[:MOST]:
        yield f"    {e.value}: {e.type}, {number(entry, e.maker)} -> {number(entry, e.reader)}"
        yield f"      {e.words}; one launch would not move {size(e.saved)}"
    if len(edges) > MOST:
        yield f"    and {len(edges) - MOST} more"


def number(entry: EntryInfo, launch: int) -> str:
    """A launch as `dlc show` counts it."""
    return "a loop or branch" if launch < 0 else f"{launch + 1} {entry.launches[launch].name}"


def listed(names: Sequence[str]) -> str:
    """Some names, and how many more there are."""
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(names[:MOST]) + more if names else "none"


# --- values by name -------------------------------------------------------------------------------


def why_kept(inspection: Inspection, name: str) -> str:
    """Why the value called `name` lies in memory, where, and how long. Raises DlcError for a name
    that no value has."""
    told = [line for entry in inspection.steps() for line in kept_lines(inspection, entry, name)]
    if not told:
        raise unknown(inspection, name)
    return "\n".join(told)


def kept_lines(found: Inspection, entry: EntryInfo, name: str) -> Iterator[str]:
    """The same in one step."""
    stored = [b for b in entry.buffers if b.name == name]
    for b in stored:
        yield (f"{entry.name}: {b.name}: {b.type}, {size(b.bytes)} of {b.category} at "
               f"{b.offset:#x}, {life(b, entry)}; {found.place(b.place)}")
        if b.category in PERSISTENT:
            yield "  it is kept from one step to the next"
    edges = [e for e in entry.edges if e.value == name]
    for e in edges:
        yield (f"  {number(entry, e.maker)} makes it, {number(entry, e.reader)} reads it: "
               f"{e.words}")
    if not stored and not edges:
        for k in holding(found, entry, name):
            yield (f"{entry.name}: {name} is not kept: it is computed inside launch "
                   f"{number(entry, k)}")


def why_not_fused(inspection: Inspection, first: str, second: str) -> str:
    """Why the values `first` and `second` are not made by one launch; that they are, where they
    are. Raises DlcError for a name that no value has."""
    told = []
    for name in (first, second):
        if not any(holding(inspection, entry, name) for entry in inspection.steps()):
            return given(inspection, name)
    for entry in inspection.steps():
        a, b = (holding(inspection, entry, name) for name in (first, second))
        both = [k for k in a if k in b]
        edges = [e for e in entry.edges if {e.maker, e.reader} <= {*a, *b}
                 and (e.maker in a) != (e.reader in a)]
        if both:
            told.append(f"{entry.name}: they are one launch, {number(entry, both[0])}")
        elif edges:
            told += [f"{entry.name}: {e.value}, from {number(entry, e.maker)} to "
                     f"{number(entry, e.reader)}: {e.words}" for e in edges]
        elif a and b:
            told.append(f"{entry.name}: neither launch reads what the other makes "
                        f"({number(entry, a[0])}; {number(entry, b[0])}): nothing joins them")
    return "\n".join(told)


def given(inspection: Inspection, name: str) -> str:
    """That a value is not made by any launch, since it comes from outside. Raises DlcError for a
    name that no value has."""
    entry = next((e for e in inspection.steps() for b in e.buffers if b.name == name), None)
    if entry is None:
        raise unknown(inspection, name)
    return f"{entry.name}: {name} is given: no launch makes it"


def largest(inspection: Inspection, count: int) -> tuple[BufferInfo, ...]:
    """The `count` largest values of the first step, the largest first. Raises DlcError for a count
    that is no whole number from 1."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise DlcError(f"largest takes how many values, a whole number from 1, not {count!r:.80}",
                       here())
    entry = next(iter(inspection.steps()))
    return tuple(sorted(entry.buffers, key=lambda b: (-b.bytes, b.offset))[:count])


def holding(found: Inspection, entry: EntryInfo, name: str) -> list[int]:
    """The launches that compute a value of this name."""
    made = [k for k in range(len(entry.launches)) if any(
        found.rows[r].name == name and found.rows[r].op != "input" for r in entry.rows_of(k))]
    return made or sorted({e.maker for e in entry.edges if e.value == name})


def life(buffer: BufferInfo, entry: EntryInfo) -> str:
    """The launches that need a value."""
    if buffer.category in PERSISTENT:
        return "always"
    last = min(buffer.last, len(entry.launches) - 1)
    return f"launches {max(buffer.first, 0) + 1} to {last + 1}"


def unknown(found: Inspection, name: object) -> DlcError:
    """The error for a name that no value has."""
    if not isinstance(name, str):
        return DlcError(f"a value's name is a text, not {name!r:.80}", here(),
                        "dlc show prints the names")
    known = {b.name for e in found.steps() for b in e.buffers}
    known |= {found.rows[r].name for e in found.steps() for f in e.stages[-1].functions
              for r in f.rows}
    return DlcError(f"no value of {found.program} is called {name!r}{nearest(name, sorted(known))}",
                    here(), "dlc show prints the names")


def place_at(inspection: Inspection, path: str, line: int) -> int:
    """The number of a line, as short as it is shown. Raises DlcError where nothing came of it, with
    the nearest lines of which something did."""
    known = {inspection.places[p]: p for p in range(len(inspection.places))}
    files = [k for k, f in enumerate(inspection.files) if f.path == path]
    for file in files:
        if (file, line) in known:
            return known[file, line]
    lines = sorted((n for f, n in known if f in files), key=lambda n: (abs(n - line), n))
    hint = f"lines of which something did: {', '.join(map(str, sorted(lines[:MOST])))}" if (
        lines) else f"its files are {', '.join(f.path for f in inspection.files)}"
    raise DlcError(f"nothing of {inspection.program} came of {path}:{line}", None, hint)
