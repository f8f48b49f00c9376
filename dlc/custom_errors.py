"""Errors of a compile worker about a kernel, as errors at the line of the user's function."""

from __future__ import annotations

import re

from dlc.errors import DlcError, Loc
from dlc.lang.custom import OPERATORS, CustomOperator
from dlc.lang.source import definition
from dlc.program import Program

# Lines of Numba's message that tell of its own workings.
_NOISE = re.compile(r"Overload in|Overload of|With argument|Rejected as|- Of which|raised from|"
                    r"Failed in|There are|During|- Resolution|TypingError: Failed|<source elided>|"
                    r"^\s*File |^\s*def |^\s*\^|Function\(<function _marker|"
                    r"Function\(<function \w+__|>>> \w+__|Enable logging|^\s*$|No match\.$")


def users_error(message: str, program: Program) -> DlcError | None:
    """The error for the custom operator of which `message` tells, None when it is about another
    kernel."""
    found = re.search(r"kernel (\w+)", message)
    kernel = next((k for k in program.kernels if found and k.name == found[1]), None)
    if kernel is None:
        return None
    used = [o for o in OPERATORS.values() if o.text.text in kernel.text]
    if not used:
        return None
    operator, place = _place(message, kernel.text, used)
    return DlcError(f"custom operator {operator.op.name}: its function does not compile: "
                    f"{said(message)}", place or definition(operator.function),
                    "it may use what Numba compiles: numbers, loops, math, indexing; no new arrays")


def _place(message: str, text: str,
           used: list[CustomOperator]) -> tuple[CustomOperator, Loc | None]:
    """The operator and the user's line of the innermost place that Numba names."""
    lines = text.split("\n")
    for word in reversed(re.findall(r'File "<kernel [^"]*", line (\d+)', message)):
        at = int(word)
        for operator in used:
            first = text[:text.index(operator.text.text)].count("\n") + 1
            inside = at - first
            if 0 <= inside < len(operator.text.places) and at <= len(lines):
                return operator, operator.text.places[inside]
    return used[0], None


def said(message: str) -> str:
    """What Numba had to say, without the layers it went through."""
    _, _, reason = message.partition("does not compile: ")
    if "NRT required" in message or "_array_allocate" in message:
        return "it makes an array, a list or a string, for which there is no memory"
    kept = [line.strip() for line in (reason or message).splitlines() if not _NOISE.search(line)]
    words = [w for w in dict.fromkeys(kept) if not w.startswith(("- ", "*"))]
    return "; ".join(words[:3]) or "Numba can't type it"
