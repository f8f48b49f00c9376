"""verify=True after the last pass: every launch of a Program runs alone, and must match the graph.

Expected values come from the graph and are compared with the arena: a launch's results must be
within the rounding of its fused body (dlc/reference/rounding), and values that are read later must
not change. So errors in order, placement, loops or kernel sharing all show up at the first launch
that goes wrong. Loops run all iterations; the first three and the last are compared. Both sides of
a branch run. Finally the entry runs as a whole and must give the same bits, since moving pointers,
barriers and threads are not part of any single launch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dlc.backend.assemble import as_run
from dlc.backend.draft import Draft, scratch_of
from dlc.backend.steps import slot
from dlc.checks.places import Owners, bytes_of
from dlc.derive.control import SCAN
from dlc.errors import DlcError, Loc
from dlc.ir.graph import Graph, Node
from dlc.ir.types import Type
from dlc.ops import leaf, tuples
from dlc.passes.check import random_value, same_meaning
from dlc.passes.schedule.lives import Scratch
from dlc.passes.schedule.order import Schedule, launch_of
from dlc.program import Branch, Launch, Loop, Program, Slot, Step, place, walk
from dlc.reference import rounding
from dlc.reference.rounding import Interval

Array = np.ndarray[Any, Any]
HINT = "this is a bug in dlc, reproducible with DLC_CHECK=2; please report the program"
OWN = "a custom operator's function and its NumPy meaning may differ: dlc.check_op compares them"
FIRST = 3  # iterations of a loop that are compared, beside the last: both parities of a swap
FOREVER = 1 << 60


class LaunchError(DlcError):
    """A launch that does not leave in memory what the graph says."""


def check_launches(running: Any, drafts: Sequence[Draft], graphs: Mapping[str, Graph],
                   given: Mapping[str, Mapping[str, Array]] | None = None) -> None:
    """Run every launch of every entry; raises LaunchError at the user's line.

    `running` is the assembled program on a device (`device_for`), `graphs` are the fused graphs by
    entry, `given` inputs by entry and label: where there are none, they are random.
    """
    for draft in drafts:
        known = (given or {}).get(draft.name, {})
        same_meaning("order", graphs[draft.name], as_run(draft.schedule, {}, {}), known)
        EntryCheck(running, draft, known).run()


def device_for(program: Program) -> str:
    """The device that runs a program here: the CPU, the CPU in place of a GPU, or plain Python for
    another machine's instruction set."""
    return "emulate" if program.target == "cuda" else device_of(program.isa)


def device_of(isa: str) -> str:
    """The device that runs kernels of `isa` here."""
    from dlc.runtime.compile.isa import IsaError, target_cpu

    try:
        target_cpu(isa)
    except IsaError:
        return "interpret"
    return "cpu"


