"""Emission: names that clash with nothing, work in the outermost loop, the fewest guards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, i32
from dlc.backend.cpu.isa import ISAS
from dlc.backend.cpu.limits import Limits
from dlc.backend.cpu.prelude import PRELUDE_FUNCTIONS
from dlc.backend.cpu.tiles import tile
from dlc.backend.emit.emitter import Emitter
from dlc.backend.ir.index import Var, sum_of
from dlc.backend.ir.names import Names
from dlc.backend.ir.printer import condition, function_text
from dlc.backend.ir.words import joined
from dlc.backend.lower import lower
from dlc.compiler import instruction_set
from dlc.derive import higher
from dlc.ir.access import Divides, Within
from dlc.ir.graph import Graph, Node
from dlc.ops import leaf, view
from dlc.passes import run_pipeline
from dlc.runtime.compile.primitives import PRIMITIVES
from tests.regressions.test_backend import check, graph_of, ramp

FUNCTIONS = [*PRELUDE_FUNCTIONS, *PRIMITIVES, "gemm_f32_14x32", "copy_f32", "range", "class"]


def texts(graph: Graph) -> list[str]:
    """The kernels of an optimized graph."""
    nodes = run_pipeline(graph)[-1].graph.nodes()
    return [function_text(w.kernel) for n in nodes if n.op is higher.FUSED
            for low in lower(n.attrs["body"], ISAS[instruction_set()], {}, {})
            for stage in low.stages for w in stage]


@pytest.mark.parametrize("word", FUNCTIONS)
def test_no_local_is_called_like_a_function(word: str) -> None:
    names = Names()
    made = [names.new(word) for _ in range(3)] + [names.new(word[:-1]) for _ in range(40)]
    assert len(set(made)) == len(made)
    assert not set(made) & {*FUNCTIONS, "f32", "chunk"}
    assert all(name.isidentifier() for name in made)


def test_tiles_are_called_as_names_avoid() -> None:
    assert tile("gemm_f32_14x32", "avx512").name == "gemm_f32_14x32"


def test_a_value_named_like_a_function() -> None:
    def f(x: Node) -> Any:
        x.name = "tanh_f32"
        y = dlc.tanh(x)
        y.name = "exp_f32"
        return dlc.where(dlc.exp(y) > 0.0, x, y).sum(1)

    check(graph_of([f32[4, 6]], f), ramp(f32[4, 6]))


def test_what_a_loop_does_not_change_stands_before_it() -> None:
    (text,) = texts(graph_of([f32[40, 300], f32[40, 1]], lambda x, b: x * dlc.exp(b * 2.0)))
    lines = text.splitlines()
    exp = next(i for i, line in enumerate(lines) if "exp_f32" in line)
    inner = max(i for i, line in enumerate(lines) if line.strip().startswith("for "))
    assert exp < inner


def test_a_value_is_computed_once_for_all_its_readers() -> None:
    def f(x: Node) -> Node:
        e = dlc.exp(x)
        return e * e + dlc.where(e > 1.0, e, 0.0)

    (text,) = texts(graph_of([f32[4, 6]], f))
    assert text.count("exp_f32") == 1


def test_bounds_that_cannot_be_left_are_not_checked() -> None:
    (text,) = texts(graph_of([f32[9]], lambda x: view.slice_(view.pad(x, (2,), (3,)), (2,), (11,))
                             + 1.0))
    assert " if " not in text
    (text,) = texts(graph_of([f32[9]], lambda x: view.pad(x, (0,), (3,)) + 1.0))
    assert ">= 0" not in text and "< 9" in text


def conditions(*guard: Any) -> str:
    e = Emitter({}, {}, Limits())
    e.levels.update(i=0)
    found = e.condition(guard)[0]
    return "False" if found is None else joined(condition(found))


def test_guards() -> None:
    i = sum_of(Var("i", 0, 9))
    assert conditions(Within(i, 0, 10)) == ""
    assert conditions(Within(i - 2, 0, 10)) == "i >= 2"
    assert conditions(Within(i, 0, 5)) == "i < 5"
    assert conditions(Within(i + 20, 0, 5)) == "False"
    assert conditions(Divides(i * 4, 2)) == ""
    assert conditions(Divides(i * 4 + 1, 2)) == "False"
    assert conditions(Divides(i, 3)) == "imod(i, 3) == 0"
    assert conditions(Within(i, 0, 5), Within(i, 0, 5)) == "i < 5"


def test_two_guards_in_turn_protect_one_load() -> None:
    def f(x: Node) -> Node:
        return view.pad(view.pad(x, (1,), (1,), 2.0, (1,)), (2,), (0,), 3.0)

    check(graph_of([f32[5]], f), ramp(f32[5]))


def test_an_index_made_from_data_is_limited() -> None:
    graph = dlc.trace(lambda x, i: dlc.take(x, i) * 2.0, f32[4], i32[3])
    assert any("min(max(" in text for text in texts(graph))


def test_random_bits_do_not_depend_on_where_they_are_read() -> None:
    """Stored whole, or computed inside a reduction over a slice: the same numbers."""
    def f(x: Node, seed: Node, step: Node) -> Any:
        bits = leaf.random_bits(seed, step, (6, 8), 5)
        small = dlc.cast(bits >> 20, dlc.f32)
        return small, (view.slice_(small, (2, 0), (5, 8)) * 1.0).sum(0), x

    graph = graph_of([f32[2], dlc.u32[()], i32[()]], f)
    check(graph, ramp(f32[2]), np.array(7, np.uint32), np.array(3, np.int32))
