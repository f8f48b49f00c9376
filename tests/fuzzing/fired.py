"""What the compiler did to a Program, counted by launch: schemes, packings, boxes, tails, sharing.

Everything is read from what was made, kernel texts and launch tables, and nothing from the
compiler's own decisions: a scheme that is counted here is one that will run. Fuzzers add the
counts of their programs up and fail when one of the names below was too rare.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from dlc.ir.graph import Kind
from dlc.ir.registry import REGISTRY
from dlc.passes import Record
from dlc.program import Kernel, Launch, Loop, Program, Segment, Slot, Step, walk
from dlc.reference.text import print_graph

SCHEMES = ("gemm", "split", "taps", "dots", "residues", "empty residue", "plain contraction")
PACKINGS = ("A by the shared copy", "A by the shared transpose", "A copied", "A transposed",
            "A straight", "A turned", "A turned in boxes", "A with border",
            "B copied", "B transposed", "B straight", "B turned", "B turned in boxes",
            "B with border",
            "image copied", "image evaluated", "image with border")
BOXES = ("boxes of columns", "boxes of sums", "boxes of images", "panels of rows",
         "tail of columns", "tail of sums", "tail of images", "tail of rows",
         "block copied out", "block transposed out", "rows finished")
CONTRACTIONS = (*SCHEMES, *PACKINGS, *BOXES)
LOOPS = ("one chunk", "several chunks", "tail of chunks", "columns", "blocks of columns",
         "tail of blocks")
REDUCTIONS = ("reduction in parts", "tail of parts", "runs of a sum", "lanes of a sum")
OTHERS = ("scatter", "routine", "loop", "branch")
APART = ("packed before a loop", "packed for launches", "packed for chunks",
         "packed by copying", "packed by transposing", "packed by loops")
MEMORY = ("written in place", "kernel shared", "kernel shared with numbers", "no barrier")

# the locals and workspaces by which the lowering's texts name what they fill
_PACKED = {"packed": "A", "ap": "A", "bp": "B"}
_TILE = re.compile(r"(gemm|taps|dots|copy|transpose)_f\d+(?:_(\d+)x(\d+))?")
_RUNS = {"ns": "columns", "ks": "sums", "ms": "images", "rows": "rows"}
ROUTINES = {name for name, op in REGISTRY.items() if op.kind is Kind.ROUTINE}
_CONTRACTION = re.compile(r"\b(matmul|conv)\b")


def fired(program: Program) -> Counter[str]:
    """How many launches of `program` show each fact; kernels that several launches share count
    once each."""
    found: Counter[str] = Counter()
    for entry in program.entries.values():
        for launch, _ in walk(entry.launches):
            found.update(facts_of_launch(program, launch))
        found.update(facts_of_control(entry.launches))
    found.update(facts_of_sharing(program))
    return found


def fired_passes(records: Iterable[Sequence[Record]]) -> Counter[str]:
    """How many graphs each pass changed; `records` are those of `run_pipeline`, one per graph."""
    found: Counter[str] = Counter()
    for steps in records:
        texts = [print_graph(step.graph) for step in steps]
        found.update(step.name for step, old, new in zip(steps[1:], texts, texts[1:], strict=False)
                     if old != new)
    return found


def lacking(found: Mapping[str, int], names: Iterable[str], least: int = 20) -> list[str]:
    """Which of `names` fired less often than `least`, with their counts."""
    return [f"{n} ({found.get(n, 0)})" for n in names if found.get(n, 0) < least]


def table(found: Mapping[str, int]) -> str:
    """The histogram, a line per fact: the known names in their order, then any others."""
    known = (*CONTRACTIONS, *LOOPS, *REDUCTIONS, *OTHERS, *APART, *MEMORY)
    names = [*known, *sorted(set(found) - set(known))]
    return "\n".join(f"  {found.get(n, 0):7}  {n}" for n in names)


# ---- launches ------------------------------------------------------------------------------------


def facts_of_launch(program: Program, launch: Launch) -> set[str]:
    """The facts of one launch: its kernels', and how they stand together."""
    segments = [s for stage in launch.stages for s in stage]
    kernels = [program.kernels[s.kernel] for s in segments]
    facts: set[str] = set()
    for segment, kernel in zip(segments, kernels, strict=True):
        facts |= facts_of_segment(kernel, segment)
    if any(k.tiles for k in kernels):
        facts |= {"residues"} if len(launch.stages) > 2 else set()
        facts |= {"empty residue"} if any(_makes_zeros(k) for k in kernels) else set()
    elif any(_CONTRACTION.search(what_of(k)) for k in kernels):
        facts.add("plain contraction")
    words = {w for k in kernels for w in what_of(k).split()}
    facts |= {"routine"} if words & ROUTINES else set()
    facts |= {"scatter"} if any(w.startswith("scatter") for w in words) else set()
    facts |= {how_packed(kernels[0])} if launch.name == "pack" else set()
    return facts | (set() if launch.barrier else {"no barrier"})


