"""Reading safetensors files of any origin: every claim of the header is checked before use."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from dlc.types import DTYPES

MAX_HEADER = 100_000_000  # the format's own limit
DTYPE_NAMES = {"F64": "f64", "F32": "f32", "F16": "f16", "BF16": "bf16", "I64": "i64",
               "I32": "i32", "U32": "u32", "U8": "u8", "BOOL": "bool"}

Tensors = dict[str, np.ndarray[Any, Any]]


class CheckpointError(ValueError):
    """A checkpoint that cannot be used: names the file, the place, what is wrong."""

    def __init__(self, path: object, problem: str, fits: str = "") -> None:
        self.path, self.problem = str(path), problem
        super().__init__(f"{path}: {problem}" + (f"; {fits}" if fits else ""))


def read_tensors(path: Path) -> tuple[Tensors, dict[str, str]]:
    """(arrays by name, metadata) of a safetensors file.

    Raises CheckpointError for a file that is missing, cut off, or in any way not what its header
    says: lengths, UTF-8, JSON, names twice, dtypes, shapes against offsets, overlaps, holes and
    trailing bytes. Accepts scalars, empty arrays and a padded header.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(path, error.strerror or str(error)) from None
    header, begin = parse_header(path, content)
    metadata = check_metadata(path, header.pop("__metadata__", {}))
    data = memoryview(content)[begin:]
    spans = {name: check_entry(path, name, entry, len(data)) for name, entry in header.items()}
    check_spans(path, spans, len(data))
    arrays = {}
    for name, (start, end) in spans.items():
        dtype = DTYPES[DTYPE_NAMES[header[name]["dtype"]]].numpy
        arrays[name] = np.frombuffer(data[start:end], dtype).reshape(header[name]["shape"]).copy()
    return arrays, metadata


def parse_header(path: Path, content: bytes) -> tuple[dict[str, Any], int]:
    """(header, offset of the data)."""
    if len(content) < 8:
        raise CheckpointError(path, f"{len(content)} bytes are too few for the header's length",
                              "a whole safetensors file")
    length = int.from_bytes(content[:8], "little")
    if length > MAX_HEADER:
        raise CheckpointError(path, f"claims a header of {length} bytes, over the format's limit "
                              f"of {MAX_HEADER}", "a safetensors file")
    if length > len(content) - 8:
        raise CheckpointError(path, f"claims a header of {length} bytes, but only "
                              f"{len(content) - 8} follow: the file is cut off")
    try:
        text = content[8:8 + length].decode("utf-8")
        if not text.startswith("{"):
            raise ValueError("it does not begin with an opening brace")
        header = json.loads(text, object_pairs_hook=distinct)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(path, f"the header is not JSON in UTF-8 ({error})",
                              "a safetensors file") from None
    return header, 8 + length


def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose names occur once; ValueError otherwise."""
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice!r} occurs twice")
    return result


def check_metadata(path: Path, metadata: Any) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise CheckpointError(path, "__metadata__ is not a map of texts")
    return metadata


def check_entry(path: Path, name: str, entry: Any, size: int) -> tuple[int, int]:
    """The span of one array in the data; CheckpointError when its entry contradicts itself."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise CheckpointError(path, f"the entry of {name!r} is not dtype, shape, data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_NAMES:
        raise CheckpointError(path, f"{name!r} has the dtype {dtype!r}", ", ".join(DTYPE_NAMES))
    if not are_sizes(shape):
        raise CheckpointError(path, f"{name!r} has the shape {shape!r}", "sizes of 0 or more")
    if not are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise CheckpointError(path, f"{name!r} has the offsets {offsets!r}", "begin, end")
    need = math.prod(shape) * DTYPES[DTYPE_NAMES[dtype]].bytes
    if offsets[1] - offsets[0] != need:
        raise CheckpointError(path, f"{name!r}: {dtype} of shape {shape} takes {need} bytes, but "
                              f"its offsets {offsets} span {offsets[1] - offsets[0]}")
    if offsets[1] > size:
        raise CheckpointError(path, f"{name!r} ends at byte {offsets[1]} of the data, which holds "
                              f"{size}: the file is cut off")
    return offsets[0], offsets[1]


def are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(v) is int and v >= 0 for v in value)


def check_spans(path: Path, spans: dict[str, tuple[int, int]], size: int) -> None:
    """The arrays lie one behind the other and fill the data exactly."""
    at = 0
    for name, (start, end) in sorted(spans.items(), key=lambda item: item[1]):
        if start != at:
            what = "overlaps the array before it" if start < at else "leaves a hole before it"
            raise CheckpointError(path, f"{name!r} begins at byte {start} of the data and {what}, "
                                  f"which ends at {at}")
        at = end
    if at != size:
        raise CheckpointError(path, f"{size - at} bytes follow the last array")
