"""The reducer: what it leaves still fails, is small, and prints as a program that runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dlc
from dlc.ir.graph import Build, Graph, building
from dlc.ir.types import f32
from dlc.ops import leaf
from tests.fuzzing.programs import operators
from tests.fuzzing.reducing import Case, as_text, literal, reduced, rerun, signature
from tests.fuzzing.run import Setting, alone, draw

ROOT = Path(__file__).resolve().parent.parent.parent
INTERPRETED = Setting("interpret", sizes=(200,))


def has(case: Case, *names: str) -> bool:
    return set(names) <= set(operators(case.graph))


def means_something(case: Case) -> bool:
    """Whether every operator of a smaller program still fits its operands."""
    try:
        return bool(case.drawn().balls)
    except Exception:  # any: what does not fit shows in many ways
        return False


@pytest.mark.parametrize("name", ["matmul", "gather"])
def test_one_operator_is_left_of_a_program(name: str) -> None:
    """Of a program that "fails" when it holds an operator, that operator is left."""
    drawn = next(d for d in (draw(s, INTERPRETED) for s in range(100))
                 if name in set(operators(d.graph)))
    case = Case(drawn.graph, drawn.arrays)
    small = reduced(case, lambda c: has(c, name) and means_something(c))
    assert has(small, name) and small.size[0] <= 2 < case.size[0]


def test_a_wrong_value_is_followed_to_where_it_began() -> None:
    """Fails where a convolution pads its first axis at the end: two operators and an attribute."""
    with building(Build()):
        x, w = leaf.input_("x", f32[2, 3, 7, 8]), leaf.input_("w", f32[4, 3, 3, 2])
        h = dlc.conv(dlc.tanh(x) * 2.0, w, stride=(2, 1), padding=((1, 2), (1, 1)))
        graph = Graph("f", (x, w), (dlc.sum(h, 1), dlc.max(dlc.exp(h * 0.1), (2, 3))), ("a", "b"))
    rng = np.random.default_rng(0)
    case = Case(graph, {"x": rng.normal(size=x.shape).astype(np.float32),
                        "w": rng.normal(size=w.shape).astype(np.float32)})

    def fails(c: Case) -> bool:
        return any(n.op.name == "conv" and n.attrs["padding"][0][1] > 0 for n in c.graph.nodes())

    small = reduced(case, fails)
    (conv,) = (n for n in small.graph.nodes() if n.op.name == "conv")
    assert small.size == (1, 2)
    assert conv.attrs["stride"] == (1, 1) and conv.attrs["padding"] == ((0, 1), (0, 0))
    assert all(d == 1 for a in conv.args for d in a.shape)


def test_loops_get_shorter_bodies() -> None:
    with building(Build()):
        x = leaf.input_("x", f32[3, 4])
        last, _ = dlc.scan(lambda c, row: (dlc.tanh(dlc.sin(c) + row), None), x[0], x)
        graph = Graph("f", (x,), (last * 2.0,), ("out",))
    case = Case(graph, {"x": np.ones((3, 4), np.float32)})
    small = reduced(case, lambda c: has(c, "scan", "sin"))
    assert has(small, "scan", "sin") and not has(small, "tanh") and not has(small, "mul")


def test_what_is_printed_runs() -> None:
    drawn = draw(11, INTERPRETED)
    case = Case(drawn.graph, drawn.arrays)
    text = as_text(case, INTERPRETED, 11)
    run = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True)
    assert (run.stdout.strip(), run.stderr) == ("", "")
    assert rerun(str(case.graph), case.arrays, INTERPRETED) == []


def test_literals_keep_every_bit() -> None:
    import ml_dtypes

    rng = np.random.default_rng(1)
    for kind in (np.float32, np.float16, ml_dtypes.bfloat16, np.int64, np.bool_):
        array = (rng.normal(size=(3, 5)) * 3).astype(kind)
        again = eval(literal(array), {"np": np, "ml_dtypes": ml_dtypes})
        assert again.dtype == array.dtype and again.tobytes() == array.tobytes()


def test_signatures_tell_failures_apart() -> None:
    assert [signature(p) for p in ([], ["out: f32[2]: 1 of 2 wrong"], ["evaluate: out: ..."],
                                   ["IndexError: index 4"])] == ["", "wrong", "evaluate",
                                                                 "IndexError"]
    assert alone(draw(12, INTERPRETED), INTERPRETED) == []
