"""Inspection: plain data from which the page, `show --json`, `diff` and `explain` are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

FORMAT = 3  # 2 brought the layers of rows, 3 nodes of launches, SASS and findings
PARTS = ("forward", "backward", "optimizer")


@dataclass(frozen=True)
class Row:
    """A node as a line of a graph's text. `args` are rows, `places` numbers in
    `Inspection.places`, `part` one in PARTS; flops and bytes are those of one run in its launch,
    `scope` is the layer that made it (block1/conv1), "" outside of one."""

    name: str
    type: str
    call: str
    op: str
    args: tuple[int, ...]
    places: tuple[int, ...]
    part: int
    flops: int = 0
    bytes: int = 0
    scope: str = ""


@dataclass(frozen=True)
class Function:
    """A graph or a body: rows in order."""

    name: str
    rows: tuple[int, ...]


@dataclass(frozen=True)
class RuleInfo:
    """A rewrite rule, how often it fired in a pass, and the lines of the nodes it replaced."""

    text: str
    count: int
    places: tuple[int, ...]


@dataclass(frozen=True)
class Stage:
    """A graph after a pass. `added` are rows that the one before has not, `removed` rows of the one
    before that are gone; what only reads other operands is neither. `rules` are those that fired.
    """

    name: str
    seconds: float
    functions: tuple[Function, ...]
    added: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()
    rules: tuple[RuleInfo, ...] = ()


@dataclass(frozen=True)
class LaunchInfo:
    """One launch of the step: `body` names its function in the last stage, `nodes` are the rows of
    the stage before fusion that it computes, `runs` is how often it runs in a step, `loop` the
    loops around it; `seconds` are those of a profiled step."""

    name: str
    body: str
    places: tuple[int, ...]
    flops: int
    bytes: int
    runs: int
    loop: str
    barriers: int
    kernels: tuple[int, ...]
    chunks: int
    seconds: float | None = None
    nodes: tuple[int, ...] = ()


@dataclass(frozen=True)
class EdgeInfo:
    """A value that is stored between two launches, and why: a row of docs/fusion.md, in words.
    `saved` are the bytes a step would not move if they were one; -1 stands for a loop or branch."""

    value: str
    type: str
    maker: int
    reader: int
    row: str
    words: str
    saved: int
    places: tuple[int, ...]


@dataclass(frozen=True)
class BufferInfo:
    """A value in the arena, as `dlc.program.Buffer`."""

    name: str
    type: str
    category: str
    offset: int
    bytes: int
    first: int
    last: int
    place: int


@dataclass(frozen=True)
class LineCost:
    """What one line costs in one part of a step; all lines together cost what the step does."""

    place: int
    part: int
    flops: int
    bytes: int
    seconds: float | None = None


@dataclass(frozen=True)
class PeakShare:
    """The bytes that one line holds, in one category, while the fullest launch runs. Place -1 and
    category "free" are what the arena has beyond: gaps, and what other entries need."""

    place: int
    category: str
    bytes: int


@dataclass(frozen=True)
class EntryInfo:
    """One entry of the program, such as its training step."""

    name: str
    stages: tuple[Stage, ...]
    launches: tuple[LaunchInfo, ...]
    edges: tuple[EdgeInfo, ...]
    buffers: tuple[BufferInfo, ...]
    lines: tuple[LineCost, ...]
    peak_launch: int
    peak: tuple[PeakShare, ...]
    timeline: Mapping[str, Any] = field(default_factory=dict)

    @property
    def flops(self) -> int:
        """Arithmetic of a step."""
        return sum(x.flops * x.runs for x in self.launches)

    @property
    def bytes(self) -> int:
        """Bytes that the launches of a step read and write."""
        return sum(x.bytes * x.runs for x in self.launches)

    @property
    def seconds(self) -> float | None:
        """What a profiled step took, launch by launch."""
        known = [x.seconds for x in self.launches if x.seconds is not None]
        return sum(known) if known and len(known) == len(self.launches) else None

    def nodes(self) -> int:
        """Nodes of the last stage."""
        return sum(len(f.rows) for f in self.stages[-1].functions)

    def rows_of(self, launch: int) -> tuple[int, ...]:
        """The rows of a launch's body."""
        name = self.launches[launch].body
        return next((f.rows for f in self.stages[-1].functions if f.name == name), ())


@dataclass(frozen=True)
class KernelInfo:
    """A kernel: its Python text, tiles that it calls, and where they were asked for its assembly
    (a GPU's PTX), a GPU's machine code, and what is told of its registers."""

    name: str
    text: str
    tiles: tuple[str, ...] = ()
    assembly: str = ""
    sass: str = ""
    told: str = ""


@dataclass(frozen=True)
class Finding:
    """What a check or a replay has found: in words, at which place (-1: none that is known), and
    after which stage it shows ("": in all)."""

    text: str
    place: int
    stage: str = ""


@dataclass(frozen=True)
class File:
    """A file of the user's, as short as it is shown; no lines where it can't be read."""

    path: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Inspection:
    """A compiled program from the user's lines to its kernels. `places` are (file, line number).

    `machine` holds measured ceilings, where a profile was asked for: flops and bytes a second.
    """

    program: str
    target: str
    isa: str
    arena_bytes: int
    files: tuple[File, ...]
    places: tuple[tuple[int, int], ...]
    rows: tuple[Row, ...]
    entries: tuple[EntryInfo, ...]
    kernels: tuple[KernelInfo, ...]
    machine: Mapping[str, float] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    format: int = FORMAT

    def as_json(self) -> dict[str, Any]:
        """Plain dicts, lists, texts and numbers."""
        return asdict(self)

    def place(self, number: int) -> str:
        """`models/lenet.py:14`; "" for none."""
        if number < 0:
            return ""
        file, line = self.places[number]
        return f"{self.files[file].path}:{line}"

    def source(self, number: int) -> str:
        """The text of a line, without what stands around it."""
        file, line = self.places[number]
        lines = self.files[file].lines
        return lines[line - 1].strip() if 0 < line <= len(lines) else ""

    def words_of(self, places: Sequence[int]) -> tuple[str, ...]:
        """Places as texts."""
        return tuple(self.place(p) for p in places)

    def steps(self) -> Iterator[EntryInfo]:
        """The training steps; of what is not trained, all entries."""
        train = [e for e in self.entries if e.name.partition(".")[0] == "train"]
        yield from train or self.entries