def _makes_zeros(kernel: Kernel) -> bool:
    """A kernel beside those of tiles that has no tile and no workspace: a sum of nothing."""
    return not kernel.tiles and not any(
        _stem(p.name) in ("packed", "parts") for p in kernel.params)


def what_of(kernel: Kernel) -> str:
    """The first line of the kernel's docstring: the operators that it runs."""
    match = re.search(r'"""(.*)', kernel.text)
    return match[1] if match else ""


def how_packed(kernel: Kernel) -> str:
    """What lays an array out for tiles."""
    shared = re.match(r"blocks_(copy|transpos)", kernel.name)
    return f"packed by {shared[1]}ing" if shared else "packed by loops"


def facts_of_packs(steps: Sequence[Step]) -> Counter[str]:
    """For whom launches pack: for loops behind them, for several launches, or for one of several
    chunks."""
    found: Counter[str] = Counter()
    for at, step in enumerate(steps):
        if not isinstance(step, Launch) or step.name != "pack":
            continue
        packed = [a for a in step.stages[0][0].args if isinstance(a, Slot)][-1]
        readers = [s for s in steps[at + 1:] if any(packed in arguments(x) for x, _ in walk([s]))]
        if any(isinstance(s, Loop) for s in readers):
            found["packed before a loop"] += 1
        elif readers:
            found[f"packed for {'launches' if len(readers) > 1 else 'chunks'}"] += 1
    return found


def arguments(launch: Launch) -> list[Slot | int | float]:
    return [a for stage in launch.stages for s in stage for a in s.args]


def facts_of_control(steps: Sequence[Step]) -> Counter[str]:
    """Loops, branches and for whom launches pack, at any depth."""
    found = facts_of_packs(steps)
    for step in steps:
        if isinstance(step, Loop):
            found["loop"] += 1
            found += facts_of_control(step.launches)
        elif not isinstance(step, Launch):
            found["branch"] += 1
            found += facts_of_control((*step.then, *step.otherwise))
    return found


def facts_of_sharing(program: Program) -> Counter[str]:
    """Kernels that more than one segment calls, with the same numbers or with others."""
    calls: dict[int, list[tuple[int | float, ...]]] = {}
    for entry in program.entries.values():
        for launch, _ in walk(entry.launches):
            for segment in (s for stage in launch.stages for s in stage):
                numbers = tuple(a for a in segment.args if isinstance(a, (int, float)))
                calls.setdefault(segment.kernel, []).append(numbers)
    shared = [numbers for numbers in calls.values() if len(numbers) > 1]
    return Counter({"kernel shared": len(shared),
                    "kernel shared with numbers": sum(len(set(n)) > 1 for n in shared)})


def facts_of_segment(kernel: Kernel, segment: Segment) -> set[str]:
    """The facts of a kernel's text with the numbers that this segment passes."""
    numbers = tuple((p.name, a) for p, a in zip(kernel.params, segment.args, strict=True)
                    if isinstance(a, int))
    facts = set(facts_of_text(kernel, numbers))
    if not kernel.tiles and not facts & {"A straight", "A turned"} and not any(
            _stem(p.name) in ("packed", "parts") for p in kernel.params):
        facts.add("one chunk" if segment.chunks == 1 else "several chunks")
    return facts


# ---- texts ---------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def facts_of_text(kernel: Kernel, numbers: tuple[tuple[str, int], ...]) -> frozenset[str]:
    """What the text of one kernel shows, its scalar parameters being `numbers`."""
    reader = TextReader(kernel, dict(numbers))
    reader.visit(ast.parse(kernel.text).body[0])
    return frozenset(reader.facts)


