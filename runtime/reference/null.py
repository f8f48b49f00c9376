"""The null device: checks all of a Program, texts included, and runs nothing."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np

from dlc.program import Kernel, Program
from dlc.runtime.compile.primitives import CONSTANTS, PRIMITIVES
from dlc.runtime.compile.runner_primitives import CONTROL
from dlc.runtime.cpu.arena import ArenaProgram
from dlc.runtime.cpu.check import ProgramError
from dlc.runtime.reference.hazards import check_hazards
from dlc.runtime.steps import LOGGED_BYTES, Log, Phase, StepReport

ALLOWED_BUILTINS = {"range", "min", "max", "abs", "float", "int", "bool", "True", "False"}


class NullProgram(ArenaProgram):
    """A Program that is checked, holds values, and whose launches do nothing.

    Raises ProgramError for what check_program finds, for kernel texts that don't fit, and where a
    barrier between launches is missing.
    """

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        check_texts(program)
        check_hazards(program)
        self.launched = 0  # launches that a device would have made

    def run(self, entry: str) -> None:
        """Count the launches of `entry`."""
        self._begin(entry)
        self.launched += sum(self.entry(entry).runs)

    def run_launch(self, entry: str, index: int, iterations: Sequence[int] = ()) -> None:
        """Count one launch."""
        self._alive()
        self.launched += 1

    def run_steps(self, phases: Sequence[Phase], steps: int, *, first_step: int = 0,
                  watch: Callable[[int, Log], bool | None] | None = None,
                  interval: float = 0.1) -> StepReport:
        """Check `phases`, count their launches, and report outputs of zero."""
        self._alive()
        self.check_phases(phases, steps, first_step)
        log: Log = {}
        persistent = {p.name for p in self.program.persistent}
        for phase in phases:
            runs = phase.runs(first_step, first_step + steps)
            entry = self.entry(phase.entry)
            self.launched += runs * sum(entry.runs)
            for port in entry.outputs:
                if port.name not in persistent and 0 < port.type.bytes <= LOGGED_BYTES:
                    shape = (runs, *(int(d) for d in port.type.shape))
                    log[phase.entry, port.name] = np.zeros(shape, port.type.dtype.numpy)
        return StepReport(steps, "done", log, 0.0)


def check_texts(program: Program) -> None:
    """Raise ProgramError unless every kernel text defines its function over its parameters and
    uses only names that the prelude, the primitives and its tiles define."""
    known = {*PRIMITIVES, *CONSTANTS, *CONTROL, *ALLOWED_BUILTINS}
    known.update(_of_prelude(program.prelude))
    for kernel in program.kernels:
        tree = _parse(f"kernel {kernel.name}", kernel.text)
        own = set(_defined(tree))
        if kernel.name not in own:
            raise ProgramError(f"kernel {kernel.name}: its text defines no such function")
        _check_parameters(kernel, tree)
        unknown = sorted(set(_used(tree)) - own - known - set(kernel.tiles))
        if unknown:
            what = "a Python built-in" if hasattr(builtins, unknown[0]) else "not defined"
            raise ProgramError(f"kernel {kernel.name} uses {unknown[0]}, which is {what}")


@lru_cache(maxsize=4)  # one text for most Programs
def _of_prelude(text: str) -> tuple[str, ...]:
    return tuple(_defined(_parse("the prelude", text)))


def _parse(what: str, text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise ProgramError(f"{what}, line {error.lineno}: {error.msg}") from None


def _defined(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (t.id for t in node.targets if isinstance(t, ast.Name))


def _used(tree: ast.Module) -> Iterator[str]:
    """Names that functions of `tree` read without having assigned them."""
    for function in (n for n in tree.body if isinstance(n, ast.FunctionDef)):
        names = [n for n in ast.walk(function) if isinstance(n, ast.Name)]
        bound = {n.id for n in names if isinstance(n.ctx, ast.Store)}
        bound.update(a.arg for a in function.args.args)
        yield from (n.id for n in names if n.id not in bound)


def _check_parameters(kernel: Kernel, tree: ast.Module) -> None:
    function = next(n for n in tree.body if isinstance(n, ast.FunctionDef)
                    and n.name == kernel.name)
    got = [a.arg for a in function.args.args]
    expected = [*(p.name for p in kernel.params), "chunk"]
    if got != expected:
        raise ProgramError(f"kernel {kernel.name}: its text takes ({', '.join(got)}), its "
                           f"signature is ({', '.join(expected)})")
