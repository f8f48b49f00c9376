"""Shared kernels: with its numbers put back, each text is the one that was given (random programs:
test_assemble.py)."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Sequence

import pytest

import dlc
from dlc.backend.assemble import draft
from dlc.backend.cpu.isa import ISAS
from dlc.backend.ir import Function
from dlc.backend.ir.parser import parse
from dlc.backend.ir.printer import kernel_of
from dlc.backend.share.alpha_equal import merge_equal
from dlc.backend.share.parametrize import MOST, Use, share
from dlc.compiler import instruction_set
from dlc.program import Kernel, Parameter

POINTERS = (Parameter("x", "f32", "pointer"), Parameter("y", "f32", "pointer", True))


def kernel(body: str, name: str = "k",
           params: tuple[Parameter, ...] = POINTERS) -> Function:
    words = ", ".join([*(p.name for p in params), "chunk"])
    return parse(f'def {name}({words}):\n    """doc 1 2"""\n    {body}\n', params)


def shared(*kernels: Function, entries: Sequence[str] = ()) -> tuple[list[Kernel], list[Use]]:
    forms, uses = share(kernels, entries or ["main"] * len(kernels))
    return [form.kernel for form in forms], uses


class PutBack(ast.NodeTransformer):
    """Scalar parameters replaced by their numbers."""

    def __init__(self, numbers: dict[str, int | float]) -> None:
        self.numbers = numbers

    def visit_Name(self, node: ast.Name) -> ast.AST:
        value = self.numbers.get(node.id)
        return node if value is None else ast.Constant(value)


class Renamed(ast.NodeTransformer):
    """Other names for a function's own."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(self.names.get(node.id, node.id), node.ctx)