def _stem(name: str) -> str:
    """A name without the number that makes it unique."""
    return re.sub(r"_?\d+$", "", name)


class TextReader(ast.NodeVisitor):
    """Walks a kernel's text and collects facts."""

    def __init__(self, kernel: Kernel, numbers: Mapping[str, int]) -> None:
        self.kernel, self.numbers = kernel, numbers
        self.facts: set[str] = set()
        self.loops: list[str] = []
        self.outer = 0  # loops over boxes of the sum that the tile runs in
        self.zeros = False  # whether what was last put into `turn` has zeros around it
        self.pointers = {p.name: p.written for p in kernel.params if p.kind == "pointer"}
        self.tiled = any(t.startswith(("gemm", "taps", "dots")) for t in kernel.tiles)
        shared = re.match(r"pack_(copy|transpose)_", kernel.name)
        self.shared = f"A by the shared {shared[1]}" if shared else ""
        if self.shared:
            self.facts.add(self.shared)

    def number(self, node: ast.AST) -> int | None:
        """The value of a literal or of a scalar parameter."""
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return node.value
        return self.numbers.get(node.id) if isinstance(node, ast.Name) else None

    def visit_For(self, node: ast.For) -> None:
        assert isinstance(node.target, ast.Name) and isinstance(node.iter, ast.Call)
        self.chunk_tail(node.iter)
        self.runs(node)
        self.loops.append(_stem(node.target.id))
        if self.loops[-1] == "kb" and any(_tile_of(n) == "gemm" for n in ast.walk(node)):
            self.outer = self.loops.count("kb")
        self.generic_visit(node)
        self.loops.pop()

    def chunk_tail(self, call: ast.Call) -> None:
        """range(chunk * 7, min(chunk * 7 + 7, 30)): the last chunk is shorter."""
        if len(call.args) != 2 or not ast.unparse(call.args[0]).startswith("chunk * "):
            return
        high = call.args[1]
        if not (isinstance(high, ast.Call) and isinstance(high.args[0], ast.BinOp)):
            return
        each, rows = self.number(high.args[0].right), self.number(high.args[1])
        ours = not self.tiled and "packed" not in map(_stem, self.pointers)
        if ours and each and rows and rows % each:
            self.facts.add("tail of chunks")

    def runs(self, node: ast.For) -> None:
        """for r in range(0, 70, 16): ... for r2 in range(r, min(r + 16, 70)); not of lanes."""
        assert isinstance(node.target, ast.Name) and isinstance(node.iter, ast.Call)
        if len(node.iter.args) == 3 and not self.tiled and any(
                isinstance(inner, ast.For) and isinstance(inner.iter, ast.Call)
                and ast.unparse(inner.iter.args[0]) == node.target.id for inner in node.body):
            self.facts.add("runs of a sum")

    def visit_Assign(self, node: ast.Assign) -> None:
        (target,) = node.targets
        if isinstance(target, ast.Subscript):
            self.stored(target, node.value)
        elif isinstance(target, ast.Name) and isinstance(node.value, ast.Call):
            self.named(target.id, node.value)
        elif isinstance(target, ast.Name) and target.id == "j1":
            self.facts.add("blocks of columns")
        self.generic_visit(node)

    def named(self, name: str, call: ast.Call) -> None:
        """`ns = min(64, 120 - n0)`, `j1 = min(j0 + 8, 22)`, `sum = local_f32(8)`."""
        function = call.func.id if isinstance(call.func, ast.Name) else ""
        if function.startswith("local_") and _stem(name) == "lanes":
            self.facts.add("lanes of a sum")
        elif function.startswith("local_") and not self.kernel.tiles and _stem(name) not in (
                "turn", "total"):
            self.facts.add("columns")
        if function != "min":
            return
        if _stem(name) == "end" and "partial" in map(_stem, self.pointers):
            assert isinstance(call.args[0], ast.BinOp)
            self.tail("parts", self.number(call.args[0].right), self.number(call.args[1]))
        elif name == "j1":
            self.facts.add("blocks of columns")
            assert isinstance(call.args[0], ast.BinOp)
            self.tail("blocks", self.number(call.args[0].right), self.number(call.args[1]))
        elif _stem(name) in _RUNS and isinstance(call.args[1], ast.BinOp):
            self.run(_RUNS[_stem(name)], call.args)

    def run(self, what: str, args: Sequence[ast.expr]) -> None:
        """A box that may be shorter than others, and whether the last one is."""
        assert isinstance(args[1], ast.BinOp)
        size, extent = self.number(args[0]), self.number(args[1].left)
        images = any(t.startswith("taps") for t in self.kernel.tiles)
        what = "images" if what == "columns" and images else what
        if size and extent is not None and extent > size:
            self.facts.add("panels of rows" if what == "rows" else f"boxes of {what}")
        self.tail(what, size, extent)

    def tail(self, what: str, size: int | None, extent: int | None) -> None:
        if size and extent and extent % size:
            self.facts.add(f"tail of {what}")

    def stored(self, target: ast.Subscript, value: ast.expr) -> None:
        """buffer[...] = value."""
        name = target.value.id if isinstance(target.value, ast.Name) else ""
        stem = _stem(name)
        if stem in _PACKED:
            self.facts.add(f"{_PACKED[stem]} straight")
        elif stem in ("image", "left"):
            zeros = isinstance(value, ast.Call) and isinstance(value.args[0], ast.Constant)
            self.facts.add("image with border" if zeros else "image evaluated")
        elif self.tiled and self.pointers.get(name) and stem != "parts":
            self.facts.add("rows finished")
        zeros = any(isinstance(n, ast.IfExp) for n in ast.walk(value))
        if stem in _PACKED and zeros:
            self.facts.add(f"{_PACKED[stem]} with border")
        elif stem == "turn":
            self.zeros = zeros

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if isinstance(node.ctx, ast.Load) and isinstance(node.value, ast.Name):
            name = node.value.id
            if _stem(name) == "partial" and name in self.pointers:
                self.facts.add("reduction in parts")
            if self.pointers.get(name) and _stem(name) not in (*_PACKED, "parts", "sums") and (
                    "scatter" not in what_of(self.kernel)):
                self.facts.add("written in place")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        match = _TILE.fullmatch(ast.unparse(node.func))
        if match is not None and match[1] in ("copy", "transpose"):
            self.moved(match[1], _base(node.args[0]), _base(node.args[2]))
        elif match is not None:
            self.multiplied(match, node)
        self.generic_visit(node)

    def multiplied(self, match: re.Match[str], node: ast.Call) -> None:
        """gemm, taps and dots: the scheme, and a last panel of fewer rows."""
        to = node.args[4] if match[1] != "dots" else node.args[-2]
        split = match[1] == "gemm" and _base(to) in self.pointers
        self.facts.add("split" if split else match[1])
        rows = self.number(node.args[6]) if match[1] != "dots" else None
        if rows is not None and rows < int(match[2]):
            self.facts.add("tail of rows")
        if match[1] == "gemm" and "kb" in self.loops and not split:
            self.facts.add("boxes of sums")

    def moved(self, tile: str, to: str, source: str) -> None:
        """copy and transpose: packing, filling an image, storing a block."""
        how = {"copy": "copied", "transpose": "transposed"}[tile]
        stem = _stem(to)
        if _stem(source) == "turn":
            side = _PACKED.get(stem, "A")
            self.facts |= {f"{side} turned", *([f"{side} with border"] if self.zeros else [])}
            within = self.loops.count("kb") > self.outer
            self.facts |= {f"{side} turned in boxes"} if within else set()
        elif stem in _PACKED:
            self.facts |= set() if self.shared else {f"{_PACKED[stem]} {how}"}
        elif stem in ("image", "left"):
            self.facts.add("image copied")
        elif to in self.pointers:
            self.facts.add(f"block {how} out")


def _tile_of(node: ast.AST) -> str:
    """The family of the tile that is called here."""
    match = _TILE.fullmatch(ast.unparse(node.func)) if isinstance(node, ast.Call) else None
    return match[1] if match else ""


def _base(pointer: ast.expr) -> str:
    """The buffer of `x` or `at(x, offset)`."""
    if isinstance(pointer, ast.Call):
        pointer = pointer.args[0]
    return pointer.id if isinstance(pointer, ast.Name) else ""
