"""Exported graphs over integers of every width give the ONNX package's evaluator dlc's numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

import dlc
from dlc.ir.types import DType, bool_, f32, i8, i16, i32, i64, u8, u16, u32, u64
from tests.test_integer_dtypes import whole

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y, "sub": lambda x, y: x - y, "mul": lambda x, y: x * y,
    "floordiv": lambda x, y: x // dlc.where(y == 0, 1, y),
    "rem": lambda x, y: x % dlc.where(y == 0, 1, y), "maximum": dlc.maximum,
    "and": lambda x, y: x & y, "not": lambda x, y: ~x, "neg": lambda x, y: -x,
    "sum": lambda x, y: x.sum(0), "prod": lambda x, y: x.prod(0), "max": lambda x, y: x.max(1),
    "min": lambda x, y: x.min(0), "argmax": lambda x, y: dlc.argmax(x, 1),
    "cumsum": lambda x, y: dlc.cumsum(x, 1), "sort": lambda x, y: dlc.sort(x, 1),
    "where": lambda x, y: dlc.where(x > y, x, y), "to float": lambda x, y: x.cast(f32),
    "to bool": lambda x, y: x.cast(bool_), "pad": lambda x, y: dlc.pad(x, 1, value=3),
    "concat": lambda x, y: dlc.concat([x, y]), "take": lambda x, y: x[[0, 2]],
    "add at": lambda x, y: x.at[[0, 2]].add(y[:2]), "clip": lambda x, y: dlc.clip(x, 1, 9),
    "product": lambda x, y: x @ y.T, "square": lambda x, y: x * x,
}


@pytest.mark.parametrize("kind", [i8, i16, i32, i64, u8, u16, u32, u64], ids=str)
def test_integers_of_every_width(kind: DType, tmp_path: Path) -> None:
    """Floor division of large numbers of unlike signs overflowed on its way."""
    x, y = whole(kind, (3, 5)), whole(kind, (3, 5), 1)
    for name, function in OPERATORS.items():
        graph = dlc.trace(function, kind[3, 5], kind[3, 5])
        wanted = np.asarray(dlc.evaluate(graph, x, y))
        dlc.onnx.export(graph, tmp_path / "m.onnx", opset=18)
        reference = ReferenceEvaluator(str(tmp_path / "m.onnx"))
        given = dict(zip(reference.input_names, (x, y), strict=False))
        with np.errstate(all="ignore"):
            found = reference.run(None, given)[0]
        assert found.dtype == wanted.dtype, name
        np.testing.assert_allclose(found, wanted, rtol=2.0**-22, err_msg=name)


@pytest.mark.parametrize("kind", [i8, i16, u8, u16, u32], ids=str)
def test_powers_wrap_from_i64(kind: DType, tmp_path: Path) -> None:
    graph = dlc.trace(lambda x, y: x ** y, kind[4], kind[4])
    dlc.onnx.export(graph, tmp_path / "m.onnx")
    x, y = (np.array(v, kind.numpy) for v in ([2, 3, 7, 100], [7, 2, 3, 4]))
    with np.errstate(all="ignore"):
        found = ReferenceEvaluator(str(tmp_path / "m.onnx")).run(None, {"x": x, "y": y})[0]
    np.testing.assert_array_equal(found, dlc.evaluate(graph, x, y))


def test_powers_of_u64_have_no_form(tmp_path: Path) -> None:
    graph = dlc.trace(lambda x, y: x ** y, u64[4], u64[4])
    with pytest.raises(dlc.DlcError, match="no powers of u64"):
        dlc.onnx.export(graph, tmp_path / "m.onnx")
