"""docs/ir.md: its examples run, its tables are the compiler's, its grammar reads every kernel."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import dlc
from dlc.passes.rule_names import NAMES
from dlc.passes.simplify import RULES
from dlc.program import Kernel
from dlc.rewrite import rule
from dlc.task import Task
from dlc.text import parse_text, print_graph
from dlc.types import promotion_table
from dlc.verify import INVARIANTS, verify

PAGE = (Path(__file__).parent.parent / "docs" / "ir.md").read_text()
MODELS = ("mlp", "lenet")
OPERATIONS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.BitAnd, ast.BitOr, ast.BitXor, ast.LShift,
              ast.RShift)
COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


def test_graph_examples_are_graphs() -> None:
    for text in blocks("python"):
        parsed = parse_text(text)
        verify(parsed.graph)
        assert print_graph(parsed.graph, parsed.offsets) == text


def test_tables_are_the_compilers() -> None:
    assert [block.rstrip("\n") for block in blocks("text")] == [promotion_table()]
    rows = re.findall(r"^\| (\w+) \| (.*) \|$", PAGE, re.M)
    assert dict(rows[1:]) == INVARIANTS


def test_rules_are_rules_of_the_compiler() -> None:
    known = {r.text for r in RULES}
    for line in "".join(blocks("rules")).splitlines():
        assert rule(line, names=NAMES).text in known


# --- the kernel grammar ---------------------------------------------------------------------------


def refuse(tree: ast.AST) -> None:
    raise AssertionError(f"not in the grammar: {ast.unparse(tree)}")


def read_kernel(text: str) -> None:
    """Raise AssertionError unless `text` is one function in the grammar of docs/ir.md."""
    (function,) = ast.parse(text).body
    assert isinstance(function, ast.FunctionDef)
    arguments = function.args
    assert not (arguments.defaults or arguments.kwonlyargs or arguments.vararg or arguments.kwarg)
    assert arguments.args[-1].arg == "chunk"
    assert ast.get_docstring(function), "a kernel says what it computes, and for which lines"
    for statement in function.body[1:]:
        read_statement(statement)


def read_statement(tree: ast.stmt) -> None:
    if isinstance(tree, ast.For):
        call = tree.iter
        assert isinstance(tree.target, ast.Name) and isinstance(call, ast.Call) and not tree.orelse
        assert ast.unparse(call.func) == "range"
        read_expression(call)
        for statement in tree.body:
            read_statement(statement)
    elif isinstance(tree, ast.Assign):
        (target,) = tree.targets
        assert isinstance(target, (ast.Name, ast.Subscript))
        read_expression(target)
        read_expression(tree.value)
    elif isinstance(tree, ast.Expr) and isinstance(tree.value, ast.Call):
        read_expression(tree.value)
    else:
        refuse(tree)


def read_expression(tree: ast.expr) -> None:
    if isinstance(tree, ast.Call):
        assert isinstance(tree.func, ast.Name) and not tree.keywords
        parts = tree.args
    elif isinstance(tree, ast.Subscript):
        assert isinstance(tree.value, ast.Name)
        parts = [tree.slice]
    elif isinstance(tree, ast.BinOp) and isinstance(tree.op, OPERATIONS):
        parts = [tree.left, tree.right]
    elif isinstance(tree, ast.UnaryOp) and isinstance(tree.op, (ast.USub, ast.Not)):
        parts = [tree.operand]
    elif isinstance(tree, ast.BoolOp):
        parts = tree.values
    elif isinstance(tree, ast.Compare) and isinstance(tree.ops[0], COMPARISONS):
        parts = [tree.left, *tree.comparators]
    elif isinstance(tree, ast.IfExp):
        parts = [tree.test, tree.body, tree.orelse]
    elif isinstance(tree, ast.Name) or (
            isinstance(tree, ast.Constant) and isinstance(tree.value, (bool, int, float))):
        return
    else:
        refuse(tree)
        return
    for part in parts:
        read_expression(part)


def kernels(model: str) -> tuple[Kernel, ...]:
    module = __import__(f"dlc.models.{model}", fromlist=[model])
    (task,) = [v for v in vars(module).values() if isinstance(v, Task)]
    return dlc.compile(task).kernels


@pytest.mark.parametrize("model", MODELS)
def test_every_kernel_is_in_the_grammar(model: str) -> None:
    found = kernels(model)
    assert len(found) > 5
    for kernel in found:
        read_kernel(kernel.text)


def test_the_kernel_on_the_page_is_in_the_grammar() -> None:
    for text in blocks("kernel"):
        read_kernel(text)


@pytest.mark.parametrize("line", [
    "x[0:2] = y", "x.y = 1", "import os", "while c: x = 1", "x = [1]", "x = y if z else 'a'",
    "x = f(a=1)", "return x", "x = a ** b", "if c: x = 1", "x = lambda: 1", "for i in y: x = 1"])
def test_what_the_grammar_refuses(line: str) -> None:
    with pytest.raises(AssertionError):
        read_kernel(f'def k(x, y, chunk):\n    """k"""\n    {line}\n')
