"""Every kernel's text is read back as the IR that it was printed from, and prints alike again."""

from __future__ import annotations

from collections.abc import Sequence

from dlc.backend.draft import Draft
from dlc.backend.ir import Function
from dlc.backend.ir.parser import parse
from dlc.backend.ir.printer import function_text
from dlc.backend.ir.reading import KernelSyntaxError
from dlc.checks.places import HINT
from dlc.errors import DlcError
from dlc.program import Kernel, Program


def check_texts(program: Program, drafts: Sequence[Draft]) -> None:
    """Raises DlcError at the user's line where a lowered kernel is another one when it is printed
    and read, or where a kernel of the Program does not print as it is written."""
    for draft in drafts:
        for launch, parts in draft.lowered.items():
            for work in (w for part in parts for stage in part.stages for w in stage):
                reason = other(work.kernel)
                if reason:
                    raise DlcError(f"{draft.name}: {reason}", launch.loc, HINT)
    for kernel in program.kernels:
        read(kernel)


def read(kernel: Kernel) -> Function:
    """The kernel's text as the IR; raises DlcError where it prints otherwise."""
    function = parse(kernel.text, kernel.params)
    if function_text(function) != kernel.text:
        raise DlcError(f"kernel {kernel.name} is printed otherwise after it was read", None, HINT)
    return function


def other(function: Function) -> str:
    """How the kernel is another one when it is printed and read."""
    try:
        found = parse(function_text(function), function.params)
    except KernelSyntaxError as problem:
        return f"kernel {function.name} can't be read: {problem}"
    if found == function:
        return ""
    return f"kernel {function.name} is read as another one than it was printed from"
