"""`dlc show --kernels`: every launch in order, with the text of its kernels once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from textwrap import indent
from typing import TYPE_CHECKING

from dlc.cli.paper import paint, python, width
from dlc.cli.show import unknown_body
from dlc.cli.show_step import FUSED, rows, totals
from dlc.cli.wrap import HANG, hang
from dlc.inspector.units import flops, lines_of, plural, size
from dlc.program import Entry, Launch, Loop, Program, Segment, Step

if TYPE_CHECKING:
    from dlc.cli.show_machine_code import MachineCode

INDENT = "    "


def kernels(program: Program, entries: Sequence[Entry], body: str | None = None,
            code: MachineCode | None = None) -> None:
    """Print the launches of `entries`, or those of one body; a kernel that was printed before is
    named by its launch. What a loop or a branch runs is indented below it. `code` prints what a
    CUDA kernel becomes below its text.

    Raises UsageError where no launch has a body of that name.
    """
    shown: dict[int, str] = {}
    if body is not None:
        one_body(program, entries, body.removeprefix(FUSED), code)
        return
    for entry in entries:
        listing = Listing(program, entry, prefix(entry, entries), shown, code)
        listing.steps(entry.launches, 0)
    print()
    for entry in entries:
        print(f"{entry.name}: {totals(entry)}")


def one_body(program: Program, entries: Sequence[Entry], body: str,
             code: MachineCode | None = None) -> None:
    """Print the launches whose body is called `body`."""
    count = 0
    for entry in entries:
        listing = Listing(program, entry, prefix(entry, entries), {}, code)
        for row in rows(entry):
            if row.launch and row.text == body:
                listing.number = row.number - 1
                listing.launch(row.launch, 0)
                count += 1
    if not count:
        raise unknown_body(body, [entry.graph for entry in entries])


def prefix(entry: Entry, entries: Sequence[Entry]) -> str:
    """What stands before a launch's number: its step, where there are several."""
    return f"{entry.name} " if len(entries) > 1 else ""


@dataclass
class Listing:
    """The launches of one entry on their way to paper; `shown` says where a kernel was printed."""

    program: Program
    entry: Entry
    prefix: str
    shown: dict[int, str]
    code: MachineCode | None = None
    number: int = 0

    @cached_property
    def names(self) -> list[str]:
        """The name of each launch, which is that of its body."""
        return [row.text for row in rows(self.entry) if row.launch]

    def steps(self, steps: Sequence[Step], depth: int) -> None:
        """Launches, loops and branches, `depth` levels inside others."""
        for step in steps:
            if isinstance(step, Launch):
                self.launch(step, depth)
                continue
            print()
            if isinstance(step, Loop):
                print(control_line(f"scan {step.name} in range({step.count}):", step.lines, depth))
                self.steps(step.launches, depth + 1)
                continue
            print(control_line(f"if {step.name}:", step.lines, depth))
            self.steps(step.then, depth + 1)
            print()
            print(control_line("else:" if step.otherwise else "else: nothing", (), depth))
            self.steps(step.otherwise, depth + 1)

    def launch(self, launch: Launch, depth: int) -> None:
        """Headline, stages, and the kernels that were not printed yet."""
        self.number += 1
        place = f"{self.prefix}{self.number}"
        print()
        name = self.names[self.number - 1]
        print(headline(f"{place}/{len(self.entry.flat)} {name}", launch, INDENT * depth))
        for at, stage in enumerate(launch.stages):
            print(stage_line(self.program, launch, at, stage, self.shown, INDENT * depth))
        new = [s.kernel for stage in launch.stages for s in stage if s.kernel not in self.shown]
        for kernel in dict.fromkeys(new):
            self.shown[kernel] = place
            print()
            python(indent(self.program.kernels[kernel].text.strip("\n"), INDENT * depth))
            if self.code is not None:
                texts, told = self.code.texts(kernel)
                for text in texts:
                    print(f"\n{indent(text.strip(), INDENT * (depth + 1))}")
                print(f"\n{INDENT * depth}{told}")


def control_line(text: str, lines: tuple[str, ...], depth: int) -> str:
    """`scan step in range(28):` and the user's lines."""
    left = INDENT * depth + text
    places = lines_of(lines)
    if len(left) + 2 + len(places) <= width():
        return (paint(left, "bold") + "  " + paint(places, "cyan")).rstrip()
    return paint(left, "bold") + "\n" + paint(hang(places, width(), INDENT * (depth + 1)), "cyan")


def headline(title: str, launch: Launch, before: str = "") -> str:
    """`── 4/26 conv_tanh models/lenet.py:9 ─── 15.7 Mflop, 1.3 MiB`, with a rule to the edge;
    lines for which there is no room stand below."""
    left = f"{before}── {title} "
    right = f" {flops(launch.flops)}, {size(launch.bytes)}"
    places = lines_of(launch.lines)
    room = width() - len(left) - len(right) - 2
    beside = f"{places} " if len(places) <= room else ""
    rule = "─" * max(width() - len(left) - len(beside) - len(right), 1)
    first = paint(left, "bold") + paint(beside, "cyan") + paint(rule, "dim") + right
    if beside or not places:
        return first
    return f"{first}\n{paint(hang(places, width(), before + '   '), 'cyan')}"


def stage_line(program: Program, launch: Launch, depth: int, stage: tuple[Segment, ...],
               shown: dict[int, str], before: str = "") -> str:
    """What runs side by side, and whether all threads meet before it."""
    parts = []
    for segment in stage:
        kernel = program.kernels[segment.kernel]
        name = kernel.name
        seen = f" (see {shown[segment.kernel]})" if segment.kernel in shown else ""
        word = "block" if kernel.block else "thread" if program.target == "cuda" else "chunk"
        of = f" of {kernel.block} threads" if kernel.block else ""
        parts.append(f"{name} in {plural(segment.chunks, word)}{of}{seen}")
    waits = depth > 0 or launch.barrier
    told = f"{'barrier, ' if waits else ''}{' beside '.join(parts)}"
    return hang(told, width(), before + "   ", HANG)