def code(kernel: Kernel, numbers: Sequence[int | float] = ()) -> str:
    """The function's statements without name, signature and docstring, numbers put back, its own
    names by their rank."""
    (function,) = ast.parse(kernel.text).body
    assert isinstance(function, ast.FunctionDef)
    scalars = [p.name for p in kernel.params if p.kind == "scalar"]
    added = scalars[len(scalars) - len(numbers):] if numbers else []
    tree = PutBack(dict(zip(added, numbers, strict=True))).visit(function)
    start = 1 if ast.get_docstring(function) else 0
    stored = dict.fromkeys(n.id for n in ast.walk(tree)
                           if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
    own = {**{name: f"v{i}" for i, name in enumerate(stored)},
           **{a.arg: f"p{i}" for i, a in enumerate(function.args.args[:-1])}}
    return ast.dump(ast.Module([Renamed(own).visit(s) for s in tree.body[start:]], []))


def check_put_back(functions: Sequence[Function], entries: Sequence[str]) -> list[Kernel]:
    out, uses = merge_equal(*share(functions, entries))
    kernels = [kernel_of(f) for f in functions]
    for given, use in zip(kernels, uses, strict=True):
        assert code(out[use.kernel], use.scalars) == code(given), given.text
        assert out[use.kernel].tiles == given.tiles
        assert len(out[use.kernel].params) == len(given.params) + len(use.scalars)
    names = [k.name for k in out]
    assert len(set(names)) == len(names)
    assert all(k.text.startswith(f"def {k.name}(") for k in out)
    return out


def test_numbers_put_back_give_the_kernels_of_lenet() -> None:
    compiled = dlc.compile(importlib.import_module("dlc.models.lenet").lenet)
    drafts = [draft(entry, records[-1].graph, ISAS[instruction_set()], {})
              for entry, records in compiled.records.items()]
    works = [(d.name, w.kernel) for d in drafts for parts in d.lowered.values()
             for p in parts for stage in p.stages for w in stage]
    out = check_put_back([k for _, k in works], [e for e, _ in works])
    assert len(out) < len(works)


def test_texts_that_differ_in_numbers_are_one_kernel() -> None:
    out, uses = shared(kernel("for i in range(chunk, 784): y[i] = x[i * 3]"),
                       kernel("for i in range(chunk, 512): y[i] = x[i * 3]"))
    assert len(out) == 1
    assert "range(chunk, n0)" in out[0].text and "i * 3" in out[0].text
    assert [u.scalars for u in uses] == [(784,), (512,)]


def test_names_do_not_keep_texts_apart() -> None:
    names = (Parameter("w", "f32", "pointer"), Parameter("out", "f32", "pointer", True))
    uses = shared(kernel("for i in range(chunk, 784): y[i] = x[i]"),
                  kernel("for at in range(chunk, 512): out[at] = w[at]", params=names),
                  kernel("for i in range(chunk, 512): x[i] = y[i]"))[1]
    assert [u.kernel for u in uses] == [0, 0, 1]
    assert [u.scalars for u in uses] == [(784,), (512,), ()]


def test_lengths_of_inner_loops_stay_within_one_entry() -> None:
    """LLVM chooses vectors by them; another entry is another batch and may share all the same."""
    two = [kernel("for i in range(14): y[i] = x[i]"), kernel("for i in range(5): y[i] = x[i]")]
    assert len(share(two, ["train", "train"])[0]) == 2
    assert len(share(two, ["train", "eval"])[0]) == 1


def test_equal_numbers_are_one_argument() -> None:
    out, uses = shared(kernel("for i in range(chunk, 8): y[i * 8] = x[i]"),
                       kernel("for i in range(chunk, 9): y[i * 9] = x[i]"))
    assert [u.scalars for u in uses] == [(8,), (9,)]
    assert out[0].params[-1] == Parameter("n0", "i64", "scalar")


def test_floats_become_f64_arguments() -> None:
    out, uses = shared(kernel("y[0] = f32(0.5)"), kernel("y[0] = f32(0.25)"))
    assert out[0].params[-1] == Parameter("c0", "f64", "scalar")
    assert [u.scalars for u in uses] == [(0.5,), (0.25,)]


@pytest.mark.parametrize("bodies", [
    ("y[idiv(chunk, 3)] = x[0]", "y[idiv(chunk, 5)] = x[0]"),
    ("y[imod(chunk, 3)] = x[0]", "y[imod(chunk, 5)] = x[0]"),
    ("s = local_f32(32)", "s = local_f32(64)"),
    ("for i in range(0, 64, 4): y[i] = x[i]", "for i in range(0, 64, 8): y[i] = x[i]"),
    ("y[0] = f32(2)", "y[0] = f32(2.0)"),
    ("y[0] = x[0] + x[1]", "y[0] = x[0] * x[1]"),
    ("y[0] = True", "y[0] = False"),
], ids=["divisor", "modulus", "stack", "step", "int and float", "operators", "booleans"])
def test_what_is_made_for_its_numbers_stays_apart(bodies: tuple[str, str]) -> None:
    assert len(shared(*map(kernel, bodies))[0]) == 2


def test_signatures_that_differ_stay_apart() -> None:
    wide = tuple(Parameter(p.name, "f64", p.kind, p.written) for p in POINTERS)
    assert len(shared(kernel("y[0] = x[3]"), kernel("y[0] = x[3]", params=wide))[0]) == 2


def test_too_many_numbers_stay_apart() -> None:
    def many(start: int) -> Function:
        return kernel("; ".join(f"y[{start + 7 * i}] = x[0]" for i in range(MOST + 1)))

    assert len(shared(many(0), many(1), many(0))[0]) == 2


def test_tiled_kernels_share_between_entries_not_within_one() -> None:
    """Within one entry a tile's numbers are constants that LLVM folds."""
    a, b = kernel("copy_f32(y, 8, x, 8, 1, 1)"), kernel("copy_f32(y, 9, x, 9, 1, 1)")
    assert len(shared(a, b, entries=["train", "train"])[0]) == 2
    assert len(shared(a, b, entries=["train", "tail"])[0]) == 1


def test_a_new_argument_takes_no_name_of_the_text() -> None:
    params = (*POINTERS, Parameter("n0", "f32", "pointer"))
    out, _ = shared(kernel("y[5] = n0[0]", params=params), kernel("y[6] = n0[0]", params=params))
    assert out[0].params[-1].name == "n0_"


@pytest.mark.parametrize("infinity", ["inf", "1e999"])
def test_an_infinity_stays_in_the_text(infinity: str) -> None:
    out, uses = shared(kernel(f"y[0] = f32({infinity})"), kernel("y[0] = f32(2.0)"))
    assert len(out) == 2
    assert [u.scalars for u in uses] == [(), ()]


def test_a_count_and_a_float_of_its_value_are_two_arguments() -> None:
    """Rows that are divided by their number: 512 bounds a loop, 512.0 is a divisor. One argument
    for both gave a loop over floats, which does not compile."""
    def mean(rows: int) -> Function:
        return kernel(f"for i in range({rows}):\n        y[i] = x[i] / {float(rows)}")

    check_put_back([mean(512), mean(114)], ["train", "tail"])
    out, uses = shared(mean(512), mean(114), entries=["train", "tail"])
    assert [u.scalars for u in uses] == [(512, 512.0), (114, 114.0)]
    assert [p.dtype for p in out[0].params[2:]] == ["i64", "f64"]
