"""Damage to files: cut off, bits flipped, pieces moved, and single fields given other values."""

from __future__ import annotations

import gzip
import io
import json
import math
import random
import re
import zipfile
from functools import cache
from typing import Any

import numpy as np
import onnx

from dlc.runtime.train.checkpoint import checksum
from tests.damaged.sound import ARRAYS, Format

FORGED = "\x1b[2J\nforged"
COUNTS = [0, 1, 2, 3, 7, 64, 65, 255, 256, 4096, 65536, 2**20, 2**24, 2**30, 2**31 - 1, 2**31,
          2**32 - 1, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
NUMBERS = [*COUNTS, -1, -2, -2**31, -2**63, 2**70, 10**30, 10**4000]
TEXTS = ["", FORGED, "a" * 5000, "\0", "\u202e", "..", "/etc/passwd", "1e300", "nan", "--1"]
# Of values and operators in the models.
SHAPES = [[1] * 65, [1] * 70, [0, 2**62], [2**62, 0], [0, 2**70], [2**32 - 1, 0, 2**32 - 1], [-1],
          [0], [], [1], [2, 3], [10**4000, 0], [10**4000] * 60]
NAMES = ["x", "y", "w", "b", "c", "s", "t", "h:0", "fc/w", "w.bin", "Add", "Concat", "Loop",
         "Range", "Reshape", "SplitToSequence", "Einsum", "Resize"]
SIZES = {"raw_data", "int64_data", "dims", "dim_value", "i", "ints"}
DIGITS = [str(n) for n in COUNTS]
VALUES = [*NUMBERS, *TEXTS, None, True, 1.5, float("nan"), [], {}, [1] * 70, [0, 2**62], [[]]]


def damaged(form: Format, draw: random.Random) -> bytes:
    """The file's bytes with some damage; gzip's contents as often as gzip's own bytes."""
    if form.packed and draw.random() < 0.02:
        return form.content + bomb(2**26)
    if form.packed and draw.random() < 0.6:
        inside = gzip.decompress(form.content)
        return gzip.compress(change(form.kind, inside, draw), 1, mtime=0)
    return change("" if form.packed else form.kind, form.content, draw)


@cache
def bomb(count: int) -> bytes:
    """`count` digits as a member of a gzip file, which others may come before."""
    return gzip.compress(b"0" * count, 1, mtime=0)


def change(kind: str, content: bytes, draw: random.Random) -> bytes:
    if kind and draw.random() < 0.75:
        return FIELDS[kind](content, draw)
    return draw.choice(BYTES)(content, draw)


# --- any bytes ------------------------------------------------------------------------------------


def cut(content: bytes, draw: random.Random) -> bytes:
    return content[:draw.randrange(len(content))]


def flip(content: bytes, draw: random.Random) -> bytes:
    found = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 8))):
        found[draw.randrange(len(found))] ^= 1 << draw.randrange(8)
    return bytes(found)


def overwrite(content: bytes, draw: random.Random) -> bytes:
    """A number that is a limit of something, in either order of bytes."""
    width = draw.choice((1, 2, 4, 8))
    number = (draw.choice(COUNTS) % 256**width).to_bytes(width, draw.choice(("little", "big")))
    at = draw.randrange(len(content))
    return content[:at] + number + content[at + width:]


def splice(content: bytes, draw: random.Random) -> bytes:
    """A piece left out, doubled, or drawn at random."""
    a, b = sorted(draw.randrange(len(content) + 1) for _ in range(2))
    piece = draw.choice((b"", content[a:b] * 2, draw.randbytes(min(b - a, 300))))
    return content[:a] + piece + content[b:]


BYTES = [cut, flip, overwrite, splice]


# --- fields ---------------------------------------------------------------------------------------


