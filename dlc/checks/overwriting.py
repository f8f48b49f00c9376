"""In-place writes, checked in the kernels that were lowered for them.

A result written in place over an operand shares its parameter. Readers want the operand, so no
element may be read after the result was stored there, by this kernel or by another one of the
launch. Only a scatter reads what it stored itself: it adds to its base.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dlc.backend.emit.work import Lowered, Work
from dlc.checks.kernels.overwriting import check_apart
from dlc.checks.kernels.overwriting import check_overwriting as overwritten
from dlc.checks.kernels.program import judged
from dlc.checks.places import HINT
from dlc.checks.works import Works
from dlc.errors import DlcError
from dlc.ir.graph import Graph, Kind, Node


def check_overwriting(works: Works) -> list[str]:
    """Every launch that writes in place; what stays undecided. Raises DlcError at the user's line
    where an element is read after it was replaced."""
    undecided: list[str] = []
    for draft in works.drafts:
        for launch, parts in draft.lowered.items():
            wrong = list(_in_launch(works, launch.attrs["body"], parts, undecided))
            if wrong:
                raise DlcError(f"{draft.name}: {wrong[0]}", launch.loc,
                               HINT)
    return undecided


def _in_launch(works: Works, body: Graph, parts: Sequence[Lowered],
               undecided: list[str]) -> Iterator[str]:
    for stage, work, name, operand in _taken_over(body, parts):
        case = works.case(work)
        verdicts = [judged(overwritten, case, name)]
        for other_stage, other in _works(parts):
            if other is not work and other_stage >= stage and _is_among(operand, other.operands):
                verdicts.append(judged(check_apart, case, name, works.case(other),
                                       _parameter(other, operand)))
        for verdict in verdicts:
            yield from verdict.wrong
            undecided += verdict.undecided


def _parameter(work: Work, operand: Node) -> str:
    """The name by which a kernel knows an operand."""
    return next(p.name for p, o in zip(work.kernel.params, work.operands, strict=False)
                if o is operand)


def _works(parts: Sequence[Lowered]) -> Iterator[tuple[int, Work]]:
    for part in parts:
        for stage, at_once in enumerate(part.stages):
            for work in at_once:
                yield stage, work


def _taken_over(body: Graph, parts: Sequence[Lowered]) -> Iterator[tuple[int, Work, str, Node]]:
    """(stage, work, parameter, operand) of every operand of the launch that a kernel writes."""
    for stage, work in _works(parts):
        for parameter, operand in zip(work.kernel.params, work.operands, strict=False):
            if parameter.written and isinstance(operand, Node) and (
                    _is_among(operand, body.inputs) and not _is_base(body, operand)):
                yield stage, work, parameter.name, operand


def _is_among(value: object, values: Sequence[object]) -> bool:
    """Whether it is one of them: between nodes == is an operator of the graph."""
    return any(value is v for v in values)


def _is_base(body: Graph, operand: Node) -> bool:
    """Whether the operand is what a scatter adds to, and nothing else reads it."""
    readers = [n for n in body.nodes() if _is_among(operand, n.args)]
    places = [at for n in readers for at, a in enumerate(n.args) if a is operand]
    return places == [2] and readers[0].op.kind is Kind.SCATTER
