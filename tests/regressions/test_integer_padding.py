"""Padding of integers went through a float: the largest i64 became the least, 300 in u8 became 44.

x.at[::2].min(v) pads v with the largest number of the dtype; on i64 it gave the least everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, i64, u8
from dlc.errors import DlcError
from dlc.ir.types import Type

LARGEST = 2 ** 63 - 1


def test_the_largest_number_around() -> None:
    graph = dlc.trace(lambda x: dlc.pad(x, [1], [1], LARGEST), i64[2])
    x = np.array([1, 2])
    want = np.array([LARGEST, 1, 2, LARGEST])
    np.testing.assert_array_equal(dlc.evaluate(graph, x), want)
    with dlc.compile(graph, name="pad").load(threads=1) as program:
        np.testing.assert_array_equal(program(x), want)


def test_the_text_keeps_the_number() -> None:
    graph = dlc.trace(lambda x: dlc.pad(x, [1], [1], LARGEST), i64[2])
    text = dlc.print_graph(graph)
    assert str(LARGEST) in text
    assert dlc.print_graph(dlc.parse_graph(text)) == text


def test_the_smaller_at_every_second_place() -> None:
    graph = dlc.trace(lambda x, v: x.at[::2].min(v), i64[4], i64[2])
    found = dlc.evaluate(graph, np.array([5, 6, 7, 8]), np.array([6, 1]))
    np.testing.assert_array_equal(found, [5, 6, 1, 8])


@pytest.mark.parametrize("type_, value", [(u8[2], 300), (u8[2], -1), (i64[2], 2.0 ** 63),
                                          (i64[2], 0.5), (i64[2], float("nan"))])
def test_what_the_dtype_does_not_hold(type_: Type, value: Any) -> None:
    with pytest.raises(DlcError, match="pad"):
        dlc.trace(lambda x: dlc.pad(x, [1], [1], value), type_)


def test_what_a_float_does_not_hold_is_infinite() -> None:
    graph = dlc.trace(lambda x: dlc.pad(x, [1], [0], 1e40), f32[1])
    assert dlc.evaluate(graph, np.ones(1, np.float32))[0] == np.inf
