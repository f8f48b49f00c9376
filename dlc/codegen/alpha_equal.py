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

from dlc.codegen.parametrize import Use, body_start, line_starts
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
    own = {a.arg: f"\0{i}" for i, a in enumerate(function.args.args)}
    names = sorted((starts[n.lineno - 1] + n.col_offset, n.id)
                   for n in ast.walk(function) if isinstance(n, ast.Name))
    bound = {n.id for n in ast.walk(function)
             if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    data, at, pieces = kernel.text.encode(), body_start(function, starts), []
    for place, name in names:
        if name in bound:
            own.setdefault(name, f"\0{len(own)}")
        if name in own:
            pieces += [data[at:place].decode(), own[name]]
            at = place + len(name.encode())
    signature = tuple((p.dtype, p.kind, p.written) for p in kernel.params)
    return signature, kernel.tiles, kernel.raises, "".join(pieces) + data[at:].decode()


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
