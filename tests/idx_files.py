"""IDX files for tests: the inverse of the loader."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlc.runtime.data.idx import ELEMENTS


def idx_bytes(array: np.ndarray[Any, Any]) -> bytes:
    """The IDX file of `array`."""
    code = next(c for c, e in ELEMENTS.items() if e.newbyteorder("=") == array.dtype)
    head = bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return head + array.astype(ELEMENTS[code]).tobytes()
