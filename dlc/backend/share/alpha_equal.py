"""Kernels that are equal up to names share one text, compiled once.

    def k(where, w1, out, chunk):           def k(where_2, w2, out, chunk):
        for i in range(8): ... w1[i]            for i in range(8): ... w2[i]     ->   the first

Twelve equal layers are twelve launches of the same kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dlc.backend.share.parametrize import Form, Use
from dlc.program import Kernel


def merge_equal(forms: Sequence[Form], uses: Sequence[Use]) -> tuple[list[Kernel], list[Use]]:
    """The kernels that are not equal to an earlier one but for the names of the kernel, of its
    parameters and locals, and for its docstring; and `uses` of these. No two have one name."""
    kept: list[Form] = []
    place: dict[object, int] = {}
    moved: list[int] = []
    for form in forms:
        key = form.signature, form.nameless(True)
        if key not in place:
            place[key] = len(kept)
            kept.append(form)
        moved.append(place[key])
    return _named(kept), [replace(use, kernel=moved[use.kernel]) for use in uses]


def _named(forms: Sequence[Form]) -> list[Kernel]:
    """Distinct names: a text's function is called like its kernel."""
    used: dict[str, int] = {}
    named = []
    for form in forms:
        name = form.function.name
        count = used[name] = used.get(name, 0) + 1
        name = name if count == 1 else f"{name}_{count}"
        named.append(Form(replace(form.function, name=name), form.words).kernel)
    return named
