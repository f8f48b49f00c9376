"""`dlc ops`, `dlc passes`: lists, one line per entry."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import cleandoc
from typing import Any

from dlc.cli.arguments import UsageError
from dlc.cli.paper import paint, width
from dlc.cli.wrap import HANG, hang, hang_lines
from dlc.errors import nearest


def ops(options: argparse.Namespace) -> int:
    """Every operator with its kind and meaning, and what is left out; or the promotion table."""
    if options.promotion:
        from dlc.ir.types import promotion_table

        print(promotion_table())
        return 0
    from dlc.ir.registry import REGISTRY
    from dlc.lang.array.left_out import LEFT_OUT

    kinds = {name: op.kind.value for name, op in REGISTRY.items()}
    chosen = choose("operator", options.names, REGISTRY)
    edge = max(map(len, kinds.values()))
    order = sorted(chosen, key=lambda n: (list(dict.fromkeys(kinds.values())).index(kinds[n]), n))
    columns({name: f"{kinds[name]:{edge}}  {first_line(REGISTRY[name].doc)}" for name in order})
    if not options.names:
        print(prose(f"\n{len(order)} operators; the functions composed of them are in "
                    "docs/dsl.md. Left out:"))
        columns({f"  {name}": reason for name, reason in LEFT_OUT.items()})
    return 0


def whole_pass(step: Callable[..., Any]) -> None:
    """The page of one pass: its module, what it does, what it keeps."""
    from dlc.reference.rewrite import Grade, grade_of

    words = {Grade.EXACT: "every value, NaN and infinities too; only the sign of a zero may change",
             Grade.ROUNDING: "every value within rounding"}
    home = sys.modules[step.__module__].__doc__ or ""
    print(paint(step.__name__, "bold"))
    print(f"{prose(cleandoc(home))}\n\n{prose(cleandoc(step.__doc__ or ''))}\n")
    print(prose(f"Keeps {words[grade_of(step)]}.\n"))


def passes(options: argparse.Namespace) -> int:
    """Every pass in order, or every rewrite rule of `simplify`."""
    from dlc.passes import PIPELINE
    from dlc.passes.rules.simplify import RULES
    from dlc.reference.rewrite import grade_of

    kept = {step.__name__: grade_of(step) for step in PIPELINE}
    documents = {step.__name__: step.__doc__ or "" for step in PIPELINE}
    if options.names:
        steps = {step.__name__: step for step in PIPELINE}
        for name in choose("pass", options.names, documents):
            whole_pass(steps[name])
        return 0
    if options.rules:
        rules()
        return 0
    edge = max(len(grade.value) for grade in kept.values())
    columns({name: f"{kept[name].value:{edge}}  {first_line(text)}"
             for name, text in documents.items()})
    print(prose(f"\nsimplify applies {len(RULES)} rewrite rules until none matches; "
                "dlc passes --rules lists them"))
    return 0


def rules() -> None:
    """Print the rewrite rules of `simplify`, with what they ask for and where they round."""
    from dlc.passes.rules.simplify import RULES
    from dlc.reference.rewrite import Grade

    for rule in RULES:
        text = f"{rule.text}{f'   where {rule.where}' if rule.where else ''}"
        text += "" if rule.grade is Grade.EXACT else f"   {rule.grade.value}"
        print(hang(text, width(), "", HANG) if sys.stdout.isatty() else text)


def choose(what: str, names: Sequence[str], known: Iterable[str]) -> list[str]:
    """`names`, or all that are known. Raises UsageError for one that is not."""
    there = list(known)
    for name in names:
        if name not in there:
            raise UsageError(f"unknown {what} {name!r}{nearest(name, there)}")
    return list(names) or there


def first_line(text: str | None) -> str:
    """The first line of a docstring."""
    return (text or "").strip().partition("\n")[0]


def prose(text: str) -> str:
    """`text` in lines that fit a terminal; elsewhere as it is."""
    return hang_lines(text, width()) if sys.stdout.isatty() else text


def columns(rows: Mapping[str, str]) -> None:
    """Names and what they are; in a terminal wrapped beside the names."""
    edge = max(map(len, rows), default=0) + 2
    for name, text in rows.items():
        room = max(width() - edge, 20)
        told = hang(text, room) if sys.stdout.isatty() else text
        first, *rest = told.split("\n")
        print(f"{paint(f'{name:{edge}}', 'bold')}{first}".rstrip())
        for line in rest:
            print(" " * edge + line)
