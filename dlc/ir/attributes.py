"""Attributes of nodes: arrays among them, and attributes as keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Literal:
    """A constant array as an attribute: hashable by content."""

    array: np.ndarray = field(compare=False)
    key: bytes = b""

    @staticmethod
    def of(array: np.ndarray) -> Literal:
        kept = np.array(array, order="C")
        kept.setflags(write=False)
        return Literal(kept, repr((kept.dtype.str, kept.shape)).encode() + kept.tobytes())


def plain(value: Any) -> Any:
    """An attribute without NumPy's scalars: a Program and its text hold Python's."""
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    return value.item() if isinstance(value, np.generic) else value


def comparable(attrs: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Attributes as a key. Floats by their bits: 0.0 is not -0.0, and NaN is itself."""
    return tuple((k, v.hex() if type(v) is float else v) for k, v in sorted(attrs.items()))
