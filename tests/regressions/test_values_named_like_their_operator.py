"""Two values named like the operator that makes them: printing never ended (found by ONNX models).
"""

from __future__ import annotations

import dlc
from dlc import f32


def test_two_values_named_like_their_operator() -> None:
    """Every name for the second, where_1, where_2, ..., is one that the printer makes up itself."""
    def f(x: f32[3]):
        where = dlc.where(x > 0, x, 0.0)
        first = where * 2.0
        where = dlc.where(x < 1, first, 1.0)
        return first + where

    text = dlc.print_graph(dlc.trace(f))
    assert " where: f32[3] = where(" in text and " where_1: f32[3] = where(" in text
    assert dlc.print_graph(dlc.parse_graph(text)) == text
