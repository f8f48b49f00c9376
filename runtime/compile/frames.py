"""Frames on a pipe between the parent and a compile worker: a JSON header and raw bytes."""

from __future__ import annotations

import json
import os
import select
import struct
from typing import Any

_LENGTHS = struct.Struct("<II")
IDLE_SECONDS = 30.0  # a worker without work for so long exits


def write_frame(pipe: int, header: dict[str, Any], data: bytes = b"") -> None:
    """Write one frame to the file descriptor `pipe`."""
    text = json.dumps(header).encode()
    rest = memoryview(_LENGTHS.pack(len(text), len(data)) + text + data)
    while rest:
        rest = rest[os.write(pipe, rest):]


def read_frame(pipe: int) -> tuple[dict[str, Any], bytes] | None:
    """The next frame, or None at the end of the pipe (also in the middle of a frame).

    Reads without a buffer: what select says about `pipe` stays true.
    """
    lengths = _read(pipe, _LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    text_length, data_length = _LENGTHS.unpack(lengths)
    text, data = _read(pipe, text_length), _read(pipe, data_length)
    if len(text) < text_length or len(data) < data_length:
        return None
    return json.loads(text), data


def _read(pipe: int, count: int) -> bytes:
    """`count` bytes, fewer only at the end of the pipe."""
    parts = []
    while count:
        part = os.read(pipe, min(count, 1 << 20))
        if not part:
            break
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def wait_readable(pipe: int, seconds: float = IDLE_SECONDS) -> bool:
    """Whether `pipe` has something to read (or ended) within `seconds`."""
    return bool(select.select([pipe], [], [], seconds)[0])
