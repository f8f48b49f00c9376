"""Memory limits as users write them: 512MB, 1.5GiB, or a number of bytes."""

from __future__ import annotations

import re
import reprlib

from dlc.errors import DlcError, here

UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
         "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40,
         "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}
_AMOUNT = re.compile(r"([0-9]{1,20}(?:\.[0-9]*)?|\.[0-9]+)[ _]?([a-z]*)", re.ASCII)
FITS = "bytes as a number, or a text such as 512MB (10**6 bytes each), 1.5GiB (2**30), 300M (2**20)"


def limit_bytes(given: object) -> int:
    """The bytes that a memory limit names. Raises DlcError for what names none."""
    found = None
    if isinstance(given, int) and not isinstance(given, bool):
        found = int(given)
    elif isinstance(given, str):
        match = _AMOUNT.fullmatch(given.strip().lower())
        if match and match[2] in UNITS:
            found = int(float(match[1]) * UNITS[match[2]]) if "." in match[1] else (
                int(match[1]) * UNITS[match[2]])
    if found is None or not 0 < found < 1 << 60:
        raise DlcError(f"memory limit {reprlib.repr(given)} is not a size", here(), FITS)
    return found
