"""Contractions with gaps between an operand's elements: each residue is one without, and together
they are the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dlc.backend.costs import flops_of
from dlc.ir.graph import Build, Graph, Node, building, make
from dlc.ir.types import DType, Type, f16, f32, f64
from dlc.ops.contract import CONV
from dlc.ops.elementwise import maximum
from dlc.ops.leaf import input_
from dlc.ops.view import reshape
from dlc.reference.evaluate import run as evaluate_nodes
from tests.backend.contract.test_contract import check, data


def gapped(x: tuple[int, ...], w: tuple[int, ...], gap: Any, kind: DType = f32,
           **attrs: Any) -> tuple[Node, list[Node]]:
    """A convolution over x [N, G, C, S...] with `gap - 1` zeros between its elements."""
    n = len(x) - 3
    full = {"grouped": True, "stride": (1,) * n, "padding": ((1, 2),) * n,
            "rhs_dilation": (1,) * n, **attrs}
    inputs = [input_("x", Type(kind, x)), input_("w", Type(kind, w))]
    return make(CONV, inputs, lhs_dilation=gap, **full), inputs


CASES: dict[str, tuple[Any, ...]] = {
    "plane": ((2, 1, 5, 9, 10), (1, 6, 5, 3, 3), (2, 2)),
    "other gaps": ((2, 1, 5, 6, 7), (1, 6, 5, 3, 4), (3, 2)),
    "groups": ((2, 3, 4, 9, 8), (3, 5, 4, 3, 3), (2, 2)),
    "some residues without products": ((3, 1, 8, 9, 9), (1, 20, 8, 1, 1), (2, 2)),
    "line": ((4, 2, 6, 40), (2, 9, 6, 5), (4,)),
    "space": ((2, 1, 4, 4, 5, 4), (1, 5, 4, 3, 3, 2), (2, 2, 2)),
    "strides, dilation": ((2, 1, 6, 9, 9), (1, 7, 6, 3, 3), (2, 4), f32,
                          {"stride": (3, 2), "rhs_dilation": (2, 3)}),
    "tails cut": ((2, 1, 6, 12, 12), (1, 7, 6, 3, 3), (2, 2), f32,
                  {"padding": ((-1, -2), (0, -3))}),
    "halves": ((2, 1, 5, 9, 10), (1, 6, 5, 3, 3), (2, 2), f16),
    "doubles": ((2, 1, 5, 9, 10), (1, 6, 5, 3, 3), (2, 2), f64),
    "more residues than outputs": ((40, 1, 20, 1, 2), (1, 30, 20, 1, 1), (7, 3), f32,
                                 {"padding": ((1, 2), (1, 2))}),
}


def built(name: str) -> tuple[Node, list[Node]]:
    x, w, gap, *rest = CASES[name]
    return gapped(x, w, gap, rest[0] if rest else f32, **(rest[1] if len(rest) > 1 else {}))


# In plain Python some take ten seconds: those compile and run in `make conformance`.
USUAL = ("groups", "tails cut", "more residues than outputs")


@pytest.mark.sliced
@pytest.mark.parametrize("name", [
    n if n in USUAL else pytest.param(n, marks=pytest.mark.conformance) for n in CASES])
def test_residues_give_the_whole(name: str) -> None:
    with building(Build()):
        y, inputs = built(name)
        b = input_("b", Type(y.dtype, (y.shape[1], y.shape[2], *(1,) * (y.ndim - 3))))
        check([maximum(y + b, 0.0)], [*inputs, b])


@pytest.mark.parametrize("name", CASES)
def test_residues_cover_every_output_once(name: str) -> None:
    with building(Build()):
        y, inputs = built(name)
    whole = y.op.emit(y)
    places = [residue.place(at) for residue in whole.residues for at in np.ndindex(*residue.shape)]
    assert len(places) == len(set(places)) == y.type.size
    want = evaluate_nodes(Graph("g", tuple(inputs), (y,)), data(inputs))[0]
    assert want.shape == y.shape


def test_zeros_are_not_counted_as_work() -> None:
    with building(Build()):
        y, inputs = gapped((1, 1, 4, 16, 16), (1, 8, 4, 3, 3), (2, 2), padding=((1, 1), (1, 1)))
        done = flops_of(Graph("g", tuple(inputs), (y,)))
    inserted = 2 * y.type.size * 4 * 9
    assert done < inserted / 3.5


def test_epilogue_that_rearranges() -> None:
    with building(Build()):
        y, inputs = gapped((2, 1, 5, 9, 10), (1, 6, 5, 3, 3), (2, 2))
        check([reshape(y, (2, 6, -1)) * 2.0], inputs)
