"""The arguments of the commands that look into a program."""

from __future__ import annotations

from typing import Any

from dlc.cli.arguments import (
    SEEDS,
    Parser,
    command,
    dims_argument,
    file_argument,
    memory_argument,
    sass_arguments,
    set_argument,
    whole,
)


def plan(commands: Any) -> None:
    """dlc plan FILE"""
    parser = command(commands, "plan", "say what memory a step takes, by your lines, and what a "
                     "limit makes it compute again", "plan")
    file_argument(parser)
    memory_argument(parser)
    parser.add_argument("--batch", type=batches, default=(), metavar="N,N,...",
                        help="a table of these batch sizes; with --memory-limit the largest that "
                        "fits, too")
    parser.add_argument("--run", action="store_true", help="measure the step as well")
    dims_argument(parser)
    set_argument(parser)


def batches(text: str) -> tuple[int, ...]:
    """32,64,128 as numbers."""
    read = whole(1)
    return tuple(read(part) for part in text.split(","))


def inspect(commands: Any) -> None:
    """dlc inspect FILE -o OUT.html"""
    parser = command(commands, "inspect", "write a page that shows what the compiler did, why, and "
                     "what it costs, by your lines", "inspect")
    file_argument(parser)
    parser.add_argument("-o", "--output", metavar="OUT.html",
                        help="the file to write (NAME-inspect.html)")
    parser.add_argument("--profile", action="store_true",
                        help="run the step, and show what each launch takes")
    parser.add_argument("--assembly", action="store_true",
                        help="compile every kernel once more, and show its assembly, or its PTX")
    sass_arguments(parser, "with --target cuda: the machine code beside the PTX")
    memory_argument(parser)
    dims_argument(parser)
    set_argument(parser)


def explain(commands: Any) -> None:
    """dlc explain FILE:LINE"""
    parser = command(commands, "explain", "say in words what a line became: nodes, launches, "
                     "memory and cost", "explain")
    parser.add_argument("place", metavar="FILE:LINE",
                        help="a line of a file with a task, or of a bundled model: lenet:15")
    parser.add_argument("--of", metavar="FILE",
                        help="the file with the task, where the line stands in another one")
    parser.add_argument("--target", default="cpu", help="compilation target (default cpu)")
    parser.set_defaults(dims={}, profile=False, assembly=False, sass=False)
    set_argument(parser)


def diff(commands: Any) -> None:
    """dlc diff A B"""
    parser = command(commands, "diff", "say what changed between two programs, and fail over a "
                     "limit", "diff")
    for name in ("a", "b"):
        parser.add_argument(name, metavar=name.upper(), help="FILE, FILE@REVISION of its git "
                            "repository, a bundled model, or what dlc show --json wrote")
    parser.add_argument("--fail-if", action="append", default=[], dest="limits", metavar="LIMIT",
                        help='exit with 1 where it holds for B, e.g. "peak_bytes > 1.05x"; '
                        "may be repeated")
    parser.add_argument("--profile", action="store_true", help="measure the time of both")
    parser.add_argument("--estimate", action="store_true", help="measure what this machine does at "
                        "best, and say how long both steps take at least")
    parser.add_argument("--target", default="cpu", metavar="TARGET[,TARGET]",
                        help="compilation target (default cpu), or that of A and that of B")
    parser.set_defaults(dims={})
    set_argument(parser)


def profile(commands: Any) -> None:
    """dlc profile FILE"""
    parser = command(commands, "profile", "run the step, and print what each launch and each line "
                     "takes", "profile")
    file_argument(parser)
    parser.add_argument("--repeat", type=whole(1, 10000), default=20, metavar="N",
                        help="runs of which the median counts (20)")
    parser.add_argument("--all", action="store_true", help="every launch, not the longest alone")
    parser.add_argument("--trace", metavar="OUT.json",
                        help="write the step for ui.perfetto.dev or chrome://tracing")
    memory_argument(parser)
    dims_argument(parser)
    set_argument(parser)


def check(commands: Any) -> None:
    """dlc check FILE"""
    parser = command(commands, "check", "compare the program with NumPy on its data, pass by pass "
                     "and launch by launch", "check")
    file_argument(parser)
    parser.add_argument("--seed", type=whole(0, SEEDS), default=0, metavar="N",
                        help="seed of the initial weights (0)")
    page_argument(parser)
    memory_argument(parser)
    dims_argument(parser)
    set_argument(parser)


def replay(commands: Any) -> None:
    """dlc replay BUNDLE [FILE]"""
    parser = command(commands, "replay", "run a step that was kept at a fault through NumPy, and "
                     "name what is not finite", "replay")
    parser.add_argument("bundle", metavar="BUNDLE", help="what `dlc train --trap nan` has kept")
    parser.add_argument("file", metavar="FILE", nargs="?",
                        help="take the step of this file's task instead, on the same inputs")
    page_argument(parser)
    set_argument(parser)


def page_argument(parser: Parser) -> None:
    """-o OUT.html"""
    parser.add_argument("-o", "--output", metavar="OUT.html",
                        help="where something is found: write the program's page with it")
