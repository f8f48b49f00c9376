"""The network dlcnet through ctypes, on NumPy arrays."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from dlc.runtime.build import wrapper_plain
from dlc.runtime.build.wrapper_plain import Kind, NetworkError, Position

__all__ = ["Kind", "Network", "NetworkError", "Position"]

DTYPES = {"f64": "f8", "f32": "f4", "f16": "f2", "bf16": "u2", "i64": "i8", "i32": "i4",
          "i16": "i2", "i8": "i1", "u64": "u8", "u32": "u4", "u16": "u2", "u8": "u1", "bool": "?"}


class Network(wrapper_plain.Network):
    """The network dlcnet. Inputs are arrays by name, their first axis counts rows; arrays have the
    very dtype and shape, those of bf16 are bits (u16)."""

    def _held(self, name: str, kind: Kind, value: Any) -> tuple[Any, int]:
        array = np.ascontiguousarray(value)
        rows = array.shape[1:] if name not in self.values else array.shape
        known = name in {**self.inputs, **self.predict_inputs, **self.values}
        if known and (array.dtype != np.dtype(DTYPES[kind.dtype]) or rows != kind.shape):
            raise NetworkError(f"{name} takes rows of {kind.dtype}{list(kind.shape)}, got "
                               f"{array.dtype}{list(array.shape)}", 1)
        return array.ctypes.data_as(ctypes.c_void_p), array.nbytes  # which keeps the array

    def _given(self, content: Any, kind: Kind, rows: tuple[int, ...]) -> Any:
        count = kind.bytes * (rows[0] if rows else 1)
        flat = np.frombuffer(content, DTYPES[kind.dtype], count // np.dtype(
            DTYPES[kind.dtype]).itemsize)
        return flat.reshape((*rows, *kind.shape)).copy()

    def order(self, epoch: int, count: int) -> Any:
        """i64[count]: the order in which `dlc train` takes the samples of an epoch."""
        return np.frombuffer(super().order(epoch, count), np.int64)