@dataclass(eq=False)
class Frame:
    """The values of one order that have been made, in one iteration of the loops around it."""

    schedule: Schedule
    at: tuple[int, ...]
    held: dict[Node, Array]
    position: int = -1
    last: dict[Node, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        graph = self.schedule.graph
        for at, launch in enumerate(self.schedule.launches):
            self.last.update(dict.fromkeys(launch.args, at))
        updated = set(graph.updates.values())
        kept = [i for i in graph.inputs if i.attrs.get("role") in ("param", "state")
                and i.attrs["label"] not in updated]
        literals = {n: n.attrs["value"].array for n in graph.nodes() if n.op is leaf.ARRAY}
        self.held.update(literals)
        self.last.update(dict.fromkeys((*graph.outputs, *kept, *literals), FOREVER))

    def must_stay(self) -> Iterator[Node]:
        """The values that are read after the launch that runs, or again by the loop that does."""
        running = self.schedule.launches[self.position]
        again: set[Node] = set()
        if running.op is SCAN:
            carries = running.attrs["carries"]
            again = set(running.args[carries:]) - set(running.args[:carries])
        for value in self.held:
            if self.last.get(value, -1) > self.position or value in again:
                yield value


class EntryCheck:
    """Steps through one entry on a loaded program."""

    def __init__(self, running: Any, draft: Draft, known: Mapping[str, Array]) -> None:
        assert draft.plan is not None
        self.known = known  # inputs by label
        self.running, self.draft, self.slots = running, draft, draft.plan.slots
        self.entry = running.entry(draft.name)
        self.frames: list[Frame] = []
        self.index = 0  # of the launch in entry.flat
        self.comparing = True
        self.makers: dict[Node, str] = {}
        self.seen: set[int] = set()  # branches of which both sides have run

    def run(self) -> None:
        """Raise LaunchError for the first launch that is wrong."""
        graph = self.draft.schedule.graph
        self.running.spoil()
        given = {node: self.known.get(node.attrs["label"], random_value(node, i))
                 for i, node in enumerate(graph.inputs)}
        for node, array in given.items():
            self.running.write(node.attrs["label"], array, self.entry.name)
        saved = self.running.save()
        frame = Frame(self.draft.schedule, (), given)
        self._holds(frame, tuple(frame.held), "before the first launch")
        with self._inside(frame):
            self._steps(frame, self.entry.launches)
        results = self._results(frame)
        self.running.restore(saved)
        self.running.run(self.entry.name)
        for name, (node, value) in results.items():
            if not same_bits(self.running.read(name, self.entry.name), value):
                raise self._error(f"value {name!r} is another when the entry runs as a whole than "
                                  "launch by launch: a barrier, the pointers of a loop, or two "
                                  "threads at one place", node.loc)

    def _results(self, frame: Frame) -> dict[str, tuple[Node, Array]]:
        """What the entry gives out and keeps, by name; raises LaunchError where a port or a
        parameter does not hold it."""
        graph, found = frame.schedule.graph, {}
        for name, node in zip(graph.output_names, graph.outputs, strict=True):
            port = graph.updates.get(name, name)
            if not same_bits(self.running.read(port, self.entry.name), frame.held[node]):
                raise self._error(f"output {name!r} is not where {port!r} lies", node.loc)
            found[port] = (node, frame.held[node])
        return found

    @contextmanager
    def _inside(self, frame: Frame) -> Iterator[None]:
        self.frames.append(frame)
        yield
        self.frames.pop()

    def _steps(self, frame: Frame, steps: Sequence[Step]) -> None:
        for number, (node, step) in enumerate(zip(frame.schedule.launches, steps, strict=True)):
            frame.position = number
            if isinstance(step, Loop):
                self._loop(frame, node, step)
            elif isinstance(step, Branch):
                self._branch(frame, node, step)
            else:
                self._launch(frame, node, step)

    # ---- one launch --------------------------------------------------------------------------

    def _launch(self, frame: Frame, node: Node, launch: Launch) -> None:
        body: Graph = node.attrs["body"]
        for a in node.args:
            if a not in frame.held:
                raise self._error(f"{self._what(launch)} reads {called(a, a)}, which no launch has "
                                  "made", node.loc or a.loc)
        expected = rounding.results(
            body, [Interval.exact(frame.held[a]) for a in node.args]) if self.comparing else None
        try:
            self.running.run_launch(self.entry.name, self.index, frame.at)
        except Exception as problem:
            raise self._error(f"{self._what(launch)} fails: {problem}", node.loc) from problem
        for value in frame.schedule.values[node]:
            number = value.attrs["index"] if value.op is tuples.ITEM else 0
            got = frame.held[value] = self._read(value, frame.at)
            self.makers[value] = launch.name
            if expected is not None:
                self._compare(frame, launch, value, body.outputs[number], expected[number], got)
        self._nothing_else_changed(launch, node)
        self._spoil_the_dead(frame, node)
        self.index += 1

    def _compare(self, frame: Frame, launch: Launch, value: Node, root: Node, expected: Interval,
                 got: Array) -> None:
        wrong = rounding.outside(expected, got)
        if not np.any(wrong):
            return
        at = tuple(int(i) for i in np.argwhere(np.atleast_1d(wrong))[0])[:got.ndim]
        low, high = expected.low[at], expected.high[at]
        digits = 17 if got.dtype.itemsize == 8 else 9
        kernels = ", ".join(self._writers(launch, value, frame.at))
        raise self._error(
            f"{self._what(launch)}, kernel {kernels}: {called(value, root)} is wrong in "
            f"{int(np.sum(wrong))} of {got.size} elements, first at {at}: {got[at]} instead of "
            f"{expected.mid[at]:.{digits}g} (from {low:.{digits}g} to {high:.{digits}g})",
            root.loc or value.loc,
            OWN if any(n.op.functions for n in launch_body(value).nodes()) else HINT)

    def _writers(self, launch: Launch, value: Node, at: Sequence[int]) -> list[str]:
        """The kernels of a launch that write where `value` lies."""
        home = place(slot(self.slots[value]), at)
        table = self.running.program.kernels
        uses = [(table[s.kernel], s) for stage in launch.stages for s in stage]
        found = [k.name for k, s in uses for p, a in zip(k.params, s.args, strict=True)
                 if isinstance(a, Slot) and p.written and place(a, at) == home]
        return list(dict.fromkeys(found or [k.name for k, _ in uses]))

    def _nothing_else_changed(self, launch: Launch, node: Node) -> None:
        for frame in self.frames:
            for value in frame.must_stay():
                if not same_bits(self._read(value, frame.at), frame.held[value]):
                    maker = self.makers.get(value)
                    made = f"made by launch {maker}" if maker else "an input"
                    raise self._error(
                        f"{self._what(launch)} overwrites {called(value, value)}, {made}, which is "
                        f"read later", node.loc or value.loc)

    def _spoil_the_dead(self, frame: Frame, node: Node) -> None:
        """Operands that were read for the last time, and the launch's workspaces, become NaN: what
        reads them all the same is wrong from here on."""
        owners = Owners()
        for value in node.args:
            if value in self.slots:
                owners.write(*self._range(value, frame.at), value)
        for need in scratch_of(self.draft.lowered[node]):
            owners.write(*self._range(need, frame.at), need)
        live: list[Node] = []
        for around in self.frames:
            for value in around.must_stay():
                if value in self.slots:
                    owners.write(*self._range(value, around.at), value)
                    live.append(value)
        for start, end, owner in zip(owners.starts, owners.ends, owners.who, strict=True):
            if not any(owner is value for value in live):
                self.running.spoil(start, end)

    def _range(self, value: Node | Scratch, at: Sequence[int]) -> tuple[int, int]:
        """The bytes at which a value lies."""
        start = place(slot(self.slots[value]), at)
        return start, start + bytes_of(value)

    # ---- loops and branches ------------------------------------------------------------------

    def _loop(self, frame: Frame, node: Node, loop: Loop) -> None:
        (inner,) = frame.schedule.inner[node]
        first, length = self.index, len(list(walk(loop.launches)))
        carries, sequences = node.attrs["carries"], node.attrs["sequences"]
        state = [frame.held[a] for a in node.args[:carries]]
        rest = [frame.held[a] for a in node.args[carries:]]
        outputs = inner.graph.outputs
        rows: list[list[Array]] = [[] for _ in outputs[carries:]]
        outer = self.comparing
        for step in range(loop.count):
            self.index, self.comparing = first, outer and (step < FIRST or step == loop.count - 1)
            row = loop.count - 1 - step if node.attrs["reverse"] else step
            given = [*state, *(a[row] for a in rest[:sequences]), *rest[sequences:]]
            body = self._body(inner, given, (*frame.at, step), f"loop {loop.name}, "
                              f"iteration {step}", loop.launches)
            state = [body.held[o] for o in outputs[:carries]]
            for kept, out in zip(rows, outputs[carries:], strict=True):
                kept.append(body.held[out])
        self.index, self.comparing = first + length, outer
        turned = [r[::-1] if node.attrs["reverse"] else r for r in rows]
        self._gives(frame, node, [*state, *(stacked(r, t) for r, t in zip(
            turned, node.type.items[carries:], strict=True))], f"loop {loop.name}")

    def _branch(self, frame: Frame, node: Node, branch: Branch) -> None:
        first = self.index
        middle = first + len(list(walk(branch.then)))
        end = middle + len(list(walk(branch.otherwise)))
        taken = bool(frame.held[node.args[0]])
        given = [frame.held[a] for a in node.args[1:]]
        sides = {True: (frame.schedule.inner[node][0], branch.then, first),
                 False: (frame.schedule.inner[node][1], branch.otherwise, middle)}
        for side in (not taken, taken):
            if side is not taken and id(branch) in self.seen:
                continue
            saved = self.running.save() if side is not taken else None
            inner, steps, self.index = sides[side]
            what = f"branch {branch.name} ({'then' if side else 'otherwise'})"
            body = self._body(inner, given, frame.at, what, steps)
            self._gives(frame, node, [body.held[o] for o in inner.graph.outputs], what)
            if saved is not None:
                self.running.restore(saved)
                for item in results_of(frame, node):
                    del frame.held[item]
        self.seen.add(id(branch))
        self.index = end

    def _body(self, inner: Schedule, given: Sequence[Array], at: tuple[int, ...], what: str,
              steps: Sequence[Step]) -> Frame:
        """The frame of one run of a body whose inputs must hold `given`."""
        body = Frame(inner, at, dict(zip(inner.graph.inputs, given, strict=True)))
        self._holds(body, inner.graph.inputs, what)
        with self._inside(body):
            self._steps(body, steps)
        self._holds(body, inner.graph.outputs, f"the end of {what}")
        return body

    def _gives(self, frame: Frame, node: Node, results: Sequence[Array], what: str) -> None:
        """The results of a loop or a branch, as the graph around it names them."""
        for item in results_of(frame, node):
            frame.held[item] = results[item.attrs["index"]]
            self.makers[item] = what
            self._holds(frame, [item], f"the end of {what}")

    # ---- the arena ---------------------------------------------------------------------------

    def _read(self, value: Node, at: Sequence[int]) -> Array:
        found: Array = self.running.value_at(place(slot(self.slots[value]), at), value.type)
        return found

    def _holds(self, frame: Frame, values: Sequence[Node], when: str) -> None:
        """Raise LaunchError unless each of `values` that has a place lies there."""
        for value in values:
            if value in self.slots and not same_bits(self._read(value, frame.at),
                                                     frame.held[value]):
                raise self._error(f"{when}: {called(value, value)} is not in its place", value.loc)

    def _what(self, launch: Launch) -> str:
        return f"launch {self.index + 1} ({launch.name})"

    def _error(self, message: str, loc: Loc | None, hint: str = HINT) -> LaunchError:
        return LaunchError(f"{self.running.program.name}, entry {self.entry.name}: {message}", loc,
                           hint)


def called(value: Node, root: Node) -> str:
    """A value as the user knows it."""
    name = value.name or root.name or root.op.name
    return f"value {name!r} ({root.op.name}: {value.type})"


def launch_body(value: Node) -> Graph:
    """The fused body that makes a value."""
    body: Graph = launch_of(value).attrs["body"]
    return body


def results_of(frame: Frame, node: Node) -> list[Node]:
    """The results of a loop or a branch that somebody reads."""
    return [n for n in frame.schedule.graph.nodes()
            if n.op is tuples.ITEM and n.args[0] is node]


def stacked(rows: Sequence[Array], type_: Type) -> Array:
    """The rows that a loop gave out."""
    if rows:
        return np.stack(rows)
    return np.zeros(tuple(map(int, type_.shape)), type_.dtype.numpy)


def same_bits(a: Array, b: Array) -> bool:
    """Whether two arrays hold the same bytes, NaN and the sign of zero included."""
    first, second = (np.ascontiguousarray(x).reshape(-1).view(np.uint8) for x in (a, b))
    return a.dtype == b.dtype and bool(np.array_equal(first, second))
