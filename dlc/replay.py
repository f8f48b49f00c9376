"""A replay bundle: one step with its inputs in a file, which `dlc replay` runs through NumPy.

A safetensors file: the step's inputs by name and, as metadata, a checksum and a JSON record with
the graph as text and the source files that it names. It needs neither the program's file nor its
data, and reading it runs nothing but dlc's own operators.
"""

from __future__ import annotations

import json
import linecache
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.errors import Loc, short_path
from dlc.faults import Values, is_finite, spoilt_by
from dlc.faults import replay as evaluated
from dlc.ir.graph import Graph, Node
from dlc.lang.trace import CheckText
from dlc.reference.text import parse_graph, print_graph

if TYPE_CHECKING:
    from dlc.compiler import Compiled
    from dlc.runtime.train.training import Fault

FORMAT = 1
KEY = "dlc replay"  # of the metadata
FITS = "the file that `dlc train --trap nan` has named"
Inputs = Mapping[str, Any]


@dataclass(frozen=True)
class Bundle:
    """Step number `step` of `program`: the graph of the entry as traced, in text, its `inputs` by
    name, and the code of the fault that it came to. `sources` are the texts of the files that the
    graph names, `checks` (text, file, line) of its run-time checks."""

    program: str
    entry: str
    step: int
    epoch: int
    code: int
    text: str
    sources: Mapping[str, str]
    checks: tuple[tuple[str, str, int], ...]
    inputs: Inputs

    @staticmethod
    def of(compiled: Compiled, fault: Fault, graph: Graph, inputs: Inputs) -> Bundle:
        """The bundle of a fault, which came of `graph` on `inputs`."""
        taken = {n.attrs["label"]: np.asarray(inputs[n.attrs["label"]]) for n in graph.inputs}
        checks = [(c.text, *place(c.loc)) for c in graph.notes.get("checks", ())]
        return Bundle(compiled.program.name, fault.entry, fault.step, fault.epoch, fault.code,
                      print_graph(graph), texts_of(graph), tuple(checks), taken)

    def graph(self) -> Graph:
        """The graph of the step; its lines are shown as they were when it failed. Raises DlcError
        for a text that is none, and for operators that dlc has not: custom ones."""
        graph = parse_graph(self.text, "graph")
        for file in {loc.file for node in graph.nodes() for loc in node.locs}:
            text = self.sources.get(file, "")
            linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        checks = tuple(CheckText(text, Loc(file, line) if file else None)
                       for text, file, line in self.checks)
        return replace(graph, notes={**graph.notes, "checks": checks})


def place(loc: Loc | None) -> tuple[str, int]:
    return ("", 0) if loc is None else (short_path(loc.file), loc.line)


def texts_of(graph: Graph) -> dict[str, str]:
    """The files that the nodes of a graph name, as they are now, by the names in its text."""
    files = {loc.file for node in graph.nodes() for loc in node.locs}
    return {short_path(file): "".join(linecache.getlines(file)) for file in sorted(files)}


def keep(path: Path, bundle: Bundle) -> str:
    """Write `bundle`, and say how it is run; that it is not there, where the disk is full."""
    from dlc.runtime.train.checkpoint import write_record

    record = {"format": FORMAT, **asdict(replace(bundle, inputs={}))}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_record(path, KEY, record, bundle.inputs)
    except OSError as problem:
        return f"the step could not be kept in {path}: {problem.strerror}"
    return f"the step is kept: dlc replay {path}"


def read(path: Path) -> Bundle:
    """The bundle in `path`. Raises CheckpointError for a file that is damaged in any bit, or that
    is none of dlc's bundles."""
    from dlc.runtime.train.checkpoint import checksum
    from dlc.runtime.train.tensorfile import CheckpointError, read_tensors

    arrays, metadata = read_tensors(path)
    if KEY not in metadata:
        what = "a checkpoint" if "dlc" in metadata else "a safetensors file"
        raise CheckpointError(path, "", f"is {what}, not a replay bundle", FITS)
    crc, _, record = metadata[KEY].partition(" ")
    if crc != checksum(record, arrays):
        raise CheckpointError(path, "", "its contents do not match their checksum: it is damaged")
    try:
        found = bundle_of(json.loads(record), arrays)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(path, "", f"its record cannot be read ({error!r})", FITS) from None
    return found


def bundle_of(record: Any, arrays: Inputs) -> Bundle:
    """The bundle of a record. Raises ValueError, KeyError or TypeError where it is none."""
    if record["format"] != FORMAT:
        raise ValueError(f"format {record['format']!r}; this dlc reads format {FORMAT}")
    given = {f.name: record[f.name] for f in fields(Bundle)} | {"inputs": arrays}
    texts = [given["program"], given["entry"], given["text"], *given["sources"].values()]
    numbers = [given["step"], given["epoch"], given["code"]]
    checks = tuple((str(text), str(file), int(line)) for text, file, line in given["checks"])
    if not all(type(t) is str for t in texts) or not all(type(n) is int for n in numbers):
        raise TypeError("a field of another type")
    return Bundle(**{**given, "checks": checks})


@dataclass(frozen=True)
class Replayed:
    """What NumPy makes of a step: the `code` of the fault that it comes to, 0 for none; how many
    nodes it evaluates, and those that are not finite, in order, with their values."""

    code: int
    count: int
    bad: tuple[Node, ...]
    values: Values


def replay(graph: Graph, inputs: Inputs) -> Replayed:
    """Evaluate a step on `inputs`. Raises DlcError where an input is missing or of another type."""
    from dlc.runtime.train.checkpoint import check_fits
    from dlc.runtime.train.training import NOT_FINITE

    check_fits("the bundle", inputs, {n.attrs["label"]: n.type for n in graph.inputs})
    plain, values = evaluated(graph, inputs)
    code = 0
    if "fault" in plain.output_names:
        code = int(values[plain.outputs[plain.output_names.index("fault")]])
    code = code or (NOT_FINITE if spoilt_by(plain, values) else 0)
    bad = tuple(n for n, value in values.items() if not is_finite(value))
    return Replayed(code, len(values), bad, values)

