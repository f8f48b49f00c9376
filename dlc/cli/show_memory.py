"""`dlc show --memory`: offset and live range of every value, totals, and a map of the arena."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from dlc.cli.paper import paint, width
from dlc.errors import printable
from dlc.inspector.units import flops, plural, size
from dlc.program import Buffer, Entry, Launch, Loop, Program, Step

PERSISTENT = ("parameter", "state")
MARKS = {"parameter": "p", "state": "s", "input": "i", "activation": "a", "workspace": "w",
         "output": "o", "constant": "c"}
STYLES = {"parameter": "blue", "state": "cyan", "input": "green", "activation": "yellow",
          "workspace": "magenta", "output": "red", "constant": "dim"}
ROWS = 24  # of the map
NAME = 14  # the least columns for a value's name
_BINDER = re.compile(r"^\s+(\w+): (.+?) @ 0x([0-9a-f]+)\b", re.M)


def memory(program: Program, entries: Sequence[Entry]) -> None:
    """Print the plan of each entry: table, sums, peak beside its lower bound, map."""
    for entry in entries:
        buffers = buffers_of(program, entry)
        print()
        print(paint(f"{entry.name}: {plural(len(entry.flat), 'launch')}; a life is the first "
                    "and last launch that needs it", "bold"))
        for line in (*control_lines(entry.launches, 0)[1], *again_lines(entry)):
            print(line)
        table(buffers, names_of(entry), entry)
        print()
        sums(buffers, len(entry.flat))
        print()
        arena_map(program, buffers, len(entry.flat))
    print()
    bound = max(lower_bound(program, entry) for entry in program.entries.values())
    over = (program.peak_bytes / bound - 1) * 100 if bound else 0.0
    print(f"peak {program.peak_bytes:,} bytes ({size(program.peak_bytes)}), the most alive at once "
          f"{bound:,}:\n{over:.1f} % above the lower bound of this order, over all "
          f"{plural(len(program.entries), 'entry').replace('entrys', 'entries')}")


def control_lines(steps: Sequence[Step], at: int, depth: int = 0) -> tuple[int, list[str]]:
    """The number of launches in `steps`, and which of them loops and branches run: the loops as
    `scan step in range(28): launches 4-6`, what is inside others indented."""
    lines: list[str] = []
    start = at
    for step in steps:
        if isinstance(step, Launch):
            at += 1
            continue
        inside: list[str] = []
        first = at + 1
        for part in (step.launches,) if isinstance(step, Loop) else (step.then, step.otherwise):
            count, more = control_lines(part, at, depth + 1)
            at, inside = at + count, inside + more
        what = f"scan {step.name} in range({step.count})" if isinstance(step, Loop) else (
            f"if {step.name}")
        lines.append(f"{'    ' * depth}{what}: " +
                     (f"launches {first}-{at}" if at >= first else "no launches"))
        lines += inside
    return at - start, lines


def again_lines(entry: Entry) -> list[str]:
    """Which launches compute a second time, and the arithmetic that this costs: a line, or none."""
    found = [(at, x.flops * n) for at, (x, n) in enumerate(
        zip(entry.flat, entry.runs, strict=True), 1) if x.again]
    numbers = ", ".join(str(at) for at, _ in found)
    return [f"computed again, {flops(sum(work for _, work in found))}: launches {numbers}"
            ] if found else []


def buffers_of(program: Program, entry: Entry) -> list[Buffer]:
    """The values of `entry` by address and time; persistent ones too."""
    mine = [b for b in program.buffers if b.entry == entry.name]
    return sorted(mine, key=lambda b: (b.offset, b.first, b.last))


def names_of(entry: Entry) -> dict[tuple[int, str], list[str]]:
    """Names that the graph's text gives to what lies at an offset with a type, in order."""
    found: dict[tuple[int, str], list[str]] = {}
    for name, kind, offset in _BINDER.findall(entry.graph):
        found.setdefault((int(offset, 16), kind.strip()), []).append(name)
    return found


def table(buffers: Sequence[Buffer], names: dict[tuple[int, str], list[str]],
          entry: Entry) -> None:
    """One line a value: offset, size, life, what it is, name, the user's line."""
    print(paint(f"{'offset':>9} {'size':>10} {'life':>7}  {'what':10} name", "dim"))
    places = [line_of(b, entry) for b in buffers]
    edge = max(map(len, places), default=0)
    for buffer, place in zip(buffers, places, strict=True):
        named = names.get((buffer.offset, str(buffer.type)), [])
        plain = buffer.category not in (*PERSISTENT, "input", "workspace")
        name = printable(named.pop(0) if plain and named else buffer.name) + movement(buffer)
        left = f"{buffer.offset:#9x} {size(buffer.bytes):>10} {life(buffer, entry):>7}  "
        room = max(width() - len(left) - 12 - edge, NAME)
        what = paint(f"{buffer.category:10}", STYLES.get(buffer.category, "dim"))
        beside = len(name) <= room and len(left) + 12 + room + len(place) <= width()
        print(f"{left}{what} {name:{room}} {paint(place, 'dim')}".rstrip() if beside or not place
              else f"{left}{what} {name}\n{paint(f'{place:>{width()}}', 'dim')}")