def idx_field(content: bytes, draw: random.Random) -> bytes:
    """Another dimension, type or number of axes."""
    if draw.random() < 0.3:
        kind = bytes([draw.choice((8, 9, 11, 12, 13, 14, 255)), draw.randrange(10)])
        return content[:2] + kind + content[4:]
    dims = [int.from_bytes(content[i:i + 4], "big") for i in (4, 8, 12)]
    for _ in range(draw.randrange(1, 4)):
        dims[draw.randrange(3)] = draw.choice((0, 2**32 - 1, draw.choice(COUNTS) % 2**32))
    head = content[:4] + b"".join(d.to_bytes(4, "big") for d in dims)
    return head + fitting(content[16:], dims, draw)


def fitting(data: bytes, dims: list[int], draw: random.Random) -> bytes:
    """`data`, mostly as long as an array of `dims` says: the header alone is then at fault."""
    count = math.prod(max(d, 0) for d in dims[:9])
    if count > 2**12 or draw.random() < 0.2:
        return data
    return (data * (count // max(len(data), 1) + 1))[:count]


def npy_field(content: bytes, draw: random.Random) -> bytes:
    """Another shape, dtype or order in the header."""
    size = int.from_bytes(content[8:10], "little")
    header, data = content[10:10 + size].decode(), content[10 + size:]
    dims = draw.choice(SHAPES)
    if draw.random() < 0.5:
        dims = [draw.choice(NUMBERS) for _ in range(draw.choice((0, 1, 2, 3)))]
    shape = draw.choice((repr(tuple(dims)), repr(dims), repr(draw.choice(VALUES)), "(" * 3000))
    descr = draw.choice(("|O", "<f8", "<f16", "|u1", ">i2", "<U3", "<c8", "|V8", "zz", FORGED, 3,
                         [("a", "<f4")], ("<f4", (2, 2)), "<M8[s]", None))
    if draw.random() < 0.6:
        header, data = re.sub(r"\([\d, ]*\)", lambda _: shape, header), fitting(data, dims, draw)
    elif draw.random() < 0.7:
        header = header.replace("'|u1'", repr(descr))
    else:
        header = header.replace("False", draw.choice(("True", "2", "None", "__import__('os')")))
    text = header.encode("latin1", "replace")
    version = 2 if len(text) >= 2**16 else draw.choice((1, 1, 1, 2, 3, 9))
    width = 2 if version == 1 else 4
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(width, "little") + text + data


def npz_field(content: bytes, draw: random.Random) -> bytes:
    """An archive with a damaged member, other names, or other packing."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w") as new:
        for info in old.infolist():
            member, name = old.read(info), info.filename
            if draw.random() < 0.6:
                member = change("npy", member, draw)
            if draw.random() < 0.01:
                member += bytes(2**26)
            if draw.random() < 0.2:
                name = draw.choice((FORGED + ".npy", "../x.npy", "a" * 5000 + ".npy", "x", "y.npy"))
            packing = draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED,
                                   zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
            new.writestr(zipfile.ZipInfo(name), member, packing)
    return overwrite(stream.getvalue(), draw) if draw.random() < 0.3 else stream.getvalue()


def text_field(content: bytes, draw: random.Random) -> bytes:
    """A cell or word of another kind."""
    cells = re.split(rb"([,\n ]|\r\n)", content)
    for _ in range(draw.randrange(1, 4)):
        cells[draw.randrange(len(cells))] = draw.choice(
            [*TEXTS, *map(str, NUMBERS), '"', '""', "1_0", "-", "1e39", "\r", "\n", ",", ";;;"]
        ).encode("utf-8", "surrogatepass")
    return b"".join(cells)


def safetensors_field(content: bytes, draw: random.Random) -> bytes:
    """Another value somewhere in the header, or in the record, whose checksum then fits it."""
    size = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8:8 + size]), content[8 + size:]
    if draw.random() < 0.5:
        (key,) = header["__metadata__"]
        record = json.loads(header["__metadata__"][key].partition(" ")[2])
        replaced_value(record, draw)
        text = json.dumps(record)
        header["__metadata__"][key] = f"{checksum(text, ARRAYS)} {text}"
    else:
        replaced_value(header, draw)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def replaced_value(tree: Any, draw: random.Random) -> None:
    """One value of nested lists and dicts replaced, left out, or under another name."""
    places = [(holder, key) for holder in containers(tree)
              for key in (holder if isinstance(holder, dict) else range(len(holder)))]
    holder, key = draw.choice(places)
    if key == "shape":
        holder[key] = draw.choice(SHAPES)
        return
    if draw.random() < 0.15:
        del holder[key]
    elif draw.random() < 0.15 and isinstance(holder, dict):
        holder[draw.choice(TEXTS)] = holder.pop(key)
    else:
        holder[key] = draw.choice(VALUES)


def containers(tree: Any) -> list[Any]:
    found, waiting = [], [tree]
    while waiting:
        each = waiting.pop()
        if isinstance(each, (dict, list)):
            found.append(each)
            waiting += each.values() if isinstance(each, dict) else each
    return found


def onnx_field(content: bytes, draw: random.Random) -> bytes:
    """Fields of any of the model's messages set, cleared, doubled or exchanged."""
    model = onnx.ModelProto()
    model.ParseFromString(content)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        fields = [(m, f) for m in messages(model) for f, _ in m.ListFields()]
        if draw.random() < 0.4:
            fields = [at for at in fields if at[1].name in SIZES] or fields
        change_field(*draw.choice(fields), draw)
    return bytes(model.SerializeToString())


def messages(model: Any) -> list[Any]:
    found, waiting = [], [model]
    while waiting:
        each = waiting.pop()
        found.append(each)
        for field, value in each.ListFields():
            if field.type == field.TYPE_MESSAGE:
                waiting += value if field.is_repeated else (value,)
    return found


def change_field(message: Any, field: Any, draw: random.Random) -> None:
    name, value = field.name, getattr(message, field.name)
    if field.type == field.TYPE_MESSAGE or draw.random() < 0.1:
        change_shape(message, name, field.is_repeated, draw)
        return
    entry = value[draw.randrange(len(value))] if field.is_repeated else value
    new = other_value(field, entry, draw)
    if field.is_repeated:
        value[draw.randrange(len(value))] = new
    else:
        setattr(message, name, new)


def change_shape(message: Any, name: str, repeated: bool, draw: random.Random) -> None:
    """One entry of a repeated field left out, doubled or moved; a single field cleared."""
    values = getattr(message, name)
    if not repeated:
        message.ClearField(name)
        return
    at = draw.randrange(len(values))
    entry, rest = values[at], [v for i, v in enumerate(values) if i != at]
    entries = draw.choice((rest, [*rest, entry], [*rest, entry, entry], [entry, *rest],
                           [*rest, *[entry] * 300]))
    copies = [type(e).FromString(e.SerializeToString()) if hasattr(e, "SerializeToString") else e
              for e in entries]
    message.ClearField(name)
    getattr(message, name).extend(copies)


def other_value(field: Any, value: Any, draw: random.Random) -> Any:
    """A value of the field's own type, at a limit of it."""
    if field.type == field.TYPE_STRING:
        return draw.choice((FORGED, *(draw.choice(c) for c in (TEXTS, NAMES, DIGITS))))
    if field.type == field.TYPE_BYTES:
        numbers = [n for n in NUMBERS if -2**63 <= n < 2**63]
        wide = np.array([draw.choice(numbers) for _ in value[::8]], np.int64).tobytes()
        return draw.choice((wide, wide, wide, b"\xff\xfe", draw.randbytes(len(value)), b"constant"))
    if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        return draw.choice((0.0, -1.0, 1e30, float("nan"), float("inf")))
    if field.type == field.TYPE_ENUM:
        return draw.choice(field.enum_type.values).number
    bits = 63 if field.type in (field.TYPE_INT64, field.TYPE_UINT64) else 31
    low = 0 if field.type == field.TYPE_UINT64 else -2**bits
    return draw.choice([n for n in NUMBERS if low <= n < 2**bits])


FIELDS = {"idx": idx_field, "npy": npy_field, "npz": npz_field, "text": text_field,
          "safetensors": safetensors_field, "onnx": onnx_field}
