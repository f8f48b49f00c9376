"""dlc.compile: from a task, a function or a graph to a compiled, inspectable Program."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dlc import env
from dlc.custom_errors import users_error
from dlc.derive.precision import in_precision
from dlc.errors import DlcError, DoesNotFit, here, nearest
from dlc.faults import raise_fault
from dlc.init import initial_values
from dlc.inspector.asked import Inspected
from dlc.inspector.told import tell
from dlc.ir.graph import Graph, Node, Op
from dlc.ir.types import is_size
from dlc.lang.trace import graph_variables, trace
from dlc.memory import limit_bytes
from dlc.program import Kernel, Program, update_entry
from dlc.recompiles import note_specialization
from dlc.reference.evaluate import Specialized, fit
from dlc.task.over_set import set_graph
from dlc.task.task import Task

if TYPE_CHECKING:
    from dlc.passes import Record
    from dlc.runtime.compile.kept import KeptProgram

TARGETS = ("cpu", "cuda")
Check = Callable[[str, Graph, Graph], None]


@dataclass(frozen=True)
class Source:
    """What is compiled: the entries as they were written, and first values by seed."""

    name: str
    graphs: Mapping[str, Graph]
    initial: Callable[[int], Mapping[str, Any]]
    meta: Mapping[str, object] = field(default_factory=dict)

    @cached_property
    def texts(self) -> dict[str, str]:
        """The graphs as text, by entry. Passes may name nodes: it is read before they run."""
        from dlc.reference.text import print_graph

        return {entry: print_graph(graph) for entry, graph in self.graphs.items()}

    def kept(self, target: str, isa: str) -> KeptProgram:
        """Where its Program is kept on disk: found by the text of the graphs."""
        from dlc.runtime.compile.kept import KeptProgram

        options = {"target": target, "isa": isa, "meta": self.meta,
                   **custom_parts([g for g in self.graphs.values() if custom_operators(g)])}
        return KeptProgram(self.name, self.texts, options)


def custom_parts(graphs: Sequence[Graph]) -> dict[str, object]:
    """What `graphs` mean beyond their text: functions of the user and what gradient rules build."""
    if not graphs:
        return {"functions": {}, "derived": []}
    from dlc.passes.differentiate import differentiate
    from dlc.reference.text import print_graph

    expanded = [differentiate(graph) for graph in graphs]
    return {"functions": {op.name: op.functions for g in expanded for op in custom_operators(g)},
            "derived": [print_graph(g) for g in expanded]}


def custom_operators(graph: Graph) -> set[Op]:
    """The operators of `graph` and the graphs inside that call functions of the user.

    They are those of its nodes: an operator of the same name may have been defined since.
    """
    found = set()
    for node in graph.nodes():
        found |= {node.op} if node.op.functions else set()
        for inner in node.attrs.values():
            found |= custom_operators(inner) if isinstance(inner, Graph) else set()
    return found


class Compiled(Inspected):
    """A compiled program: the graph after every pass, the kernels, the memory plan, and `load`.

    A Program loaded from the cache is not compiled again (`was_kept`): its passes run when
    `records` or `graph` are first read. `texts` are the graphs as traced, by entry. `isa` is an
    instruction set of the CPU ("": that of DLC_CPU, else the machine's).
    """

    def __init__(self, source: Source, target: str, level: int = 0, isa: str = "") -> None:
        self.source, self._check, self._launches = source, _checker(level), level == 2
        self.texts = source.texts
        isa = isa or machine_of(target)
        kept = source.kept(target, isa) if level == 0 else None
        found = kept.get() if kept is not None else None
        self.was_kept = found is not None
        self.program: Program = found or self._assemble(target, isa)
        if kept is not None and found is None:
            kept.put(self.program)
        if env.number("DLC_DEBUG"):
            tell(self, env.number("DLC_DEBUG"))

    def _assemble(self, target: str, isa: str) -> Program:
        from dlc.backend.assemble import assembled

        optimized = {entry: r[-1].graph for entry, r in self.records.items()}
        try:
            program, drafts = assembled(self.source.name, optimized, target, isa,
                                        dict(self.source.meta))
        except DoesNotFit as problem:
            raise DoesNotFit(problem.message, here(), problem.hint, problem.needed) from None
        if self._check is not None:
            from dlc.checks import static
            static.check_assembled(program, drafts)
        if self._launches:
            from dlc.checks.launches import check_launches, device_for
            with running_on(program, device_for(program)) as running:
                check_launches(running, drafts, optimized)
            from dlc.checks.chunk_order import check_chunk_order
            check_chunk_order(program, drafts)
        return program

    @cached_property
    def records(self) -> dict[str, list[Record]]:
        """What every pass did, by entry; the first record is the graph as it was written."""
        from dlc.passes import PIPELINE, run_pipeline
        from dlc.passes.halves import executed

        return {entry: run_pipeline(graph, self._check, PIPELINE)
                for entry, graph in executed(self.source.graphs, update_entry).items()}

    @property
    def graph(self) -> Graph:
        """The optimized graph of the first entry."""
        return next(iter(self.records.values()))[-1].graph

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        return self.program.kernels

    @property
    def peak_bytes(self) -> int:
        """Bytes that the allocator takes: known before the first step."""
        return self.program.peak_bytes

    def initial_values(self, seed: int = 0) -> Mapping[str, Any]:
        """First values of parameters and state for `seed`, by name."""
        return self.source.initial(seed)

    def load(self, device: str | None = None, threads: int | None = None,
             seed: int = 0) -> Loaded:
        """The program on `device` (default: its target) with initial values written: a callable
        over NumPy arrays.

        Raises DlcError for an unknown device, and for one that is not there.
        """
        running = running_on(self.program, device or self.program.target, threads)
        for name, value in self.source.initial(seed).items():
            running.write(name, value)
        return Loaded(self, running)


def running_on(program: Program, device: str, threads: int | None = None) -> Any:
    """The program on a device. Raises DlcError for an unknown device, and at the line of a user's
    function that does not compile."""
    from dlc import runtime
    from dlc.runtime.compile.workers import CompileError

    try:
        return runtime.load(program, device, threads)
    except CompileError as problem:
        users = users_error(str(problem), program)
        if users is None:
            raise
        raise users from None
    except ValueError as problem:
        raise DlcError(str(problem), here()) from None


class Loaded:
    """A loaded program. Calling it runs its first entry on NumPy arrays; calls from several threads
    are serialized."""

    def __init__(self, compiled: Compiled, running: Any) -> None:
        self.compiled, self.running = compiled, running
        self._turn = threading.RLock()

    def __call__(self, *args: Any, entry: str | None = None, **named: Any) -> Any:
        """Outputs of `entry` (default: the first) for its inputs, in order or by name.

        Gives a dict by name; a function with one output gives the array. Raises DlcError when an
        array does not fit, or when a run-time check failed.
        """
        entries = list(self.compiled.program.entries)
        name = entry or entries[0]
        if name not in entries:
            raise DlcError(f"{self.compiled.program.name} has no entry {name!r}"
                           f"{nearest(name, entries)}", here(), f"entries are {', '.join(entries)}")
        inputs = self._inputs(name)
        labels = [n.attrs["label"] for n in inputs]
        if len(args) > len(labels):
            raise DlcError(f"{name} takes {len(labels)} arrays ({', '.join(labels)}), "
                           f"{len(args)} are given", here())
        twice = [x for x in labels[:len(args)] if x in named]
        if twice:
            raise DlcError(f"{name}: {', '.join(twice)} given by place and by name", here())
        given = {**dict(zip(labels, args, strict=False)), **named}
        missing = [x for x in labels if x not in given]
        unknown = [x for x in given if x not in labels]
        if missing or unknown:
            raise DlcError(f"{name}: missing inputs {missing}, unknown inputs {unknown}", here(),
                           f"inputs are {', '.join(labels)}")
        fitting = {n.attrs["label"]: fit(given[n.attrs["label"]], n) for n in inputs}
        results = self._run(name, fitting)
        raise_fault(self.compiled.source.graphs[name], results.pop("fault", None),
                    lambda: {**self._kept(), **fitting})
        alone = name == "main" and len(results) == 1
        return next(iter(results.values())) if alone else results

    def _run(self, entry: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs of an entry. Raises DlcError for a program that was closed."""
        from dlc.runtime.cpu.arena import PortError

        outputs = self.compiled.program.entries[entry].outputs
        with self._turn:
            try:
                self.running.run_on(entry, arrays)
                return {port.name: self.running.read(port.name, entry) for port in outputs}
            except PortError as problem:
                raise DlcError(str(problem), here(), "load the program again") from None

    def _kept(self) -> dict[str, Any]:
        """Parameters and state."""
        return {port.name: self.running.read(port.name)
                for port in self.compiled.program.persistent}

    def _inputs(self, entry: str) -> list[Node]:
        graph = self.compiled.source.graphs[entry]
        return [n for n in graph.inputs if n.attrs["role"] not in ("param", "state")]

    def __getattr__(self, name: str) -> Any:
        if name == "running":
            raise AttributeError(name)
        return getattr(self.running, name)

    def __enter__(self) -> Loaded:
        return self

    def __exit__(self, *_: object) -> None:
        self.running.close()


def compile(thing: Any, target: str = "cpu", *, batch: int | None = None,
            tails: Mapping[str, int] | None = None, verify: bool = False, name: str = "",
            precision: str | None = None, memory_limit: int | str | None = None,
            **dims: int) -> Compiled:
    """Compile a task, a function with typed arguments, or a Graph.

    `batch` and `dims` bind dimension names; a task takes `batch` alone. `tails` gives sizes of a
    smaller last batch per entry kind ("train", "eval"), which become entries that share
    parameters, memory and kernels, and as "set" the size of the whole test set for `dlc.over_set`:
    see a Dataset's `tails(batch)`. `precision` is "bf16", "f16" or "f32" (docs/precision.md;
    default: a task's own, and no casts for anything else). `verify` evaluates the graph before and
    after every pass, then runs every launch and compares its results (dlc/checks/launches.py).
    `memory_limit`, bytes or a text such as "512MB", is the most that the program's memory may take:
    where it would take more, it computes values again instead of keeping them, with the same
    results (docs/memory.md).
    Raises DlcError at the user's line, also for a limit that nothing meets, and warns there when
    one function is compiled for many shapes.
    """
    env.check()
    if not isinstance(target, str) or target not in TARGETS:
        raise DlcError(f"unknown target {target!r}{nearest(target, list(TARGETS))}", here(),
                       f"targets are {', '.join(TARGETS)}")
    source = _source(thing, batch, tails or {}, name, dims, precision)
    if not isinstance(thing, Graph):
        note_specialization(thing, next(iter(source.graphs.values())))
    return Compiled(limited(source, memory_limit), target, 2 if verify else env.number("DLC_CHECK"))


def limited(source: Source, memory_limit: int | str | None) -> Source:
    """`source` under a memory limit. Raises DlcError for what is none."""
    if memory_limit is None:
        return source
    return replace(source, meta={**source.meta, "memory_limit": limit_bytes(memory_limit)})


def _checker(level: int) -> Check | None:
    """What is called after every pass: DLC_CHECK's levels."""
    if level == 0:
        return None
    from dlc.passes.check import same_meaning, structure

    return same_meaning if level == 2 else structure


def _source(thing: Any, batch: int | None, tails: Mapping[str, int], name: str,
            dims: Mapping[str, int], precision: str | None) -> Source:
    if isinstance(thing, Task):
        chosen = thing if precision is None else thing.with_options(precision=precision)
        return task_source(chosen, batch, tails, name, dims)
    if tails:
        raise DlcError("dlc.compile: only a task has tails", here(),
                       "compile a function once for each size it takes")
    if batch is not None:
        dims = {"batch": batch, **dims}
    if isinstance(thing, Graph):
        graph = thing
    elif isinstance(thing, Specialized):
        graph = thing.graph(**dims)
    elif callable(thing):
        graph = trace(thing, dims=dims)
    else:
        raise DlcError(f"dlc.compile: {thing!r} is not a task, function or graph", here())
    graph = graph if precision is None else in_precision(graph, precision)
    variables = graph_variables(graph)
    return Source(name or graph.name, {"main": graph},
                  lambda seed: initial_values(variables, seed) if variables else {})


def task_source(task: Task, batch: int | None, tails: Mapping[str, int], name: str = "",
                dims: Mapping[str, int] | None = None,
                kinds: Sequence[str] = ("train", "eval"),
                sizes: Mapping[str, Sequence[Mapping[str, int]]] | None = None) -> Source:
    """A task's entries: its steps of `kinds`, and the same for the smaller last batches in `tails`.

    `sizes` are those of its dimensions with a bound, by kind, ascending; the last, one for all
    kinds, are those of the entries without a size in their names; others are called train_16.
    """
    if dims:
        raise DlcError(f"task {task.name}: unknown options {', '.join(dims)}", here(),
                       "a task takes batch=; other dimensions are its own: dlc.task(dims=...)")
    _check_tails(task.name, tails)
    sizes = sizes or {}
    main = next((each[-1] for each in sizes.values() if each), None)
    graphs = task.graphs(batch, kinds, main)
    whole = {**graphs, **_smaller(task, batch, sizes)}
    count = tails.get("set", 0)
    if count and "eval" in graphs and graphs["eval"].notes["whole"]:
        whole["eval_set"] = set_graph(graphs["eval"].notes["whole"], count)
    for kind, size in ((k, n) for k, n in tails.items() if k != "set"):
        for entry, graph in (task.graphs(size, (kind,), main, size) if size else {}).items():
            _, _, phase = entry.partition(".")
            whole[f"{kind}_tail.{phase}" if phase else f"{kind}_tail"] = graph
    variables = task.variables(whole)
    return Source(name or task.name, whole, lambda seed: initial_values(variables, seed),
                  task.meta(graphs))


def _smaller(task: Task, batch: int | None,
             sizes: Mapping[str, Sequence[Mapping[str, int]]]) -> dict[str, Graph]:
    """The entries for smaller sizes of the dimensions with a bound: train_16, train_16.PHASE."""
    found = {}
    for kind, chosen in ((k, c) for k, each in sizes.items() for c in each[:-1]):
        for entry, graph in task.graphs(batch, (kind,), chosen).items():
            head, dot, phase = entry.partition(".")
            found[f"{head}_{'x'.join(map(str, chosen.values()))}{dot}{phase}"] = graph
    return found


def _check_tails(name: str, tails: Mapping[str, int]) -> None:
    """Raise DlcError for a tail of no step, or of no size."""
    if not isinstance(tails, Mapping) or not all(
            kind in ("train", "eval", "set") and is_size(size) for kind, size in tails.items()):
        raise DlcError(f"task {name}: tails={tails!r} does not fit", here(),
                       'sizes of the smaller last batch, e.g. tails={"train": 3, "eval": 5}; '
                       '0 is none; "set" is the number of all samples that are evaluated')


def machine_of(target: str) -> str:
    """What kernels are generated for: the CPU's instruction set, or any CUDA device."""
    return instruction_set() if target == "cpu" else target


def instruction_set() -> str:
    """The instruction set to generate for: DLC_CPU, else the best that this machine has."""
    from dlc.backend.cpu.isa import isa_of

    asked = env.text("DLC_CPU")
    if asked:
        return asked
    import llvmlite.binding as llvm

    return isa_of(dict(llvm.get_host_cpu_features())).name
