"""Kernels that are equal but for names: one text is compiled for all of them.

    def k(where, w1, out, chunk):           def k(where_2, w2, out, chunk):
        for i in range(8): ... w1[i]            for i in range(8): ... w2[i]     ->   the first

Twelve equal layers are twelve launches of the same kernels.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import replace

from dlc.codegen.parametrize import (
    Use,
    body_start,
    line_starts,
    own_names,
    signature,
    without_names,
)
from dlc.program import Kernel


def merge_equal(kernels: Sequence[Kernel],
                uses: Sequence[Use]) -> tuple[list[Kernel], list[Use]]:
    """The kernels that are not equal to an earlier one but for the names of the kernel, of its
    parameters and locals, and for its docstring; and `uses` of these. No two have one name."""
    kept: list[Kernel] = []
    place: dict[object, int] = {}
    moved: list[int] = []
    for kernel in kernels:
        key = nameless(kernel)
        if key not in place:
            place[key] = len(kept)
            kept.append(kernel)
        moved.append(place[key])
    return _named(kept), [replace(use, kernel=moved[use.kernel]) for use in uses]


def nameless(kernel: Kernel) -> object:
    """What the kernel does: its parameters by their kinds, its text with names by their rank."""
    starts = line_starts(kernel.text)
    function = ast.parse(kernel.text).body[0]
    assert isinstance(function, ast.FunctionDef)
    data = kernel.text.encode()
    text = without_names(data, body_start(function, starts), len(data), own_names(function, starts))
    return signature(kernel), text


def _named(kernels: Sequence[Kernel]) -> list[Kernel]:
    """Distinct names: a text's function is called like its kernel."""
    used: dict[str, int] = {}
    named = []
    for kernel in kernels:
        count = used[kernel.name] = used.get(kernel.name, 0) + 1
        name = kernel.name if count == 1 else f"{kernel.name}_{count}"
        text = re.sub(rf"^def {re.escape(kernel.name)}\(", f"def {name}(", kernel.text, count=1)
        named.append(replace(kernel, name=name, text=text))
    return named
