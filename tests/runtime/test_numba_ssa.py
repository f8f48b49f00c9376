"""Single assignments and liveness of kernels are what Numba's own algorithms give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numba.core import analysis, ir_utils, ssa
from numba.core.compiler import run_frontend

from dlc.runtime import numba_ssa


def statements(rng: np.random.Generator, depth: int) -> Iterator[str]:
    """Lines of a body: variables assigned again and again, read later, in branches and loops."""
    pad = "    " * (depth + 1)
    for _ in range(int(rng.integers(1, 4))):
        a, b, c, d = rng.choice(list("stuvwx"), 4)
        kind = int(rng.integers(5)) if depth < 2 else 0
        if kind < 2:
            yield f"{pad}{a} = {b} + n if {c} < n and {d} > m or {a} < {b} else {c} * {d}"
        elif kind == 2:
            yield f"{pad}for i{depth} in range({a}):"
            yield from statements(rng, depth + 1)
        elif kind == 3:
            yield f"{pad}while {a} < n and {b} < {c}:"
            yield from statements(rng, depth + 1)
        else:
            yield f"{pad}if {a} < {b}:"
            yield from statements(rng, depth + 1)
            yield f"{pad}else:"
            yield from statements(rng, depth + 1)


def drawn(seed: int) -> Any:
    lines = ["def drawn(n, m):", "    s = t = u = v = w = x = n",
             *statements(np.random.default_rng(seed), 0), "    return s + t + u + v + w + x"]
    scope: dict[str, Any] = {}
    exec("\n".join(lines), scope)
    return scope["drawn"]


def shown(blocks: dict[int, Any]) -> dict[int, list[str]]:
    return {label: [str(s) for s in block.body] for label, block in blocks.items()}


@pytest.mark.parametrize("first", range(0, 30, 10))
def test_assignments_and_liveness_are_numbas(first: int) -> None:
    phis = 0
    for seed in range(first, first + 10):
        function = drawn(seed)
        ours = numba_ssa.reconstructed(run_frontend(function).blocks)
        theirs = ssa._run_ssa(run_frontend(function).blocks)
        assert shown(ours) == shown(theirs), seed
        phis += sum("phi(" in line for lines in shown(ours).values() for line in lines)
        cfg, found = analysis.compute_cfg_from_blocks(ours), analysis.compute_use_defs(ours)
        given = cfg, ours, found.usemap, found.defmap
        assert numba_ssa.live_map(*given) == ir_utils.compute_live_map(*given), seed
    assert phis > 20


def test_kernels_are_compiled_with_both() -> None:
    assert analysis.compute_live_map is numba_ssa.live_map
    assert ir_utils.compute_live_map is not numba_ssa.live_map  # or the test above compares nothing


def test_each_variable_costs_the_blocks_that_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel of twice as many bounded reads visits twice as many statements, not four times."""
    visited: list[int] = []
    original = ssa._run_block_rewrite

    def counted(blocks: dict[int, Any], *rest: Any) -> dict[int, Any]:
        visited[-1] += sum(len(block.body) for block in blocks.values())
        return original(blocks, *rest)

    monkeypatch.setattr(ssa, "_run_block_rewrite", counted)
    for reads in (50, 100):
        lines = [f"    x{i} = n + {i} if n < m and m < {i} else m" for i in range(reads)]
        scope: dict[str, Any] = {}
        exec("\n".join(["def reading(n, m):", *lines, "    return x1"]), scope)
        visited.append(0)
        numba_ssa.reconstructed(run_frontend(scope["reading"]).blocks)
    assert visited[1] < 2.2 * visited[0]
