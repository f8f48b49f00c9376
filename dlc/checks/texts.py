"""Every kernel's text parses to the IR that it was printed from, and prints identically."""

from __future__ import annotations

from functools import lru_cache

from dlc.backend.ir import Function
from dlc.backend.ir.parser import parse
from dlc.backend.ir.printer import function_text
from dlc.backend.ir.reading import KernelSyntaxError
from dlc.checks.places import HINT
from dlc.checks.works import Works
from dlc.errors import DlcError
from dlc.program import Kernel


def check_texts(works: Works) -> None:
    """Raises DlcError at the user's line where a lowered kernel is another one when it is printed
    and read, or where a kernel of the Program does not print as it is written."""
    good = set()
    for draft, launch, work in works.all():
        kernel = works.kernel(work.kernel)
        reason = other(work.kernel, kernel)
        if reason:
            raise DlcError(f"{draft.name}: {reason}", launch.loc, HINT)
        good.add((kernel.text, kernel.params))
    for kernel in works.program.kernels:
        if (kernel.text, kernel.params) not in good:  # what is read there prints as it was printed
            read(kernel)


def read(kernel: Kernel) -> Function:
    """The kernel's text as the IR; raises DlcError where it prints otherwise."""
    function = parse(kernel.text, kernel.params)
    if function_text(function) != kernel.text:
        raise DlcError(f"kernel {kernel.name} prints differently after parsing", None, HINT)
    return function


@lru_cache(maxsize=4096)
def other(function: Function, kernel: Kernel) -> str:
    """How the function is another one when it is printed, as `kernel`, and read."""
    try:
        found = parse(kernel.text, function.params)
    except KernelSyntaxError as problem:
        return f"kernel {function.name} can't be read: {problem}"
    if found == function:
        return ""
    return f"kernel {function.name} is read as another one than it was printed from"
