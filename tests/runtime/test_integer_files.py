"""Files of i8, i16, u16 and u64: safetensors and .npy, as data of a task, whole range and dtype."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import dlc
from dlc.ir.types import DType, Type, i8, i16, i64, u16, u64
from dlc.program import Port
from dlc.runtime.data import load_dataset
from dlc.runtime.data.batches import bind_arrays
from dlc.runtime.data.dataset import DataError
from dlc.runtime.train.tensorfile import read_tensors

KINDS = (i8, i16, u16, u64)


def ends(kind: DType) -> np.ndarray:
    info = np.iinfo(kind.numpy)
    return np.array([[info.min, info.max], [1, 2], [3, 4], [5, 6]], kind.numpy)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_tensors_of_a_checkpoint(kind: DType, tmp_path: Path) -> None:
    save_file({"x": ends(kind)}, tmp_path / "x.safetensors")
    found = read_tensors(tmp_path / "x.safetensors")[0]["x"]
    assert found.dtype == kind.numpy
    np.testing.assert_array_equal(found, ends(kind))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_arrays_as_data_of_a_task(kind: DType, tmp_path: Path) -> None:
    """Taken as they are, and from i64 where every value fits."""
    np.savez(tmp_path / "d.npz", x_train=ends(kind), x_test=ends(kind)[:1])
    data = load_dataset(str(tmp_path / "d.npz"))
    port = Port("x", Type(kind, (2, 2)), 0)
    np.testing.assert_array_equal(bind_arrays("d", data.train, (port,))["x"], ends(kind))
    whole = np.array([[0, 100], [1, 2]], np.int64)
    assert bind_arrays("d", {"x": whole}, (port,))["x"].dtype == kind.numpy
    with pytest.raises(DataError, match="holds values from"):
        bind_arrays("d", {"x": np.array([[2**62, -1], [-2**62, 0]])}, (port,))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_arrays_given_to_a_program(kind: DType) -> None:
    graph = dlc.trace(lambda x: x ^ 1, kind[4, 2])
    with dlc.compile(graph).load("interpret") as run:
        np.testing.assert_array_equal(run(ends(kind)), ends(kind) ^ 1)
        np.testing.assert_array_equal(run(ends(kind).tolist()), ends(kind) ^ 1)
    wide = dlc.trace(lambda x: x.cast(i64), kind[4, 2])
    np.testing.assert_array_equal(dlc.evaluate(wide, ends(kind)), ends(kind).astype(np.int64))
