"""Launches of a program with loops named the line that called the compiler, not the user's: nodes
that are made anew while launches are ordered, outside of any build, took the caller's line."""

from __future__ import annotations

from pathlib import Path

import dlc
from dlc import f32


def test_launches_beside_a_loop_serve_the_lines_of_the_program() -> None:
    def beside(x: f32[4, 8]) -> object:
        def cell(h: object, t: object) -> object:
            h = dlc.tanh(h * t)
            return h, dlc.sum(h, axis=1)

        h, sums = dlc.scan(cell, x, dlc.arange(5).astype(f32))
        return dlc.sum(h, axis=0), dlc.sum(sums, axis=0)

    compile_it = compile("compiled = dlc.compile(function)", "/elsewhere/main.py", "exec")
    names = {"dlc": dlc, "function": beside}
    exec(compile_it, names)
    lines = [line for launch in names["compiled"].program.entries["main"].flat
             for line in launch.lines]
    assert lines and all(Path(__file__).name in line for line in lines)
