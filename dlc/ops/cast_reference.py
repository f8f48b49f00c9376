"""Conversion between dtypes as NumPy does it, with what dlc defines where NumPy does not."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlc.ir.types import DType, bf16


def rounded_to_odd(x: Any) -> Any:
    """x as f32, inexact values with a last bit of 1: rounding again to bf16 rounds once."""
    if x.dtype.kind in "iu" and x.itemsize == 8:  # more bits than f64 has
        low = x & x.dtype.type(2047)
        kept = (x - low) | np.where(low != 0, 2048, 0).astype(x.dtype)
        large = x >> 53 != 0 if x.dtype.kind == "u" else (x >> 52) != (x >> 63)
        x = np.where(large, kept, x)
    wide = x.astype(np.float64)
    with np.errstate(all="ignore"):
        y = wide.astype(np.float32)
    bits = y.view(np.int32)
    down = bits - (np.abs(y.astype(np.float64)) > np.abs(wide))
    return (down | (y != wide)).astype(np.int32).view(np.float32)


def convert_array(x: Any, dtype: DType) -> Any:
    """`x` as `dtype`. Float to integer truncates and saturates, NaN gives 0; integers wrap."""
    x = np.asarray(x)
    if dtype is bf16 and x.dtype.itemsize > 2:
        return rounded_to_odd(x).astype(dtype.numpy)
    if not (dtype.is_integer and x.dtype.kind not in "iub"):
        with np.errstate(all="ignore"):
            return x.astype(dtype.numpy)
    info = np.iinfo(dtype.numpy)
    wide = np.trunc(np.nan_to_num(x.astype(np.float64), nan=0.0, posinf=np.inf, neginf=-np.inf))
    inside = np.clip(wide, float(info.min), float(info.max))
    with np.errstate(all="ignore"):
        kept = inside.astype(dtype.numpy)
    kept = np.where(wide >= float(info.max), info.max, kept)
    return np.where(wide <= float(info.min), info.min, kept).astype(dtype.numpy)
