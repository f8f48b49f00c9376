"""When two f32 results are the same: within rounding of the peer's, or as near to f64 as that is.

Within RELATIVE of PyTorch's element, or ABSOLUTE of the array's largest. Where cancellation makes
them differ more, dlc may be LENIENCE times as far from PyTorch's float64 result as float32 is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

RELATIVE, ABSOLUTE, LENIENCE = 1e-5, 1e-6, 4
Array = np.ndarray[Any, Any]


def size(x: Array) -> float:
    """The largest finite magnitude."""
    return float(np.max(np.abs(x[np.isfinite(x)]), initial=0.0))


def close(got: Array, value: Array, scale: float) -> bool:
    """Within rounding of PyTorch's own result, element by element; the same infinities and NaN."""
    got, value = got.astype(np.float64), value.astype(np.float64)
    return np.allclose(got, value, RELATIVE * scale, ABSOLUTE * scale * size(value), True)


def error(x: Array, exact: Array) -> float:
    """The largest distance from the float64 result; infinite where only one is finite."""
    x = x.astype(np.float64)
    same = (x == exact) | (np.isnan(x) & np.isnan(exact))
    return float(np.max(np.where(same, 0.0, np.abs(np.nan_to_num(x - exact, nan=np.inf))),
                        initial=0.0))