def movement(buffer: Buffer) -> str:
    """How loops move a value: ` +8192 an iteration`, ` or +4096` in every second one."""
    strides = [f" {s:+}" for s in buffer.strides if s]
    swaps = [f" or {s:+}" for s in buffer.swaps if s]
    return "".join(strides) + (" an iteration" if strides else "") + "".join(swaps)


def line_of(buffer: Buffer, entry: Entry) -> str:
    """The user's line that a value serves; workspace serves the lines of its launch."""
    if buffer.line or buffer.category != "workspace":
        return buffer.line
    lines = entry.flat[buffer.first].lines if 0 <= buffer.first < len(entry.flat) else ()
    return lines[0] if lines else ""


def life(buffer: Buffer, entry: Entry) -> str:
    """The launches from the first to the last that needs a value, counted from 1."""
    if buffer.category in PERSISTENT:
        return "always"
    return f"{max(buffer.first, 0) + 1}-{min(buffer.last, len(entry.flat) - 1) + 1}"


def sums(buffers: Sequence[Buffer], count: int) -> None:
    """Bytes by category: of all values, and of those alive at the fullest launch."""
    alive = [live(buffers, i) for i in range(max(count, 1))]
    fullest = max(range(len(alive)), key=lambda i: union(alive[i]))
    print(paint(f"{'bytes by category':22} {'values':>7} {'all':>12} {'at launch':>12}", "dim"))
    for category in MARKS:
        mine = [b for b in buffers if b.category == category]
        if mine:
            now = union([b for b in alive[fullest] if b.category == category])
            print(f"{category:22} {len(mine):7} {size(sum(b.bytes for b in mine)):>12} "
                  f"{size(now):>12}")
    total = union(alive[fullest])
    print(f"{f'fullest is launch {fullest + 1}':22} {len(buffers):7} "
          f"{size(sum(b.bytes for b in buffers)):>12} {size(total):>12}")


def live(buffers: Iterable[Buffer], launch: int) -> list[Buffer]:
    """The values that lie in the arena while launch number `launch` runs."""
    return [b for b in buffers if b.category in PERSISTENT or b.first <= launch <= b.last]


def union(buffers: Iterable[Buffer]) -> int:
    """Bytes that at least one of `buffers` covers: values written in place share theirs."""
    total = end = 0
    for buffer in sorted(buffers, key=lambda b: b.offset):
        last = buffer.offset + buffer.bytes
        total += max(0, last - max(end, buffer.offset))
        end = max(end, last)
    return total


def lower_bound(program: Program, entry: Entry) -> int:
    """The most bytes alive at once in `entry`, in its order of launches, and the constants."""
    buffers = buffers_of(program, entry)
    most = max(union(live(buffers, i)) for i in range(max(len(entry.flat), 1)))
    literal = sum(-(-len(c.data) // 64) * 64 for c in program.constants)
    known = {b.offset for b in buffers}
    return most + (0 if any(c.offset in known for c in program.constants) else literal)


def arena_map(program: Program, buffers: Sequence[Buffer], count: int) -> None:
    """The arena from its first byte down, the launches from left to right."""
    wide = max(1, (width() - 12) // max(count, 1))
    cell = min(wide, 2)
    step = max(-(-program.arena_bytes // ROWS // 64) * 64, 64)
    shown = range(min(count, (width() - 12) // cell))
    print((" " * 11 + "".join(f"{i + 1:<{5 * cell}}" for i in shown if i % 5 == 0)).rstrip())
    for low in range(0, program.arena_bytes, step):
        marks = "".join(mark(buffers, i, low, low + step) * cell for i in shown)
        print(f"{low:#9x}  {colour(marks)}")
    legend = [f"{MARKS[c]} {c}" for c in MARKS if any(b.category == c for b in buffers)]
    print("  ".join([*legend, "· free"]))


def mark(buffers: Sequence[Buffer], launch: int, low: int, high: int) -> str:
    """The category that covers most of the bytes low..high while `launch` runs; · for none."""
    covered: dict[str, int] = {}
    for b in live(buffers, launch):
        part = min(high, b.offset + b.bytes) - max(low, b.offset)
        if part > 0:
            covered[b.category] = covered.get(b.category, 0) + part
    if not covered or sum(covered.values()) * 8 < high - low:
        return "·"
    return MARKS[max(covered, key=lambda c: covered[c])]


def colour(marks: str) -> str:
    """Runs of equal marks, each in its category's colour."""
    by_mark = {MARKS[c]: style for c, style in STYLES.items()}
    runs = re.findall(r"((.)\2*)", marks)
    return "".join(paint(run, by_mark.get(one, "dim")) for run, one in runs)
