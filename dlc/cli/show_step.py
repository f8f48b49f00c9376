"""The step as `dlc show FILE` begins with it: a table of its launches in order, and the totals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from dlc.cli.paper import paint, width
from dlc.cli.wrap import HANG, hang
from dlc.inspector.units import flops, lines_of, plural, size
from dlc.program import Branch, Entry, Launch, Loop, Step

FUSED = "fused_"
INDENT = "  "
NUMBERS = f"{'flops':>12}{'bytes':>11}{'barriers':>9}"
# the calls of a function's text that become launches, loops and branches
_CALLS = re.compile(rf"= ({FUSED}\w+)\(|\b(?:body|then|otherwise)=(\w+)")


@dataclass(frozen=True)
class Row:
    """A launch with its number and the name of its body, or a line of a loop or a branch."""

    depth: int
    text: str
    lines: tuple[str, ...]
    number: int = 0
    launch: Launch | None = None


def functions(text: str) -> dict[str, str]:
    """The functions of a graph's text by name, in order."""
    parts = re.split(r"\n+(?=def )", text.strip("\n"))
    return {m.group(1): part for part in parts if (m := re.match(r"def (\w+)\(", part))}


@dataclass
class Reader:
    """Reads an entry's launches beside its text, in which they stand in the same order."""

    functions: dict[str, str]
    number: int = 0
    rows: list[Row] = field(default_factory=list)

    def read(self, steps: Sequence[Step], function: str, depth: int = 0) -> None:
        """Add the rows of `steps`, which the function of that name describes."""
        calls = iter(_CALLS.finditer(self.functions[function]))
        for step in steps:
            if isinstance(step, Launch):
                self.number += 1
                name = next(calls).group(1).removeprefix(FUSED)
                text = f"{name} again" if step.again else name
                self.rows.append(Row(depth, text, step.lines, self.number, step))
            elif isinstance(step, Loop):
                self.block(f"scan {step.name} in range({step.count}):", step.lines, depth)
                self.read(step.launches, next(calls).group(2), depth + 1)
            else:
                self.branch(step, next(calls).group(2), next(calls).group(2), depth)

    def branch(self, step: Branch, then: str, otherwise: str, depth: int) -> None:
        self.block(f"if {step.name}:", step.lines, depth)
        self.read(step.then, then, depth + 1)
        self.block("else:" if step.otherwise else "else: nothing", (), depth)
        self.read(step.otherwise, otherwise, depth + 1)

    def block(self, text: str, lines: tuple[str, ...], depth: int) -> None:
        self.rows.append(Row(depth, text, lines))


def rows(entry: Entry) -> list[Row]:
    """The launches, loops and branches of an entry in order."""
    found = functions(entry.graph)
    reader = Reader(found)
    reader.read(entry.launches, list(found)[-1])
    return reader.rows


def step_table(entry: Entry) -> None:
    """Print a line for each launch (name, your line, flops, bytes, barriers), then the totals."""
    table = rows(entry)
    edge = len(str(len(entry.flat))) + 1
    names = [f"{INDENT * row.depth}{row.text}" for row in table]
    name = max([6, *(len(n) for n, row in zip(names, table, strict=True) if row.launch)])
    beside = max(width() - edge - len(NUMBERS) - name - 2, 18)
    places = places_of(table, beside)
    print(paint(f"{'#':>{edge}} {'launch':{name}} {'line':{beside}}{NUMBERS}", "dim"))
    for text, place, row in zip(names, places, table, strict=True):
        if row.launch is None:
            print(f"{'':{edge}} {paint(text, 'bold')}  {paint(place, 'cyan')}".rstrip())
            continue
        left = f"{row.number:>{edge}} {paint(f'{text:{name}}', 'bold')} "
        print(f"{left}{paint(f'{place:{beside}}', 'cyan')}{numbers(row.launch)}".rstrip())
    print()
    print(hang(f"{entry.name}: {totals(entry)}", width(), "", HANG))


def numbers(launch: Launch) -> str:
    """Flops, bytes and barriers of one run of a launch."""
    waits = launch.barrier + len(launch.stages) - 1
    return f"{flops(launch.flops):>12}{size(launch.bytes):>11}{waits or '':>9}"


def places_of(table: Sequence[Row], room: int) -> list[str]:
    """The user's lines of each row in at most `room` columns: without folders where some do not
    fit and no two files share a name, then with the number of lines that are left out."""
    files = {line.rpartition(":")[0] for row in table for line in row.lines}
    names = {file.rpartition("/")[2] for file in files}
    short = len(names) == len(files) and any(len(lines_of(row.lines)) > room for row in table)
    return [fitted(tuple(line.rpartition("/")[2] for line in row.lines) if short else row.lines,
                   room) for row in table]


def fitted(lines: tuple[str, ...], room: int) -> str:
    """Source places in at most `room` columns: the last ones are counted, a long name is cut."""
    for left_out in range(len(lines)):
        text = lines_of(lines[:len(lines) - left_out]) + (f" +{left_out}" if left_out else "")
        if len(text) <= room:
            return text
    return f"…{lines_of(lines[:1])[1 - room:]}" if lines else ""


def totals(entry: Entry) -> str:
    """Launches, kernels, barriers, arithmetic and traffic of one step."""
    used = {s.kernel for launch in entry.flat for stage in launch.stages for s in stage}
    runs = list(zip(entry.flat, entry.runs, strict=True))
    barriers = sum((launch.barrier + len(launch.stages) - 1) * n for launch, n in runs)
    work = sum(launch.flops * n for launch, n in runs)
    moved = sum(launch.bytes * n for launch, n in runs)
    again = sum(launch.flops * n for launch, n in runs if launch.again)
    return (f"{plural(sum(entry.runs), 'launch')} a step, {plural(len(used), 'kernel')}, "
            f"{plural(barriers, 'barrier')}, {flops(work)}"
            + (f" of which {flops(again)} again" if again else "") + f", {size(moved)} moved")


def chosen(text: str, body: str) -> str:
    """The function of a graph's text that `body` names, with or without `fused_`; "" for none."""
    found = functions(text)
    return found.get(body, found.get(FUSED + body, ""))
